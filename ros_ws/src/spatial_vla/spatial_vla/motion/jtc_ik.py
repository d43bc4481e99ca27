"""One trajectory per chunk, for slow policies and for drivers that offer a trajectory controller and nothing else.

The inverse kinematics, the limits and the guard are the embedded back-end's: it is run ahead of time along the whole
reference, and what it would have commanded tick by tick becomes the way-points of one trajectory that ends at rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .backend import Capabilities, StreamResult
from .command import GuardedMotion, TrajectoryPoint
from .embedded import EmbeddedBackend
from .history import Setpoint
from .limits import MotionLimits
from .robot_model import RobotModel

Array = NDArray[np.float64]


class JtcIkBackend:
    """Whole chunks to a joint_trajectory_controller."""

    def __init__(self, model: RobotModel, limits: MotionLimits, period: float) -> None:
        self._ahead, self._period = EmbeddedBackend(model, limits, period), period
        #: What is commanded from each tick of the trajectory under way on.
        self._ticks: list[GuardedMotion] = []

    @property
    def capabilities(self) -> Capabilities:
        """As the embedded back-end."""
        inner = self._ahead.capabilities
        return Capabilities("jtc_ik", inner.joint_output, inner.collision_checking)

    def anchor(self, q: Array) -> None:
        """Start at rest from ``q`` (n,) [rad]. Raises ValueError if it is outside the limits."""
        self._ahead.anchor(q)
        self._ticks = [self._ahead.motion]

    def follow(self, references: Sequence[Setpoint], elapsed: float) -> StreamResult:
        """The trajectory through ``references``, one per period; ``elapsed`` seconds since the last command's start.

        It begins with the motion under way, so a controller that interpolates from its *desired* state goes on
        smoothly. Where a limit keeps the joints from following, it comes to rest early and ``limited_by`` says why.
        """
        points: list[TrajectoryPoint] = []
        passed, reason = self._go_back_to(elapsed), ""
        self._ticks = []
        for number, reference in enumerate(references):
            result = self._ahead.stream(reference, passed)
            reason, passed = result.limited_by, self._period
            self._ticks.append(self._ahead.motion)
            if reason:
                return self._ended(points, result, number, reason)
            first = result.points[0]
            time = (number + 1) * self._period
            points.append(TrajectoryPoint(time, first.positions, first.velocities))
        result = self._ahead.stop(passed)
        self._ticks.append(self._ahead.motion)
        return self._ended(points, result, len(points), reason)

    def stop(self, elapsed: float) -> StreamResult:
        """A short trajectory that ends at rest, to replace the one under way."""
        result = self._ahead.stop(self._go_back_to(elapsed))
        self._ticks = [self._ahead.motion]
        return result

    def _go_back_to(self, elapsed: float) -> float:
        """Return to what is under way ``elapsed`` seconds after the last command's start; the rest of that tick [s]."""
        if not self._ticks:
            raise RuntimeError("the back-end has no joint positions to start from; anchor it first")
        tick = min(int(elapsed / self._period + 1e-6), len(self._ticks) - 1)
        self._ahead.resume(self._ticks[tick])
        return max(elapsed - tick * self._period, 0.0)

    def _ended(
        self, points: list[TrajectoryPoint], tail: StreamResult, ticks: int, reason: str
    ) -> StreamResult:
        """``points``, and the way to rest from the given tick on."""
        start = ticks * self._period
        rest = [TrajectoryPoint(start + p.time_from_start, p.positions, p.velocities) for p in tail.points]
        return StreamResult((*points, *rest), tail.reached, tail.at_rest and not points, reason)
