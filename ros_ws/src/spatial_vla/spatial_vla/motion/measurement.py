"""What is known about the real arm: the newest joint state, its age, and how far it is from what was commanded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pinocchio as pin
from numpy.typing import ArrayLike, NDArray

from ..geometry import SE3
from .limits import MotionLimits

Array = NDArray[np.float64]

#: A joint that is this much [rad] farther than its speed and acceleration explain was moved by something else.
JUMP_SLACK = 0.02
REST_SPEED = 0.02
#: A measurement says at most this many times what a joint is allowed.
FASTER = 1.1
JUMPED, STALE = "joint positions jumped", "joint states are stale"
MOVING = "the arm is moving; wait until it is at rest"
#: The first command, and the beginning of a plan, differ from the measurement by less than this [rad].
START_TOLERANCE = 0.01
#: Joint states older than the newest by less than this [s] were overtaken on the way; by more, the clock was set back.
REORDERING = 0.2


@dataclass(frozen=True, eq=False)
class JointReading:
    """Measured positions and velocities (n,) [rad, rad/s] at a time."""

    stamp_ns: int
    q: Array
    dq: Array

    @property
    def at_rest(self) -> bool:
        """True if no joint moves faster than 0.02 rad/s."""
        return bool(np.all(np.abs(self.dq) < REST_SPEED))

    def believable(self, limits: MotionLimits) -> bool:
        """True if these are numbers, and speeds that the joints can have: a stop ramp may begin there."""
        fastest = np.nan_to_num(limits.joints.velocity, nan=np.inf) * FASTER
        return bool(np.isfinite(self.q).all() and np.all(np.abs(self.dq) <= fastest))


class ArmMeasurement:
    """Takes joint states in. Malformed ones count as not received."""

    def __init__(self, limits: MotionLimits) -> None:
        self._n = len(limits.joints.names)
        self._acceleration = np.nan_to_num(limits.joints.acceleration, nan=np.inf)
        self._velocity = np.nan_to_num(limits.joints.velocity, nan=np.inf)
        self.latest: JointReading | None = None
        self.taken = self.malformed = 0

    def take(self, q: ArrayLike, dq: ArrayLike, stamp_ns: int) -> str:
        """Store a joint state. Returns why it cannot continue the last one (clock or arm jumped), else empty."""
        q, dq = np.array(q, dtype=np.float64), np.array(dq, dtype=np.float64)
        if (
            q.shape != (self._n,)
            or dq.shape != (self._n,)
            or not (np.isfinite(q).all() and np.isfinite(dq).all())
        ):
            self.malformed += 1
            return ""
        previous = self.latest
        passed = 0.0 if previous is None else (stamp_ns - previous.stamp_ns) * 1e-9
        if -REORDERING < passed < 0.0:
            return ""
        self.latest = JointReading(stamp_ns, q, dq)
        self.taken += 1
        if previous is None:
            return ""
        if passed < 0.0:
            return f"joint states jumped back by {-passed:.3f} s"
        # What moves faster than joints can does not explain a step; it may have been worked out from it.
        speed = np.minimum(np.maximum(np.abs(dq), np.abs(previous.dq)), self._velocity)
        explained = passed * (speed + passed * self._acceleration)
        if np.any(np.abs(q - previous.q) > explained + JUMP_SLACK):
            return JUMPED
        return ""

    def obstacle(self, q: Array, now_ns: int, timeout: float) -> str:
        """Why the arm cannot start from positions ``q`` (n,), as far as it has been seen; empty if it can."""
        if self.latest is None:
            return ""
        if not self.latest.at_rest:
            return MOVING
        if abs(self.age(now_ns)) > timeout:
            return f"{STALE}: the last is {self.age(now_ns):.2f} s old"
        if not np.allclose(q, self.latest.q, rtol=0.0, atol=START_TOLERANCE):
            where, claimed = (np.round(x, 3).tolist() for x in (self.latest.q, q))
            return f"the arm is at {where}, not at {claimed}"
        return ""

    def forget(self) -> None:
        """Act as if nothing had been received."""
        self.latest = None

    def age(self, now_ns: int) -> float:
        """Seconds since the newest joint state; infinite without one."""
        return float("inf") if self.latest is None else (now_ns - self.latest.stamp_ns) * 1e-9


def pose_error(a: SE3, b: SE3) -> tuple[float, float]:
    """Distance [m] and angle [rad] between two poses."""
    turn = pin.log3(a.rotation @ b.rotation.T)
    return float(np.linalg.norm(a.translation - b.translation)), float(np.linalg.norm(turn))
