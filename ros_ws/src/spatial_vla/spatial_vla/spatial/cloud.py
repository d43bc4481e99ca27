"""Free space as a depth picture or a point cloud shows it, for surfaces whose obstacles have no boxes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..geometry import SE3, PinholeCamera
from .scene import SupportSurface

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CloudOccupancy:
    """A grid over a surface: a cell is free if the surface was seen in it and nothing stands there.

    What was not observed is not free. ``gap`` (rows, columns) is the distance of each cell's centre to the nearest cell
    that is not free [m]; ``origin`` (2,) the corner of cell (0, 0), ``cell`` the side of a cell [m].
    """

    surface: SupportSurface
    origin: Array
    cell: float
    gap: Array

    @classmethod
    def from_points(
        cls,
        surface: SupportSurface,
        points: ArrayLike,
        cell: float = 0.01,
        headroom: float = 0.3,
        tolerance: float = 0.01,
    ) -> CloudOccupancy:
        """From points (n, 3) in the surface's frame [m]; NaN points are left out.

        Args:
            headroom: points up to this high above the surface stand in the way [m].
            tolerance: points this near to the surface's height are the surface itself [m].
        """
        cloud = np.asarray(points, np.float64).reshape(-1, 3)
        cloud = cloud[np.isfinite(cloud).all(axis=1)]
        origin = surface.corners.min(axis=0) - 2.0 * cell
        columns, rows = np.ceil((surface.corners.max(axis=0) + 2.0 * cell - origin) / cell).astype(int)
        height = cloud[:, 2] - surface.height
        seen = _cells(cloud[np.abs(height) <= tolerance], origin, cell, (rows, columns))
        taken = _cells(cloud[(height > tolerance) & (height < headroom)], origin, cell, (rows, columns))
        free = np.pad(seen & ~taken, 1)
        steps = cv2.distanceTransform(free.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return cls(surface, origin, cell, np.asarray(steps, np.float64)[1:-1, 1:-1] * cell)

    @classmethod
    def from_depth(
        cls,
        surface: SupportSurface,
        depth: ArrayLike,
        camera: PinholeCamera,
        scene_from_camera: SE3,
        cell: float = 0.01,
        headroom: float = 0.3,
        tolerance: float = 0.01,
    ) -> CloudOccupancy:
        """From a depth picture (height, width) [m]; 0 and NaN are unknown."""
        points = scene_from_camera.apply(camera.back_project(depth))
        return cls.from_points(surface, points, cell, headroom, tolerance)

    def clearance(self, points: Array) -> Array:
        """Lower bound of the distance of points (p, 2) to what is not known to be free, and to the edge [m]."""
        column, row = np.floor((points - self.origin) / self.cell).astype(int).T
        rows, columns = self.gap.shape
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        found = self.gap[row.clip(0, rows - 1), column.clip(0, columns - 1)]
        # Both the point and the obstacle may be anywhere in their cells.
        gap = np.where(inside & (found > 0.0), found - np.sqrt(2.0) * self.cell, -np.inf)
        return np.minimum(gap, self.surface.margin(points))


def seen_in_depth(
    depth: NDArray[np.floating], camera: PinholeCamera, points: Array, tolerance: float = 0.01
) -> NDArray[np.bool_]:
    """Whether points (p, 3) in the optical frame are in the picture and nothing is measured before them [m]."""
    pixels = camera.project(points)
    with np.errstate(invalid="ignore"):
        u, v = np.nan_to_num(np.rint(pixels), nan=-1.0).astype(int).T
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    measured = depth[v.clip(0, camera.height - 1), u.clip(0, camera.width - 1)]
    return inside & np.isfinite(measured) & (measured > 0.0) & (measured >= points[:, 2] - tolerance)


def _cells(points: Array, origin: Array, cell: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    column, row = np.floor((points[:, :2] - origin) / cell).astype(int).T
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    out = np.zeros(shape, bool)
    out[row[inside], column[inside]] = True
    return out
