"""A camera with its lens distortion, and the pose of a board that it sees."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3, PinholeCamera
from .board import Corners
from .errors import CalibrationError

Array = NDArray[np.float64]

#: Distortion model of ROS -> number of coefficients (k1, k2, p1, p2, k3, k4, k5, k6).
DISTORTION_MODELS = {"plumb_bob": 5, "rational_polynomial": 8}


@dataclass(frozen=True, eq=False)
class CalibratedCamera:
    """Intrinsics of raw images: pinhole and distortion as in ``sensor_msgs/CameraInfo``.

    Attributes:
        pinhole: size and focal lengths of the undistorted projection with the same K.
        distortion: coefficients (5,) or (8,) in OpenCV's order.
        model: "plumb_bob" or "rational_polynomial".
        covariance: (4 + n, 4 + n) of fx, fy, cx, cy and the coefficients; zero if not known.
    """

    pinhole: PinholeCamera
    distortion: Array
    model: str = "plumb_bob"
    covariance: Array | None = None

    def __post_init__(self) -> None:
        if self.model not in DISTORTION_MODELS:
            raise CalibrationError(
                f"distortion model is {self.model!r}; supported: {', '.join(DISTORTION_MODELS)}"
            )
        d = np.asarray(self.distortion, dtype=np.float64).ravel()
        if d.shape != (DISTORTION_MODELS[self.model],) or not np.isfinite(d).all():
            raise CalibrationError(
                f"distortion is {d.tolist()}; {self.model} needs {DISTORTION_MODELS[self.model]} finite coefficients"
            )
        object.__setattr__(self, "distortion", d)

    @classmethod
    def undistorted(cls, pinhole: PinholeCamera) -> CalibratedCamera:
        """A camera whose images have no distortion."""
        return cls(pinhole, np.zeros(5))

    def project(self, points: Array) -> Array:
        """Points (n, 3) in the optical frame [m] to raw pixels (n, 2)."""
        pixels, _ = cv2.projectPoints(
            np.asarray(points, np.float64), np.zeros(3), np.zeros(3), self.pinhole.K, self.distortion
        )
        return np.asarray(pixels, dtype=np.float64).reshape(-1, 2)

    def projection_slopes(self, points: Array) -> tuple[Array, Array]:
        """How pixels move with points (n, 3) in the optical frame, (n, 2, 3) [px/m], and with the intrinsics.

        The second has shape (n, 2, 4 + coefficients), in the order of :attr:`covariance`.
        """
        _, jacobian = cv2.projectPoints(
            np.asarray(points, np.float64), np.zeros(3), np.zeros(3), self.pinhole.K, self.distortion
        )
        columns = np.asarray(jacobian, dtype=np.float64).reshape(len(points), 2, -1)
        # OpenCV's order: rotation, translation, focal lengths, centre, distortion.
        return columns[:, :, 3:6], columns[:, :, 6:]


@dataclass(frozen=True, eq=False)
class BoardPose:
    """Where a board is, seen by one camera in one image.

    Attributes:
        camera_from_board: the pose.
        information: (6, 6) of (translation of the board's origin [m], rotation vector [rad]), both along the axes of
            the optical frame, for corners that are known to 1 px; its inverse is the covariance.
        residuals: (n, 2) of the corners [px].
        intrinsics_slope: (6, k) of the pose, as in ``information``, with the camera's intrinsics.
        intrinsics_covariance: (k, k) of the camera.
    """

    camera_from_board: SE3
    information: Array
    residuals: Array
    intrinsics_slope: Array
    intrinsics_covariance: Array

    @property
    def rms(self) -> float:
        """Root mean square distance of the corners from where the pose puts them [px]."""
        return float(np.sqrt(np.mean(np.sum(self.residuals**2, axis=1))))


def board_pose(corners: Corners, camera: CalibratedCamera) -> BoardPose:
    """Pose of a board from its corners: both planar solutions (Collins and Bartoli 2014), each refined, the better one.

    Raises:
        CalibrationError: no pose explains the corners.
    """
    arguments = (corners.points, corners.pixels, camera.pinhole.K, camera.distortion)
    _, turns, moves, _ = cv2.solvePnPGeneric(*arguments, flags=cv2.SOLVEPNP_IPPE)
    refined = [cv2.solvePnPRefineLM(*arguments, r, t) for r, t in zip(turns, moves, strict=True)]
    poses = [
        _described(SE3(_matrix(r), np.asarray(t, np.float64).ravel()), corners, camera) for r, t in refined
    ]
    if not poses:
        raise CalibrationError(f"no pose of the board explains its {len(corners.pixels)} corners")
    return min(poses, key=lambda pose: pose.rms)


def _described(pose: SE3, corners: Corners, camera: CalibratedCamera) -> BoardPose:
    seen = pose.apply(corners.points)
    residuals = camera.project(seen) - corners.pixels
    slope, intrinsics = camera.projection_slopes(seen)
    k = intrinsics.shape[2]
    arm = seen - pose.translation
    turning = np.einsum("nij,njk->nik", slope, -skew(arm))
    jacobian = np.concatenate((slope, turning), axis=2).reshape(-1, 6)
    information = jacobian.T @ jacobian
    shift = -np.linalg.solve(information, jacobian.T @ intrinsics.reshape(-1, k))
    covariance = np.zeros((k, k)) if camera.covariance is None else camera.covariance
    return BoardPose(pose, information, residuals, np.asarray(shift, np.float64), covariance)


def _matrix(rotation_vector: NDArray) -> Array:
    return np.asarray(cv2.Rodrigues(rotation_vector)[0], dtype=np.float64)


def skew(vectors: Array) -> Array:
    """Matrices (..., 3, 3) of the cross product with ``vectors`` (..., 3)."""
    x, y, z = np.moveaxis(np.asarray(vectors, dtype=np.float64), -1, 0)
    zero = np.zeros_like(x)
    return np.stack(
        (
            np.stack((zero, -z, y), axis=-1),
            np.stack((z, zero, -x), axis=-1),
            np.stack((-y, x, zero), axis=-1),
        ),
        axis=-2,
    )
