"""What happened to the objects since a reset: touched by the robot, displaced, lifted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ContactRecord:
    """Per object: where it stood at the reset, how far it has ever been from there, how high it has ever been.

    start (n, 3) [m]; displacement (n,) largest distance from start [m]; rise (n,) largest height above start [m];
    touched: indices of the objects that any part of the robot has touched, as seen once per ``World.step``.
    """

    start: Array
    displacement: Array
    rise: Array
    touched: frozenset[int]

    @classmethod
    def since(cls, start: Array) -> ContactRecord:
        """The record of a world in which nothing has happened yet."""
        return cls(start, np.zeros(len(start)), np.zeros(len(start)), frozenset())

    def updated(self, touched: frozenset[int], positions: Array) -> ContactRecord:
        """The record after the objects were seen at ``positions`` (n, 3), those in ``touched`` touched by the robot."""
        moved = positions - self.start
        return ContactRecord(
            self.start,
            np.maximum(self.displacement, np.linalg.norm(moved, axis=1)),
            np.maximum(self.rise, moved[:, 2]),
            self.touched | touched,
        )
