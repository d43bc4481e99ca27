"""Where the commanded pose has been: chunks are tied to it by the time of their observation."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from ..geometry import SE3

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Setpoint:
    """Commanded motion of the tool centre point at one instant.

    Attributes:
        pose: base_from_tcp.
        twist: (6,) linear [m/s] and angular [rad/s] velocity, both along base axes.
    """

    pose: SE3
    twist: Array

    @classmethod
    def at_rest(cls, pose: SE3) -> Setpoint:
        """Standing still at ``pose``."""
        return cls(pose, np.zeros(6))

    @property
    def finite(self) -> bool:
        """True if no number is NaN or infinite."""
        numbers = (self.pose.rotation, self.pose.translation, self.twist)
        return all(np.isfinite(values).all() for values in numbers)


class PoseHistory:
    """The last ``length_ns`` of commanded set-points, in time order."""

    def __init__(self, length_ns: int = 2_000_000_000) -> None:
        self._length_ns = length_ns
        self._stamps: list[int] = []
        self._setpoints: list[Setpoint] = []

    def clear(self) -> None:
        """Forget everything."""
        self._stamps.clear()
        self._setpoints.clear()

    def append(self, stamp_ns: int, setpoint: Setpoint) -> None:
        """Add a set-point; an earlier time than the last one overwrites what it contradicts."""
        keep = bisect_right(self._stamps, stamp_ns - 1)
        del self._stamps[keep:], self._setpoints[keep:]
        self._stamps.append(stamp_ns)
        self._setpoints.append(setpoint)
        # Pruned in batches: deleting from the front of a list moves all of it.
        if stamp_ns - self._stamps[0] > 2 * self._length_ns:
            old = bisect_right(self._stamps, stamp_ns - self._length_ns) - 1
            del self._stamps[:old], self._setpoints[:old]

    @property
    def last_ns(self) -> int:
        """Time of the newest set-point."""
        return self._stamps[-1]

    @property
    def last(self) -> Setpoint:
        """The newest set-point."""
        return self._setpoints[-1]

    def at(self, stamp_ns: int) -> Setpoint:
        """Set-point at a time: linear and spherical interpolation; before the first or after the last: that one.

        Raises:
            LookupError: if the history is empty.
        """
        if not self._stamps:
            raise LookupError("no commanded pose yet: the reference was never anchored")
        after = bisect_right(self._stamps, stamp_ns)
        if after == 0 or after == len(self._stamps):
            return self._setpoints[min(after, len(self._stamps) - 1)]
        a, b = self._setpoints[after - 1], self._setpoints[after]
        s = (stamp_ns - self._stamps[after - 1]) / (self._stamps[after] - self._stamps[after - 1])
        turn = pin.log3(b.pose.rotation @ a.pose.rotation.T)
        pose = SE3(
            pin.exp3(s * turn) @ a.pose.rotation,
            a.pose.translation + s * (b.pose.translation - a.pose.translation),
        )
        return Setpoint(pose, a.twist + s * (b.twist - a.twist))
