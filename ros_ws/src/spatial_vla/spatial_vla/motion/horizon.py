"""The reference as far as it is known: for back-ends that command a whole trajectory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Protocol

from .history import Setpoint
from .reference import ReferenceGenerator
from .safety import SafetyFilter

#: Periods added to the end, in which the safety filter and the joints arrive.
SETTLING = 20
#: A chunk is never followed farther than this many periods.
FARTHEST = 2000


class Horizon(Protocol):
    """Knows what will be asked for; the controller is one."""

    @property
    def chunks_followed(self) -> int:
        """Grows with every chunk: then what was known of the future no longer holds."""
        ...

    def ahead(self) -> Sequence[Setpoint]:
        """What will follow the set-point of this tick, one per period, if no other chunk comes."""
        ...


def rest_of(
    reference: ReferenceGenerator, safety: SafetyFilter, stamp_ns: int, period_ns: int
) -> list[Setpoint]:
    """The reference from ``stamp_ns`` on, as the safety filter, which is left as it is, will let it through."""
    filter_ahead = copy(safety)  # its state is replaced in each step, never changed
    points: list[Setpoint] = []
    left = SETTLING
    while left and len(points) < FARTHEST:
        left -= not reference.active(stamp_ns)
        points.append(filter_ahead.step(reference.sample(stamp_ns), period_ns * 1e-9))
        stamp_ns += period_ns
    return points
