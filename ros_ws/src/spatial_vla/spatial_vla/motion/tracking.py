"""Does the arm go where it is commanded to go? Decides when to stop because it does not, and when that is a fault."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

import numpy as np

from .history import Setpoint
from .measurement import pose_error

#: A set-point slower than this [m/s, rad/s] stands still; the tool has arrived when it is this near [m, rad].
STILL = 1e-3
ARRIVED = (1e-3, 5e-3)
#: Stops are counted over this time [s].
WINDOW = 10.0


def arrived_at(wanted: Setpoint, reached: Setpoint) -> bool:
    """True if the tool is where it shall stand still."""
    if np.any(np.abs(wanted.twist) > STILL):
        return False
    distance, angle = pose_error(wanted.pose, reached.pose)
    return distance < ARRIVED[0] and angle < ARRIVED[1]


class Tracking(Enum):
    """What is known about how the arm follows."""

    FOLLOWS = auto()
    UNDECIDED = auto()
    LOST = auto()
    FAULT = auto()


class TrackingWatch:
    """LOST beyond the limits, FOLLOWS again within half of them; FAULT when that lasts or happens again and again."""

    def __init__(self, limits: tuple[float, float], fault_after: float, stops_allowed: int) -> None:
        """Limits of distance [m] and angle [rad]; seconds of LOST, and stops within ten seconds, that are a fault."""
        self._limits, self._fault_after, self._stops_allowed = limits, fault_after, stops_allowed
        self._since_ns: int | None = None
        self._stops: deque[int] = deque()

    def forget(self) -> None:
        """The arm starts anew."""
        self._since_ns = None

    def forgive(self) -> None:
        """A person has looked at it: earlier stops no longer count."""
        self.forget()
        self._stops.clear()

    def judge(self, distance: float, angle: float, now_ns: int) -> Tracking:
        """Take in the present error [m, rad]."""
        share = max(distance / self._limits[0], angle / self._limits[1])
        if share < 0.5:
            self._since_ns = None
            return Tracking.FOLLOWS
        if share > 1.0 and self._since_ns is None:
            self._since_ns = now_ns
            self._count(now_ns)
        if self._since_ns is None:
            return Tracking.UNDECIDED
        if now_ns - self._since_ns > self._fault_after * 1e9 or len(self._stops) > self._stops_allowed:
            return Tracking.FAULT
        return Tracking.LOST if share > 1.0 else Tracking.UNDECIDED

    def _count(self, now_ns: int) -> None:
        self._stops.append(now_ns)
        while abs(now_ns - self._stops[0]) > WINDOW * 1e9:
            self._stops.popleft()
