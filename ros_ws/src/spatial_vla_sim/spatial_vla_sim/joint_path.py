"""Cubic interpolation of joint way-points, as a joint_trajectory_controller does it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
#: (time from start [s], positions (n,) [rad], velocities (n,) [rad/s])
PathPoint = tuple[float, ArrayLike, ArrayLike]
#: What a trajectory may be off where it takes over [rad], beside what the joints can cover until its first point.
START_TOLERANCE = 0.05


class JointPath:
    """Joint positions over time: cubic Hermite pieces between points, the last position held for ever after.

    Args:
        times: strictly increasing (k,) [s].
        positions, velocities: (k, n) [rad, rad/s].
    """

    def __init__(self, times: ArrayLike, positions: ArrayLike, velocities: ArrayLike) -> None:
        self._times = np.asarray(times, dtype=np.float64)
        self._positions = np.asarray(positions, dtype=np.float64)
        self._velocities = np.asarray(velocities, dtype=np.float64)

    @classmethod
    def holding(cls, positions: ArrayLike) -> JointPath:
        """The path that stays where it is."""
        q = np.asarray(positions, dtype=np.float64)
        return cls([0.0], q[None], np.zeros((1, len(q))))

    def replaced(
        self, now: float, start: float, points: Sequence[PathPoint], top_speed: ArrayLike = np.inf
    ) -> JointPath:
        """The path that leaves this one's desired state at ``now`` for the points that are still ahead.

        Args:
            now: present time [s].
            start: time [s] that the points count from; points at or before ``now`` are skipped.
            top_speed: what the joints can do, () or (n,) [rad/s].

        Raises:
            ValueError: if a point has the wrong length or is not finite, times do not increase from above 0, the last
                velocity is not zero, all points have passed, or the first one ahead cannot be reached in time: such a
                trajectory was planned from somewhere else.
        """
        count = self._positions.shape[1]
        times, positions, velocities = _validated(points, count)
        ahead = times + start > now
        if not ahead.any():
            raise ValueError(
                f"trajectory ended at {times[-1] + start:.3f} s, {now - times[-1] - start:.3f} s ago"
            )
        q, v = self.sample(np.array([now]))
        first, away = times[ahead][0] + start - now, np.abs(positions[ahead][0] - q[0])
        if np.any(away > first * np.asarray(top_speed) + START_TOLERANCE):
            raise ValueError(
                f"trajectory starts elsewhere: its first point, {first:.3f} s ahead, is up to {away.max():.2f} rad away"
            )
        return JointPath(
            np.concatenate(([now], times[ahead] + start)),
            np.concatenate((q, positions[ahead])),
            np.concatenate((v, velocities[ahead])),
        )

    def sample(self, times: Array) -> tuple[Array, Array]:
        """Desired positions and velocities, each (m, n), at times (m,) [s]."""
        if len(self._times) == 1:
            return np.repeat(self._positions, len(times), 0), np.zeros((len(times), self._positions.shape[1]))
        i = np.clip(np.searchsorted(self._times, times, side="right") - 1, 0, len(self._times) - 2)
        t0, span = self._times[i], (self._times[i + 1] - self._times[i])[:, None]
        past_end = (times >= self._times[-1])[:, None]
        s = np.clip((times - t0)[:, None] / span, 0.0, 1.0)
        q0, q1 = self._positions[i], self._positions[i + 1]
        m0, m1 = self._velocities[i] * span, self._velocities[i + 1] * span
        c2, c3 = 3 * (q1 - q0) - 2 * m0 - m1, 2 * (q0 - q1) + m0 + m1
        q = q0 + s * (m0 + s * (c2 + s * c3))
        v = (m0 + s * (2 * c2 + s * 3 * c3)) / span
        return q, np.where(past_end, 0.0, v)


def _validated(points: Sequence[PathPoint], count: int) -> tuple[Array, Array, Array]:
    if not points:
        raise ValueError("trajectory has no points; send at least one, with time_from_start > 0")
    times = np.array([p[0] for p in points], dtype=np.float64)
    rows = [(np.asarray(p[1], dtype=np.float64), np.asarray(p[2], dtype=np.float64)) for p in points]
    if any(q.shape != (count,) or v.shape != (count,) for q, v in rows):
        raise ValueError(f"every trajectory point needs {count} positions and {count} velocities")
    positions, velocities = np.array([q for q, _ in rows]), np.array([v for _, v in rows])
    if not (np.isfinite(times).all() and np.isfinite(positions).all() and np.isfinite(velocities).all()):
        raise ValueError("trajectory has NaN or infinite numbers")
    if times[0] <= 0.0 or (np.diff(times) <= 0.0).any():
        raise ValueError(f"time_from_start must increase strictly from above 0, got {times.tolist()}")
    if np.abs(velocities[-1]).max() > 1e-6:
        raise ValueError(f"trajectory must end at rest, its last velocities are {velocities[-1].tolist()}")
    return times, positions, velocities
