"""Limits of the commanded pose: workspace, Cartesian speed and acceleration, and how far it may run ahead.

The filter follows the wanted motion exactly while that keeps the limits. Otherwise it lags and catches up without
overshoot: the closing speed never exceeds what the remaining distance allows to brake.
"""

from __future__ import annotations

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from ..geometry import SE3
from .history import Setpoint
from .limits import Box, CartesianLimits

Array = NDArray[np.float64]

#: Share of the acceleration that braking before a wall or a target counts on; the rest is for steering.
BRAKING_SHARE = 0.5


class SafetyFilter:
    """Keeps a stream of set-points inside the Cartesian limits and the workspace box."""

    def __init__(
        self, limits: CartesianLimits, workspace: Box, max_lead: tuple[float, float] = (0.01, 0.08)
    ) -> None:
        """``max_lead``: how far the commanded pose may run ahead of the joints that follow it [m, rad]."""
        self._limits = limits
        self._box = workspace
        self._max_lead = max_lead
        self._state: Setpoint | None = None

    def anchor(self, setpoint: Setpoint) -> None:
        """Continue from here."""
        self._state = setpoint

    def step(self, wanted: Setpoint, dt: float) -> Setpoint:
        """The set-point nearest to ``wanted`` that can be commanded ``dt`` seconds after the last one.

        Raises:
            RuntimeError: if the filter was never anchored.
        """
        if self._state is None:
            raise RuntimeError("the safety filter has no pose to start from; anchor it first")
        pose, twist = self._state.pose, self._state.twist
        target = self._box.clamp(wanted.pose.translation)
        feed = np.where(target == wanted.pose.translation, wanted.twist[:3], 0.0)
        limits = self._limits
        linear = closing_velocity(target - pose.translation, feed, limits.acceleration, dt)
        linear = self._before_walls(pose.translation, linear)
        linear = limited(linear, twist[:3], limits.speed, limits.acceleration * dt)
        error = pin.log3(wanted.pose.rotation @ pose.rotation.T)
        angular = closing_velocity(error, wanted.twist[3:], limits.angular_acceleration, dt)
        angular = limited(angular, twist[3:], limits.angular_speed, limits.angular_acceleration * dt)
        moved = SE3(pin.exp3(angular * dt) @ pose.rotation, pose.translation + linear * dt)
        self._state = Setpoint(moved, np.concatenate((linear, angular)))
        return self._state

    def _before_walls(self, position: Array, velocity: Array) -> Array:
        """Speed towards each wall such that braking still ends before it."""
        brake = BRAKING_SHARE * self._limits.acceleration
        towards_upper = np.sqrt(2.0 * brake * np.maximum(np.asarray(self._box.upper) - position, 0.0))
        towards_lower = np.sqrt(2.0 * brake * np.maximum(position - np.asarray(self._box.lower), 0.0))
        return np.clip(velocity, -towards_lower, towards_upper)

    def hold_back(self, reached: SE3) -> None:
        """Pull the commanded pose back to within the allowed lead over the pose that the joints ``reached``."""
        if self._state is None:
            return
        pose = self._state.pose
        ahead = shortened(pose.translation - reached.translation, self._max_lead[0])
        turned = shortened(pin.log3(pose.rotation @ reached.rotation.T), self._max_lead[1])
        pulled = SE3(pin.exp3(turned) @ reached.rotation, reached.translation + ahead)
        self._state = Setpoint(pulled, self._state.twist)


def closing_velocity(error: Array, feed: Array, acceleration: float, dt: float) -> Array:
    """Velocity that follows ``feed`` and closes the rest of ``error`` without overshoot."""
    rest = error - feed * dt
    distance = float(np.linalg.norm(rest))
    if distance < 1e-12:
        return feed
    speed = min(distance / dt, np.sqrt(2.0 * BRAKING_SHARE * acceleration * distance))
    return feed + rest * (speed / distance)


def limited(velocity: Array, previous: Array, speed: float, change: float) -> Array:
    """``velocity`` with its norm at most ``speed`` and at most ``change`` away from ``previous``."""
    velocity = shortened(velocity, speed)
    return previous + shortened(velocity - previous, change)


def shortened(vector: Array, length: float) -> Array:
    """``vector`` with its norm at most ``length``."""
    norm = float(np.linalg.norm(vector))
    return vector if norm <= length else vector * (length / norm)
