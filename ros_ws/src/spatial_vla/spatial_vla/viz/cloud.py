"""Coloured point cloud of a depth image, in the memory layout of sensor_msgs/PointCloud2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spatial_vla.geometry import PinholeCamera

# x, y, z [m] and 0x00RRGGBB, the layout that rviz and Foxglove read as fields "x", "y", "z", "rgb".
POINT_DTYPE = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])


def coloured_cloud(
    depth: NDArray[np.float32], camera: PinholeCamera, colours: NDArray[np.uint8], stride: int = 2
) -> NDArray[np.void]:
    """Points of a depth image that have a valid depth.

    Args:
        depth: (height, width) metres along the optical axis; 0, NaN and infinity are invalid.
        camera: intrinsics of the depth image.
        colours: (height, width, 3) RGB.
        stride: take every stride-th pixel of both axes.

    Returns:
        (N,) structured array of ``POINT_DTYPE`` in the optical frame.

    Raises:
        ValueError: if depth, camera and colours differ in size.
    """
    if colours.shape != (*depth.shape, 3):
        raise ValueError(f"colours have shape {colours.shape}, the depth image needs {(*depth.shape, 3)}")
    points = camera.back_project(depth)[::stride, ::stride].reshape(-1, 3)
    rgb = colours[::stride, ::stride].reshape(-1, 3).astype(np.uint32)
    valid = np.isfinite(points[:, 2])
    cloud = np.empty(int(valid.sum()), dtype=POINT_DTYPE)
    cloud["x"], cloud["y"], cloud["z"] = points[valid].T
    cloud["rgb"] = (rgb[valid] << np.array([16, 8, 0], dtype=np.uint32)).sum(axis=1)
    return cloud
