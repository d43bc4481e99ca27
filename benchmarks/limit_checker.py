"""Do the commands that left the motion stage keep the robot's limits? Samples them at 1 kHz, by formulas of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from spatial_vla.description import ROBOTS
from spatial_vla.motion.panda import panda_model

Array = NDArray[np.float64]
TICK = 1e-3
#: The tool's box of the shipped parameters, and what may be outside for a moment while the arm stops [m].
BOX = np.array([[0.15, -0.65, 0.012], [0.85, 0.65, 0.95]])
OUTSIDE = 0.013
#: A command that comes more than this [s] after the one before starts anew from the measurement.
ANEW = 0.3
#: What a command may be off where the one before had the arm by then [rad].
STEP = 0.01


class LimitChecker:
    """Takes commands in order; ``violations`` counts by kind, ``samples`` how many instants were looked at.

    ``worst``: the largest share of the joints' velocity and acceleration limits that was used.
    """

    def __init__(self) -> None:
        panda = ROBOTS["panda"]
        table = panda.limits()["joint_limits"]
        self._velocity = np.array([table[joint]["max_velocity"] for joint in panda.joints])
        self._acceleration = np.array([table[joint]["max_acceleration"] for joint in panda.joints])
        model = panda_model()
        self._lower, self._upper = model.model.lowerPositionLimit, model.model.upperPositionLimit
        self._model = model
        self.violations: Counter[str] = Counter()
        self.worst: dict[str, float] = {}
        self.samples = 0
        self._last: tuple[float, Array, Array, Array] | None = None

    def command(self, now: float, times: Sequence[float], positions: Array, velocities: Array) -> None:
        """A trajectory heard at ``now`` [s]: times (t,) from start, positions and velocities (t, 7)."""
        t, q, v = np.asarray(times, float), np.asarray(positions, float), np.asarray(velocities, float)
        if not (np.isfinite(t).all() and np.isfinite(q).all() and np.isfinite(v).all()):
            self.violations["not finite"] += 1
            return
        if t[0] <= 0.0 or np.any(np.diff(t) <= 0.0):
            self.violations["times do not increase"] += 1
            return
        self.violations["does not end at rest"] += bool(np.any(v[-1] != 0.0))
        if self._last is not None and 0.0 <= now - self._last[0] < ANEW:
            self._continues(now, t[0], q[0])
        if len(t) > 1:
            self._segments(np.diff(t)[:, None, None], q, v)
        for row in q[1:]:
            tcp = self._model.forward(row).translation
            outside = np.any(tcp < BOX[0] - OUTSIDE) or np.any(tcp > BOX[1] + OUTSIDE)
            self.violations["workspace"] += bool(outside)
        self._last = now, t, q, v

    def _segments(self, span: Array, points: Array, rates: Array) -> None:
        """Cubics between the points (t, 7), at every millisecond of their spans (t - 1, 1, 1)."""
        q0, q1, v0, v1 = points[:-1, None], points[1:, None], rates[:-1, None], rates[1:, None]
        c2 = (3 * (q1 - q0) / span - 2 * v0 - v1) / span
        c3 = (2 * (q0 - q1) / span + v0 + v1) / span**2
        h = np.arange(0.0, span.max() + TICK, TICK)[None, :, None]
        seen = h[:, :, 0] < span[:, :, 0] + TICK  # the last of these is the segment's end
        h = np.minimum(h, span)
        q, dq, ddq = q0 + h * (v0 + h * (c2 + h * c3)), v0 + h * (2 * c2 + 3 * h * c3), 2 * c2 + 6 * h * c3
        self.samples += int(seen.sum())
        # 0.3 mrad: between the ends of its phases a stop ramp is not looked at; 30 mrad are kept from the stops.
        outside = (q < self._lower + 0.03 - 3e-4) | (q > self._upper - 0.03 + 3e-4)
        for kind, broken in (
            ("joint position", outside),
            ("joint velocity", np.abs(dq) > self._velocity + 1e-6),
            ("joint acceleration", np.abs(ddq) > self._acceleration + 1e-3),
        ):
            self.violations[kind] += int((broken.any(axis=2) & seen).sum())
        for kind, values, limit in (
            ("velocity", dq, self._velocity),
            ("acceleration", ddq, self._acceleration),
        ):
            share = float((np.abs(values) / limit * seen[:, :, None]).max())
            self.worst[kind] = max(self.worst.get(kind, 0.0), share)

    def _continues(self, now: float, first: float, q: Array) -> None:
        """The new command's first point lies near where the last one has the arm, give or take two periods."""
        assert self._last is not None
        start, t, positions, _ = self._last
        nearest = np.inf
        for shift in np.arange(-0.02, 0.021, 0.002):
            at = np.array([np.interp(now - start + first + shift, t, column) for column in positions.T])
            nearest = min(nearest, float(np.abs(at - q).max()))
        self.violations["step between commands"] += nearest > STEP + float(first * self._velocity.max())
