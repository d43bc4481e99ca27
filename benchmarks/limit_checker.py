"""Does the motion that the commands make keep the robot's limits? Looks at it at 1 kHz, by formulas of its own.

What is looked at is what a trajectory controller does with the commands: cubics between their points, each new command
taking over from where the one before has the arm by then. The rest of every command, its way to rest, is looked at too:
it is what the arm would do if no other came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

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
#: When exactly a command took over cannot be heard from outside: it gets the benefit of so many periods [s].
SHIFTS = (0.0, -0.01, 0.01)
#: But one of another period does not take over at the same moment, as if the one before had never been.
BETWEEN = 0.005
#: After so long [s] without a command one may have got lost on its way to the checker.
MISSED = 0.015
#: What a command may be off where the one before had the arm by then [rad].
STEP = 0.01
#: Speed of the tool by the shipped parameters [m/s, rad/s], and how much more there may be for a moment.
TOOL_SPEED, MORE = (0.25, 1.6), 1.1


@dataclass(frozen=True, eq=False)
class Path:
    """Cubics through points: times (k,) [s], positions and velocities (k, 7); at rest after the last.

    ``driven``: it begins where the arm is; else at its first point, before which nothing is known.
    """

    times: Array
    q: Array
    v: Array
    driven: bool = True

    def _cubics(self) -> tuple[Array, Array, Array]:
        """Spans (k - 1, 1), and second and third coefficients (k - 1, 7)."""
        span = np.diff(self.times)[:, None]
        q0, q1, v0, v1 = self.q[:-1], self.q[1:], self.v[:-1], self.v[1:]
        return span, (3 * (q1 - q0) / span - 2 * v0 - v1) / span, (2 * (q0 - q1) / span + v0 + v1) / span**2

    def accelerations(self) -> Array:
        """At both ends of each piece, (2 (k - 1), 7)."""
        span, c2, c3 = self._cubics()
        return np.stack((2 * c2, 2 * c2 + 6 * c3 * span), axis=1).reshape(-1, self.q.shape[1])

    def sample(self, times: Array) -> tuple[Array, Array, Array]:
        """Positions, velocities and accelerations (m, 7) at times (m,); still at the end after it."""
        if len(self.times) == 1:
            still = np.zeros((len(times), self.q.shape[1]))
            return still + self.q[-1], still, still
        _, c2, c3 = self._cubics()
        i = np.clip(np.searchsorted(self.times, times, side="right") - 1, 0, len(self.times) - 2)
        h, over = (times - self.times[i])[:, None], (times >= self.times[-1])[:, None]
        q = self.q[i] + h * (self.v[i] + h * (c2[i] + h * c3[i]))
        dq, ddq = self.v[i] + h * (2 * c2[i] + 3 * h * c3[i]), 2 * c2[i] + 6 * h * c3[i]
        return np.where(over, self.q[-1], q), np.where(over, 0.0, dq), np.where(over, 0.0, ddq)

    def followed_by(self, now: float, t: Array, q: Array, v: Array) -> Path:
        """From where this path has the arm at ``now`` through points that begin then."""
        at, rate, _ = self.sample(np.array([now]))
        return Path(np.concatenate(([now], now + t)), np.concatenate((at, q)), np.concatenate((rate, v)))


class LimitChecker:
    """Takes commands in order; ``violations`` counts by kind, ``samples`` how many instants were looked at.

    ``worst``: the largest share of the limits that was used, of velocity and acceleration of the joints, by what was
    driven ("driven velocity", ...) and by what would have been, and of the tool's speed.
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
        self._path: Path | None = None  # what the arm follows

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
        self._take_over(now, t, q, v)
        self._last = now, t, q, v

    def _take_over(self, now: float, t: Array, q: Array, v: Array) -> None:
        """The arm goes over to the command: what it has driven by then is looked at."""
        path = self._path
        if path is None or not -0.05 <= now - path.times[0] < ANEW:
            if path is not None:
                self._driven(path, path.times[-1])
            self._path = Path(now + t, q, v, driven=False)
            return
        since = now - self._last[0] if self._last is not None else 0.0
        earliest = path.times[0] + (BETWEEN if path.driven and since > BETWEEN else 0.0)
        candidates = [path.followed_by(max(now + shift, earliest), t, q, v) for shift in SHIFTS]
        shares = [float((np.abs(c.accelerations()[:2]) / self._acceleration).max()) for c in candidates]
        if min(shares) > 1.0 and since > MISSED:
            # Either none was sent in between, or it was not heard here: then nothing is known of the way.
            self._path = Path(now + t, q, v, driven=False)
            return
        self._path = candidates[int(np.argmin(shares))]
        self._driven(path, self._path.times[0])

    def _driven(self, path: Path, until: float) -> None:
        """What the arm did on a path from its beginning."""
        h = np.arange(path.times[0], until, TICK)
        if not len(h):
            return
        q, dq, ddq = path.sample(h)
        self.samples += len(h)
        self.violations["driven position"] += int(self._outside(q).any(axis=1).sum())
        for kind, values, limit in (
            ("velocity", dq, self._velocity),
            ("acceleration", ddq, self._acceleration),
        ):
            share = np.abs(values) / limit
            self.violations[f"driven {kind}"] += int((share > 1.001).any(axis=1).sum())
            self.worst[f"driven {kind}"] = max(self.worst.get(f"driven {kind}", 0.0), float(share.max()))
        for row, rate in zip(q[::5], dq[::5], strict=True):
            pose, twist = self._model.motion(row, rate)
            share = max(np.linalg.norm(twist[:3]) / TOOL_SPEED[0], np.linalg.norm(twist[3:]) / TOOL_SPEED[1])
            self.violations["speed of the tool"] += bool(share > MORE)
            self.worst["tool"] = max(self.worst.get("tool", 0.0), float(share))
            tcp = pose.translation
            self.violations["workspace"] += bool(
                np.any(tcp < BOX[0] - OUTSIDE) or np.any(tcp > BOX[1] + OUTSIDE)
            )

    def _outside(self, q: Array) -> NDArray[np.bool_]:
        # 0.3 mrad: between the ends of its phases a stop ramp is not looked at; 30 mrad are kept from the stops.
        return (q < self._lower + 0.03 - 3e-4) | (q > self._upper - 0.03 + 3e-4)

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
        for kind, broken in (
            ("joint position", self._outside(q)),
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
