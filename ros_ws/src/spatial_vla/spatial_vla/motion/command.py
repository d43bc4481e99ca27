"""What leaves the motion stage: a short trajectory that always ends at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .stop_ramp import JointMotion, StopPlanner, StopRamp

Array = NDArray[np.float64]

#: Points of a command are farther apart than this [s].
APART = 5e-4


@dataclass(frozen=True, eq=False)
class TrajectoryPoint:
    """Joint positions (n,) [rad] and velocities (n,) [rad/s], ``time_from_start`` seconds after the command's stamp."""

    time_from_start: float
    positions: Array
    velocities: Array


@dataclass(frozen=True, eq=False)
class JointCommand:
    """One tick's output. Cubic interpolation between the points reproduces the commanded motion.

    Attributes:
        stamp_ns: time at which the command starts.
        points: the state after one period and a ramp to rest; the last velocity is zero.
        gripper: position of one finger [m] when it is to change, else None.
        fresh: False if the arm was given these points before, as part of a longer trajectory; they are not sent.
    """

    stamp_ns: int
    points: tuple[TrajectoryPoint, ...]
    gripper: float | None = None
    fresh: bool = True


class GuardedMotion:
    """Constant jerk for ``lead`` seconds from ``start``, then the stop ramp that was planned from there.

    The ramp makes every command safe by itself: if no other follows, the arm stops on it; and it is what the next tick
    falls back on when it may not go on. So being inside the limits now implies a known way to stay inside them.
    """

    def __init__(
        self, start: JointMotion, jerk: Array, lead: float, ramp: StopRamp, into_ramp: float = 0.0
    ) -> None:
        self._start, self._jerk, self._lead, self._ramp, self._into_ramp = start, jerk, lead, ramp, into_ramp

    @classmethod
    def to_rest(cls, q: Array, dq: Array, planner: StopPlanner) -> GuardedMotion:
        """The stop ramp from where an arm was found: positions and velocities (n,) [rad, rad/s], unaccelerated."""
        start = JointMotion(q, dq, np.zeros_like(dq))
        return cls(start, np.zeros_like(dq), 0.0, planner.plan(start))

    @property
    def duration(self) -> float:
        """Seconds until rest."""
        return self._lead + max(self._ramp.duration - self._into_ramp, 0.0)

    @property
    def at_rest(self) -> bool:
        """True if nothing moves any more."""
        return self.duration <= 0.0

    def at(self, time: float) -> JointMotion:
        """State ``time`` seconds from now, for a consumer that receives nothing newer."""
        if time < self._lead:
            return self._start.after(time, self._jerk)
        return self._ramp.at(self._into_ramp + time - self._lead)

    def advanced(self, elapsed: float) -> GuardedMotion:
        """The same motion, seen ``elapsed`` seconds later."""
        if elapsed < self._lead:
            return GuardedMotion(
                self.at(elapsed), self._jerk, self._lead - elapsed, self._ramp, self._into_ramp
            )
        into_ramp = self._into_ramp + elapsed - self._lead
        return GuardedMotion(self.at(elapsed), np.zeros_like(self._jerk), 0.0, self._ramp, into_ramp)

    @property
    def changes(self) -> list[float]:
        """When the jerk changes [s from now], what has passed included; the last one is the beginning of rest."""
        return [self._lead - self._into_ramp + time for time in self._ramp.times]

    def points(self, period: float) -> tuple[TrajectoryPoint, ...]:
        """The state about one period from now and every change of jerk, the last one at rest."""
        ahead = [time for time in self.changes if time > APART]
        # A change of jerk near the next period stands for it: a cubic across such a change would exceed the limits.
        instead = any(abs(time - period) <= APART for time in ahead)
        points = [self._point(time) for time in sorted(ahead if instead else [*ahead, period])]
        rest = self._ramp.states[-1]
        points[-1] = TrajectoryPoint(points[-1].time_from_start, rest.q, rest.dq)
        return tuple(points)

    def _point(self, time: float) -> TrajectoryPoint:
        state = self.at(time)
        return TrajectoryPoint(time, state.q, state.dq)
