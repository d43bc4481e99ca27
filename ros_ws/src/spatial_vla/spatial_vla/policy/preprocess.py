"""From camera frames and transforms to the arrays that encoder and decoder take.

The same functions serve training and the robot, so that the two cannot drift apart.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3, PinholeCamera
from ..geometry.ego3d import by_patch


def encoder_image(
    rgb: NDArray[np.uint8], size: int, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """RGB (H, W, 3) uint8 to the encoder's input (1, 3, size, size) float32 in [0, 1], written to ``out`` if given.

    The image is resized without keeping its aspect ratio, as SpatialVLA does; :func:`cell_points` scales the
    intrinsics to match.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3) uint8 RGB, got shape {rgb.shape}, dtype {rgb.dtype}")
    if rgb.shape[:2] != (size, size):
        shrinking = rgb.shape[0] * rgb.shape[1] > size * size
        method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        rgb = np.asarray(cv2.resize(rgb, (size, size), interpolation=method), dtype=np.uint8)
    image = np.empty((1, 3, size, size), np.float32) if out is None else out
    return np.divide(rgb.transpose(2, 0, 1)[None], np.float32(255.0), out=image)


def cell_pixels(size: int, patch: int, cells: int) -> NDArray[np.int64]:
    """Coordinate of the pixel that stands for each sub-cell along one image axis, (size / patch * side,).

    ``cells`` per patch form a square of side sqrt(cells); the pixel right of the middle of the sub-cell is taken.
    """
    stride = patch // round(cells**0.5)
    return np.arange(stride // 2, size, stride)


def cell_points(
    depth: NDArray[np.float32],
    camera: PinholeCamera,
    base_from_camera: SE3,
    *,
    size: int,
    patch: int,
    cells: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Back-project one pixel of every sub-cell into the robot's base frame.

    Args:
        depth: (H, W) metres along the optical axis; 0, NaN and infinity are invalid.
        camera: intrinsics of that depth image, registered to the colour image.
        base_from_camera: pose of the optical frame at capture.
        size, patch, cells: the encoder's image side, patch side, and sub-cells per patch.

    Returns:
        points (patches, cells, 3) float32 [m], zero where invalid, and valid (patches, cells).
    """
    if depth.shape != (camera.height, camera.width):
        raise ValueError(f"depth is {depth.shape}, its camera says {(camera.height, camera.width)}")
    scaled = camera.resized(size, size)
    at = cell_pixels(size, patch, cells)
    # Nearest pixel of the original image: interpolating depth would invent points between object and table.
    row = np.clip(np.round((at + 0.5) * camera.height / size - 0.5).astype(int), 0, camera.height - 1)
    col = np.clip(np.round((at + 0.5) * camera.width / size - 0.5).astype(int), 0, camera.width - 1)
    d = depth[row[:, None], col].astype(np.float64)
    valid = np.isfinite(d) & (d > 0.0)
    rays = np.stack(np.broadcast_arrays(*_rays(at, scaled)), axis=-1)
    points = base_from_camera.apply(rays * np.where(valid, d, 0.0)[..., None])
    points[~valid] = 0.0
    side = patch // int(at[1] - at[0])
    return by_patch(points.astype(np.float32), side), by_patch(valid, side)


def _rays(at: NDArray[np.int64], camera: PinholeCamera) -> tuple[NDArray, NDArray, NDArray]:
    x = ((at - camera.cx) / camera.fx)[None, :]
    y = ((at - camera.cy) / camera.fy)[:, None]
    return x, y, np.ones((1, 1))


def tool_state(base_from_tcp: SE3, gripper_width: float) -> NDArray[np.float32]:
    """Tool position (3) [m], first two columns of its rotation (6), opening as a share of 80 mm (1): (10,) float32."""
    rotation = base_from_tcp.rotation[:, :2].T.reshape(-1)
    return np.concatenate((base_from_tcp.translation, rotation, [gripper_width / 0.08])).astype(np.float32)
