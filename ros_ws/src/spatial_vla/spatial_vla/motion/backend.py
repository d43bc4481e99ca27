"""The seam between a commanded Cartesian motion and whatever moves the joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .command import TrajectoryPoint
from .history import Setpoint

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Capabilities:
    """What a back-end can do."""

    name: str
    joint_output: bool
    collision_checking: bool


@dataclass(frozen=True, eq=False)
class StreamResult:
    """One tick of a back-end.

    Attributes:
        points: trajectory to send, ending at rest.
        reached: commanded pose and twist of the tool centre point at the first point.
        at_rest: nothing moves after the command's start.
        limited_by: which limit kept the joints from following; empty when none did.
    """

    points: tuple[TrajectoryPoint, ...]
    reached: Setpoint
    at_rest: bool
    limited_by: str = ""


class MotionBackend(Protocol):
    """Turns set-points into joint trajectories. Never blocks; every trajectory it returns ends at rest."""

    @property
    def capabilities(self) -> Capabilities:
        """What this back-end can do."""
        ...

    def anchor(self, q: Array) -> None:
        """Start at rest from joint positions ``q`` (n,) [rad]; nothing is commanded yet."""
        ...

    def stream(self, reference: Setpoint, elapsed: float) -> StreamResult:
        """Follow ``reference``, wanted one period from now; ``elapsed`` seconds have passed since the last tick."""
        ...

    def stop(self, elapsed: float) -> StreamResult:
        """Come to rest, or stay at rest."""
        ...
