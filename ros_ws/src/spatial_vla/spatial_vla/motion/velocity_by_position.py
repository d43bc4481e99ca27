"""Speed limits that shrink towards the joint stops, as the Franka Research 3 has them.

Near a stop the arm must be slow enough to brake before it, and the robot's own controller ends a motion that is not.
The published form: an offset below the square root of a gain times the way that is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FIELDS = ("offset", "gain", "lower", "upper")


@dataclass(frozen=True, eq=False)
class VelocityByPosition:
    """Per joint (n,): ``offset`` [rad/s], ``gain`` [rad/s^2], and the positions at which the way ends [rad]."""

    offset: Array
    gain: Array
    lower: Array
    upper: Array

    @classmethod
    def from_table(
        cls, table: Mapping[str, Mapping[str, float]], joints: Sequence[str]
    ) -> VelocityByPosition:
        """From joint name -> the four values.

        Raises:
            ValueError: a joint or one of its values is missing.
        """
        for joint in joints:
            if missing := [name for name in FIELDS if name not in table.get(joint, {})]:
                raise ValueError(f"velocity_by_position of {joint} lacks {missing}; give all joints or none")
        return cls(*(np.array([float(table[joint][name]) for joint in joints]) for name in FIELDS))

    def at(self, q: Array) -> tuple[Array, Array]:
        """Largest speed (n,) [rad/s] towards the lower and towards the upper stop at ``q`` (n,) [rad]."""
        return self._speed(q - self.lower), self._speed(self.upper - q)

    def _speed(self, way: Array) -> Array:
        return np.maximum(np.sqrt(np.maximum(self.gain * way, 0.0)) - self.offset, 0.0)
