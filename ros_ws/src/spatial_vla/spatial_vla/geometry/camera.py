"""Pinhole camera: projection, back-projection, and what resizing and cropping do to the intrinsics.

Pixel convention (OpenCV, ROS): the centre of the top-left pixel is (0, 0). Optical frame (REP-103): z forward,
x right, y down. Depth is metres along the optical z axis (REP-118), not range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PinholeCamera:
    """Intrinsics of a rectified (undistorted) image: size and focal lengths in pixels."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"camera size {self.width}x{self.height} is not an image")
        if not all(np.isfinite((self.fx, self.fy, self.cx, self.cy))) or self.fx <= 0.0 or self.fy <= 0.0:
            raise ValueError(
                f"camera is not calibrated: fx={self.fx}, fy={self.fy}, cx={self.cx}, cy={self.cy}; the focal lengths "
                "must be positive. Publish a CameraInfo with a filled K (K[0] == 0 means uncalibrated, REP-104); "
                "`spatial-vla calibrate intrinsics` finds it."
            )

    @classmethod
    def from_K(cls, width: int, height: int, K: ArrayLike) -> PinholeCamera:
        """From a 3x3 (or 9-element row-major) intrinsic matrix; skew must be zero."""
        k = np.asarray(K, dtype=np.float64).reshape(3, 3)
        if abs(k[0, 1]) > 1e-9:
            raise ValueError(f"camera matrix has skew {k[0, 1]:.3g}; only zero skew is supported")
        return cls(width, height, float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))

    @property
    def K(self) -> Array:
        """Intrinsic matrix (3, 3)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, width: int, height: int) -> PinholeCamera:
        """Intrinsics after ``cv2.resize`` to (width, height): c' = (c + 0.5) s - 0.5, exact for pixel centres."""
        sx, sy = width / self.width, height / self.height
        return PinholeCamera(
            width, height, self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> PinholeCamera:
        """Intrinsics of the window whose top-left pixel is (x, y)."""
        if x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise ValueError(f"crop {width}x{height}+{x}+{y} leaves the {self.width}x{self.height} image")
        return PinholeCamera(width, height, self.fx, self.fy, self.cx - x, self.cy - y)

    def project(self, points: ArrayLike) -> Array:
        """Points (..., 3) in the optical frame [m] to pixels (..., 2) as (u, v); NaN where z <= 0."""
        p = np.asarray(points, dtype=np.float64)
        z = np.where(p[..., 2] > 0.0, p[..., 2], np.nan)
        return np.stack((self.fx * p[..., 0] / z + self.cx, self.fy * p[..., 1] / z + self.cy), axis=-1)

    def rays(self) -> Array:
        """Direction of every pixel with unit z, (height, width, 3), optical frame."""
        u = (np.arange(self.width) - self.cx) / self.fx
        v = (np.arange(self.height) - self.cy) / self.fy
        uu, vv = np.meshgrid(u, v)
        return np.stack((uu, vv, np.ones_like(uu)), axis=-1).astype(np.float64)

    def back_project(self, depth: ArrayLike) -> Array:
        """Depth image (height, width) [m] to points (height, width, 3) in the optical frame.

        Invalid depth (0, negative, NaN, infinite; REP-117) gives NaN points.
        """
        d = np.asarray(depth, dtype=np.float64)
        if d.shape != (self.height, self.width):
            raise ValueError(f"depth has shape {d.shape}, the camera says {(self.height, self.width)}")
        d = np.where(np.isfinite(d) & (d > 0.0), d, np.nan)
        return self.rays() * d[..., None]
