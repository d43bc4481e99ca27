"""The way to rest: a jerk-limited deceleration of all joints that ends at the same time.

Ruckig's velocity interface, state to state. (Its PyPI build would send intermediate way-points to a remote service;
none are ever given here.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ruckig import ControlInterface, InputParameter, Result, Ruckig, Trajectory

from .limits import MotionLimits

Array = NDArray[np.float64]

#: Spacing of the instants at which a ramp's positions are looked at [s].
RANGE_SPACING = 0.01


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


class StopRamp:
    """Deceleration from a start state to rest."""

    def __init__(self, trajectory: Trajectory) -> None:
        self._trajectory = trajectory
        self.duration = float(trajectory.duration)

    def at(self, time: float) -> JointMotion:
        """State ``time`` seconds after the start; at rest after the end."""
        q, dq, ddq = self._trajectory.at_time(min(max(time, 0.0), self.duration))
        if time >= self.duration:
            return JointMotion.at_rest(np.array(q))
        return JointMotion(np.array(q), np.array(dq), np.array(ddq))

    def range(self) -> tuple[Array, Array]:
        """Lowest and highest position (n,) of every joint on the way, to within a h^2 / 8, below 0.3 mrad."""
        # Trajectory.position_extrema is of no use here: for velocity control it includes 0, wherever the joint is.
        times = np.arange(0.0, self.duration, RANGE_SPACING)
        q = np.array([self._trajectory.at_time(time)[0] for time in (*times.tolist(), self.duration)])
        return q.min(axis=0), q.max(axis=0)


class StopPlanner:
    """Plans stop ramps inside the limits meant for stopping."""

    def __init__(self, limits: MotionLimits) -> None:
        n = len(limits.joints.names)
        self._acceleration = limits.stop_acceleration
        self._ruckig = Ruckig(n)
        self._input = InputParameter(n)
        self._input.control_interface = ControlInterface.Velocity
        self._input.target_velocity = [0.0] * n
        self._input.target_acceleration = [0.0] * n
        self._input.max_velocity = limits.joints.velocity.tolist()
        self._input.max_acceleration = limits.stop_acceleration.tolist()
        self._input.max_jerk = limits.stop_jerk.tolist()

    def plan(self, start: JointMotion) -> StopRamp:
        """Ramp from ``start`` to rest.

        Raises:
            RuntimeError: if Ruckig finds none, which a finite start does not cause.
        """
        self._input.current_position = start.q.tolist()
        self._input.current_velocity = start.dq.tolist()
        self._input.current_acceleration = np.clip(
            start.ddq, -self._acceleration, self._acceleration
        ).tolist()
        trajectory = Trajectory(len(start.q))
        result = self._ruckig.calculate(self._input, trajectory)
        if result not in (Result.Working, Result.Finished):
            raise RuntimeError(f"no stop ramp from q={start.q.tolist()}, dq={start.dq.tolist()}: {result}")
        return StopRamp(trajectory)
