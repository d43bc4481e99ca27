"""A chunk as a smooth curve in SE(3): through the pose at the end of every step, with continuous velocity.

Positions are cubic Hermite segments. Rotations are R(t) = exp(phi(t)) R_i within step i, phi a cubic Hermite segment
from 0 to the step's rotation vector, so the deltas are integrated on SO(3) about base axes. Slopes at the inner knots
are the harmonic mean of their neighbours (Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5, 1984): no overshoot, and
zero where the direction turns back. The curve ends at rest, so starvation needs no special case.
"""

from __future__ import annotations

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from ..actions.chunk import NANOSECONDS
from ..geometry import SE3
from .history import Setpoint

Array = NDArray[np.float64]


def left_jacobian(rotvec: Array) -> Array:
    """J with omega = J(phi) dphi/dt for R = exp(phi) R0, omega along fixed axes."""
    return pin.Jexp3(rotvec).T


def left_jacobian_inverse(rotvec: Array) -> Array:
    """Inverse of :func:`left_jacobian`, for rotations below pi."""
    return pin.Jlog3(pin.exp3(rotvec)).T


def hermite(s: float, x1: Array, m0: Array, m1: Array) -> tuple[Array, Array]:
    """Cubic on s in [0, 1] from 0 with slope ``m0`` to ``x1`` with slope ``m1``: value and slope at ``s``."""
    value = x1 * (s * s * (3.0 - 2.0 * s)) + m0 * (s * (1.0 - s) ** 2) - m1 * (s * s * (1.0 - s))
    slope = x1 * (6.0 * s * (1.0 - s)) + m0 * ((1.0 - s) * (1.0 - 3.0 * s)) + m1 * (s * (3.0 * s - 2.0))
    return value, slope


def inner_slopes(deltas: Array) -> Array:
    """Slopes per step (T - 1, 6) at the knots between ``deltas`` (T, 6): harmonic mean, or 0 at a turn."""
    a, b = deltas[:-1], deltas[1:]
    same = a * b > 0.0
    return np.where(same, 2.0 * a * b / np.where(same, a + b, 1.0), 0.0)


class ChunkPath:
    """Curve through the steps ``deltas`` (T, 6) that begin at ``start`` at time ``start_ns``."""

    def __init__(self, start_ns: int, dt: float, start: Setpoint, deltas: Array) -> None:
        self.start_ns = start_ns
        self.dt = dt
        self.end_ns = start_ns + round(len(deltas) * dt * NANOSECONDS)
        self._deltas = np.asarray(deltas, dtype=np.float64)
        self._slopes = np.vstack((start.twist * dt, inner_slopes(self._deltas), np.zeros(6)))
        self._knots = [start.pose]
        for delta in self._deltas:
            last = self._knots[-1]
            self._knots.append(SE3(pin.exp3(delta[3:]) @ last.rotation, last.translation + delta[:3]))
        # The slope of phi at the end of a step that yields the angular velocity of the next knot.
        self._end_slopes = self._slopes[1:].copy()
        for end_slope, delta in zip(self._end_slopes, self._deltas, strict=True):
            end_slope[3:] = left_jacobian_inverse(delta[3:]) @ end_slope[3:]

    def step_at(self, stamp_ns: int) -> int:
        """Index of the step that a time falls into, clamped to the first and last."""
        step = int((stamp_ns - self.start_ns) // round(self.dt * NANOSECONDS))
        return min(max(step, 0), len(self._deltas) - 1)

    def sample(self, stamp_ns: int) -> Setpoint:
        """Pose and twist at a time; at rest at the last knot after the end, at the start before it."""
        if stamp_ns >= self.end_ns:
            return Setpoint.at_rest(self._knots[-1])
        i = self.step_at(stamp_ns)
        s = max((stamp_ns - self.start_ns) * 1e-9 / self.dt - i, 0.0)
        value, slope = hermite(s, self._deltas[i], self._slopes[i], self._end_slopes[i])
        knot, rate = self._knots[i], slope / self.dt
        pose = SE3(pin.exp3(value[3:]) @ knot.rotation, knot.translation + value[:3])
        return Setpoint(pose, np.concatenate((rate[:3], left_jacobian(value[3:]) @ rate[3:])))
