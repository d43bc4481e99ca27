"""Rigid-body transforms in SE(3).

Naming: ``base_from_camera`` maps points given in the camera frame into the base frame, so transforms chain by
reading inner names: ``base_from_camera @ camera_from_object``. Quaternions are (x, y, z, w) as in ROS messages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


def rotvec_to_matrix(rotvec: ArrayLike) -> Array:
    """Exponential map of SO(3): rotation vector (..., 3) [rad] to rotation matrix (..., 3, 3)."""
    return Rotation.from_rotvec(np.asarray(rotvec, dtype=np.float64)).as_matrix()


def matrix_to_rotvec(rotation: ArrayLike) -> Array:
    """Logarithm of SO(3): rotation matrix (..., 3, 3) to rotation vector (..., 3) [rad], norm in [0, pi]."""
    return Rotation.from_matrix(np.asarray(rotation, dtype=np.float64)).as_rotvec()


@dataclass(frozen=True, eq=False)
class SE3:
    """A rigid transform: ``rotation`` (3, 3) orthonormal and ``translation`` (3,) in metres, both float64."""

    rotation: Array
    translation: Array

    def __post_init__(self) -> None:
        rotation = np.asarray(self.rotation, dtype=np.float64)
        translation = np.asarray(self.translation, dtype=np.float64)
        if rotation.shape != (3, 3) or translation.shape != (3,):
            raise ValueError(
                f"SE3 needs rotation (3, 3) and translation (3,), got {rotation.shape} and {translation.shape}"
            )
        if not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
            raise ValueError("SE3 needs finite numbers, got NaN or infinity")
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation", translation)

    @classmethod
    def identity(cls) -> SE3:
        """The transform that changes nothing."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_matrix(cls, matrix: ArrayLike) -> SE3:
        """From a homogeneous 4x4 matrix."""
        m = np.asarray(matrix, dtype=np.float64)
        if m.shape != (4, 4):
            raise ValueError(f"SE3.from_matrix needs shape (4, 4), got {m.shape}")
        return cls(m[:3, :3], m[:3, 3])

    @classmethod
    def from_quaternion(cls, translation: ArrayLike, quaternion_xyzw: ArrayLike) -> SE3:
        """From a translation (3,) and a quaternion (x, y, z, w); the quaternion is normalised.

        Raises:
            ValueError: if the quaternion's norm is off 1 by more than 1 %, which means it was never one.
        """
        q = np.asarray(quaternion_xyzw, dtype=np.float64)
        norm = float(np.linalg.norm(q))
        if not abs(norm - 1.0) < 0.01:
            raise ValueError(
                f"quaternion {q.tolist()} has norm {norm:.4g}; expected a unit quaternion (x, y, z, w)"
            )
        return cls(Rotation.from_quat(q).as_matrix(), np.asarray(translation, dtype=np.float64))

    def matrix(self) -> Array:
        """Homogeneous 4x4 matrix."""
        m = np.eye(4)
        m[:3, :3] = self.rotation
        m[:3, 3] = self.translation
        return m

    def quaternion(self) -> Array:
        """Unit quaternion (x, y, z, w)."""
        return Rotation.from_matrix(self.rotation).as_quat()

    def inverse(self) -> SE3:
        """The transform in the other direction."""
        return SE3(self.rotation.T, -self.rotation.T @ self.translation)

    def __matmul__(self, other: SE3) -> SE3:
        return SE3(self.rotation @ other.rotation, self.rotation @ other.translation + self.translation)

    def apply(self, points: ArrayLike) -> Array:
        """Map points (..., 3) [m] from the inner frame into the outer one."""
        return np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation
