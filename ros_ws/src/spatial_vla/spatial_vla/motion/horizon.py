"""The reference as far as it is known: for back-ends that command a whole trajectory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Protocol

from .history import Setpoint
from .reference import ReferenceGenerator
from .safety import SafetyFilter

#: Periods added to the end, in which the safety filter and the joints arrive.
SETTLING = 20
#: No more periods than this at a time; of a longer chunk the rest is asked for later.
FARTHEST = 400


class Horizon(Protocol):
    """Knows what will be asked for; the controller is one."""

    @property
    def chunks_followed(self) -> int:
        """Grows with every chunk: then what was known of the future no longer holds."""
        ...

    def ahead(self) -> Ahead:
        """What will follow the set-point of this tick, one per period, if no other chunk comes."""
        ...


class Ahead(Iterator[Setpoint]):
    """The reference from ``stamp_ns`` on, as the safety filter will let it through, each worked out when asked for.

    What becomes of reference and filter afterwards makes no difference.

    Attributes:
        left: how many set-points are still to come.
        whole: the chunk's end is among them.
    """

    def __init__(
        self, reference: ReferenceGenerator, safety: SafetyFilter, stamp_ns: int, period_ns: int
    ) -> None:
        # Shallow copies: the state of both is replaced in each step, never changed.
        self._reference, self._safety = copy(reference), copy(safety)
        self._stamp_ns, self._period_ns = stamp_ns, period_ns
        wanted = max(-((stamp_ns - reference.end_ns) // period_ns), 0) + SETTLING
        self.left, self.whole = min(wanted, FARTHEST), wanted <= FARTHEST

    def __next__(self) -> Setpoint:
        """Raises StopIteration after the last."""
        if not self.left:
            raise StopIteration
        wanted = self._reference.sample(self._stamp_ns)
        self.left -= 1
        self._stamp_ns += self._period_ns
        return self._safety.step(wanted, self._period_ns * 1e-9)
