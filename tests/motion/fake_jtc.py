"""A stand-in for a joint_trajectory_controller that keeps its rules, and an ideal arm."""

from itertools import pairwise

import numpy as np
from spatial_vla_sim.joint_path import JointPath

#: The arm is looked at this often [s].
FINE = 0.001


class Rejected(AssertionError):
    """The controller would have rejected the trajectory."""


class FakeJtc:
    """Follows the newest trajectory, bridging from the desired state; records what the arm does at 1 kHz."""

    def __init__(self, q):
        self.path, self.now = JointPath.holding(np.array(q, dtype=float)), 0.0
        self.received = 0
        self.positions, self.velocities = [], []

    def send(self, points):
        """Way-points from now on; an empty trajectory is rejected, as everything is that JTC rejects."""
        if not points:
            raise Rejected("no points")
        times = [p.time_from_start for p in points]
        if times[0] <= 0.0 or any(b <= a for a, b in pairwise(times)):
            raise Rejected(f"time_from_start must be positive and increase strictly: {times}")
        if np.any(points[-1].velocities != 0.0):
            raise Rejected("velocity of the last point is not zero")
        for p in points:
            if p.positions.shape != p.velocities.shape or not np.isfinite(p.positions).all():
                raise Rejected("sizes differ or values are not finite")
        self.received += 1
        rows = [(p.time_from_start, p.positions, p.velocities) for p in points]
        self.path = self.path.replaced(self.now, self.now, rows)

    def advance(self, seconds=0.01):
        q, dq = self.path.sample(self.now + FINE * np.arange(1, round(seconds / FINE) + 1))
        self.positions.extend(q)
        self.velocities.extend(dq)
        self.now += FINE * len(q)

    @property
    def q(self):
        return self.path.sample(np.array([self.now]))[0][0]

    @property
    def dq(self):
        return self.path.sample(np.array([self.now]))[1][0]
