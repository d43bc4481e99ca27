"""The seam between a commanded Cartesian motion and whatever moves the joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .command import TrajectoryPoint
from .history import Setpoint
from .measurement import JointReading

Array = NDArray[np.float64]


#: Slower than this [rad/s] nobody would notice.
CREEP = 2e-3


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
        points: trajectory to send, ending at rest; empty if there is nothing to send, or the back-end sends by itself.
        reached: commanded pose and twist of the tool centre point one period from now.
        at_rest: nothing moves after the command's start.
        limited_by: which limit kept the joints from following; empty when none did.
        fresh: False if ``points`` are part of what was given out before and is under way; they need not be sent.
        lasts: what was given out goes on for longer than it takes to stop, if nobody calls any more.
    """

    points: tuple[TrajectoryPoint, ...]
    reached: Setpoint
    at_rest: bool
    limited_by: str = ""
    fresh: bool = True
    lasts: bool = False

    @property
    def creeps(self) -> bool:
        """True if no joint moves faster than anybody would notice, nor will by what was given out."""
        if self.lasts:
            return False
        return bool(np.all(np.abs(self.points[0].velocities) < CREEP)) if self.points else self.at_rest


class BackendUnavailable(RuntimeError):
    """A back-end cannot be used here; the text says what is missing and how to get it."""


class MotionBackend(Protocol):
    """Turns set-points into motion of the joints; docs/reference/motion_backends.md is the contract in words.

    No call blocks for longer than a fraction of a period. Whatever was commanded last, the arm comes to rest when no
    further call follows.
    """

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

    def let_go(self, q: Array, elapsed: float) -> StreamResult:
        """From rest, bring the command to ``q`` (n,) [rad], where the arm is; ``at_rest`` when there, or not possible.

        A back-end that does not command positions stops instead.
        """
        ...

    def brake(self, found: JointReading | None) -> tuple[TrajectoryPoint, ...]:
        """Bring the arm to rest while it is not known how far it has come with what it was told.

        Called in every tick until it is anchored anew. ``found``: where it has been measured since, None before.
        Returns what is to be sent, at most once; nothing where what it was told ends by itself within a fraction of a
        second.
        """
        ...
