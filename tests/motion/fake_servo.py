"""A stand-in for MoveIt Servo that keeps its rules, and the arm that it moves. Time passes in ``advance`` alone."""

import numpy as np
from spatial_vla.motion.measurement import JointReading

TICK = 0.01
TIMEOUT = 0.1
INVALID, NO_WARNING, SINGULARITY, BOUND = -1, 0, 2, 6


class FakeServo:
    """The port, the node behind it and an ideal arm.

    Args:
        scale: cap of linear and angular speed, as ``scale.linear`` and ``scale.rotational`` in speed_units.
    """

    def __init__(self, model, limits, q, frame="panda_link0", scale=(0.25, 1.6)):
        self.model, self.limits, self.frame, self.scale = model, limits, frame, scale
        self.q, self.dq = np.array(q, dtype=float), np.zeros(len(q))
        self.now = 10.0
        self.command_type = None
        self.paused = False
        self.code, self.status_at = NO_WARNING, self.now
        self.silent = False
        self.latest = None
        self.ignored = 0
        self.sent = []
        self.positions, self.velocities = [self.q.copy()], [self.dq.copy()]

    # ---- the port ---------------------------------------------------------------------------------------------

    def send(self, twist, frame=None, stamp=None):
        twist = np.asarray(twist, dtype=float)
        assert twist.shape == (6,)
        self.sent.append(twist)
        if self.command_type != "TWIST" or self.paused:
            self.ignored += 1
            return
        frame, stamp = frame or self.frame, self.now if stamp is None else stamp
        if frame != self.frame or stamp == 0 or not np.isfinite(twist).all():
            self.code = INVALID
            return
        self.latest = (stamp, twist)

    def pause(self, paused):
        assert isinstance(paused, bool)
        self.paused = paused
        if not paused:
            self.latest = None  # smoothing starts anew from the measured state

    def status(self):
        return self.code, self.now - self.status_at

    def reading(self):
        return JointReading(round(self.now * 1e9), self.q.copy(), self.dq.copy())

    def set_clock(self, seconds):
        """The clock is set by so much; stamps of before are then of the future, or old."""
        self.now += seconds
        self.status_at += seconds  # the port measures that age by a clock that nobody sets

    # ---- the node ---------------------------------------------------------------------------------------------

    def advance(self, seconds=TICK):
        for _ in range(round(seconds / TICK)):
            self._cycle()

    def _cycle(self):
        wanted = np.zeros(6)
        if not self.paused and self.latest is not None and self.now - self.latest[0] < TIMEOUT:
            wanted = self.latest[1].copy()
            for part, cap in ((slice(0, 3), self.scale[0]), (slice(3, 6), self.scale[1])):
                norm = np.linalg.norm(wanted[part])
                wanted[part] *= min(1.0, cap / norm) if norm else 1.0
            if self.code == INVALID:
                self.code = NO_WARNING
        dq = self._inverse(wanted)
        # Smoothing: no joint changes its speed faster than its acceleration allows.
        change = 0.99 * self.limits.joints.acceleration * TICK
        dq = self.dq + np.clip(dq - self.dq, -change, change)
        ahead = self.q + TICK * dq
        if np.any(ahead < self.limits.joints.lower) or np.any(ahead > self.limits.joints.upper):
            self.code, dq = BOUND, np.zeros_like(dq)
        self.q, self.dq, self.now = self.q + TICK * dq, dq, self.now + TICK
        if not (self.silent or self.paused):  # paused, it says nothing
            self.status_at = self.now
        self.positions.append(self.q.copy())
        self.velocities.append(self.dq.copy())

    def _inverse(self, twist):
        jacobian = self.model.jacobian(self.q)
        if not twist.any():
            return np.zeros(len(self.q))
        values = np.linalg.svd(jacobian, compute_uv=False)
        if values[0] / values[-1] > 60.0:
            self.code = SINGULARITY
            return np.zeros(len(self.q))
        return np.linalg.pinv(jacobian) @ twist
