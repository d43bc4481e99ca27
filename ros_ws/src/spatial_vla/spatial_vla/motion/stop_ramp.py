"""The way to rest: a jerk-limited deceleration of all joints together.

The acceleration goes to a plateau in one phase, stays, and returns to zero in one phase. The phases are the same for
all joints, so three way-points tell a consumer that interpolates with cubics exactly what was planned: nothing between
them can exceed a limit that was kept here. A time-optimal profile per joint is a few milliseconds shorter, but its
phases fall between the way-points, and the interpolated acceleration overshoots by up to a quarter.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .limits import MotionLimits

Array = NDArray[np.float64]

#: The plateau lasts at least this long [s], so that way-points stay apart.
SHORTEST_PLATEAU = 1e-3


@dataclass(frozen=True, eq=False)
class JointMotion:
    """Positions, velocities and accelerations (n,) of the joints at one instant [rad, s]."""

    q: Array
    dq: Array
    ddq: Array

    @classmethod
    def at_rest(cls, q: Array) -> JointMotion:
        """Standing still at ``q``."""
        return cls(np.array(q, dtype=np.float64), np.zeros(len(q)), np.zeros(len(q)))

    def after(self, time: float, jerk: Array) -> JointMotion:
        """State ``time`` seconds of constant ``jerk`` (n,) [rad/s^3] later."""
        return JointMotion(
            self.q + time * (self.dq + time * (self.ddq / 2.0 + time * jerk / 6.0)),
            self.dq + time * (self.ddq + time * jerk / 2.0),
            self.ddq + time * jerk,
        )


class StopRamp:
    """Deceleration from a start state to rest: phases of constant jerk."""

    def __init__(self, start: JointMotion, durations: tuple[float, ...], jerks: tuple[Array, ...]) -> None:
        self.times = [0.0]
        self.states = [start]
        self._jerks = jerks
        for duration, jerk in zip(durations, jerks, strict=True):
            self.times.append(self.times[-1] + duration)
            self.states.append(self.states[-1].after(duration, jerk))
        self.states[-1] = JointMotion.at_rest(self.states[-1].q)
        self.duration = self.times[-1]

    def at(self, time: float) -> JointMotion:
        """State ``time`` seconds after the start; at rest after the end."""
        if time >= self.duration:
            return self.states[-1]
        phase = bisect_right(self.times, time) - 1
        return self.states[phase].after(time - self.times[phase], self._jerks[phase])

    def range(self) -> tuple[Array, Array]:
        """Lowest and highest position (n,) at the ends of the phases; between them it is 0.3 mrad more at most."""
        q = np.array([state.q for state in self.states])
        return q.min(axis=0), q.max(axis=0)

    def top_speed(self) -> Array:
        """Highest speed (n,) on the way: at the start, or where the acceleration passes through zero."""
        start = self.states[0]
        if not self._jerks:
            return np.abs(start.dq)
        jerk = self._jerks[0]
        passes = (start.ddq * jerk < 0.0) & (np.abs(start.ddq) <= np.abs(jerk) * self.times[1])
        peak = start.dq - np.where(passes, start.ddq**2 / (2.0 * np.where(passes, jerk, 1.0)), 0.0)
        return np.maximum(np.abs(peak), np.maximum(np.abs(start.dq), np.abs(self.states[1].dq)))


class StopPlanner:
    """Plans stop ramps inside the limits meant for stopping."""

    def __init__(self, limits: MotionLimits) -> None:
        self._acceleration = limits.stop_acceleration
        self._phase = limits.stop_phase

    def plan(self, start: JointMotion) -> StopRamp:
        """Ramp from ``start``, whose acceleration is inside the limits, to rest."""
        if not (start.dq.any() or start.ddq.any()):
            return StopRamp(start, (), ())
        phase = self._phase
        # Velocity left when the acceleration has gone to zero linearly; the plateau, which counts for all of its own
        # time and half of each phase beside it, has to take it away.
        rest = start.dq + start.ddq * (phase / 2.0)
        effective = max(phase, float(np.max(np.abs(rest) / self._acceleration)))
        hold = max(effective - phase, SHORTEST_PLATEAU)
        plateau = -rest / (phase + hold)
        jerks = ((plateau - start.ddq) / phase, np.zeros_like(plateau), -plateau / phase)
        return StopRamp(start, (phase, hold, phase), jerks)
