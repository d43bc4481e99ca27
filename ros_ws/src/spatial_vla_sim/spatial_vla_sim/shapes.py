"""Exact geometry of the convex primitives that objects are made of.

An object's size is MuJoCo's: half extents (x, y, z) of a box, (radius, half height) of a cylinder, (radius,) of a ball.
Points are in the object's own frame, origin at its centre, z up when it stands; metres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Size = tuple[float, ...]

#: Which primitive each shape is.
PRIMITIVE = {"cube": "box", "brick": "box", "cylinder": "cylinder", "ball": "sphere"}


def distance(shape: str, size: Size, point: ArrayLike) -> float:
    """Distance [m] from a point (3,) to the solid; 0 inside it."""
    p = np.abs(np.asarray(point, dtype=np.float64))
    kind = PRIMITIVE[shape]
    if kind == "box":
        return float(np.linalg.norm(np.maximum(p - size, 0.0)))
    if kind == "cylinder":
        return float(np.hypot(max(np.hypot(p[0], p[1]) - size[0], 0.0), max(p[2] - size[1], 0.0)))
    return max(float(np.linalg.norm(p)) - size[0], 0.0)


def half_extents(shape: str, size: Size) -> Array:
    """Half extents (3,) of the bounding box in the object's frame."""
    kind = PRIMITIVE[shape]
    if kind == "box":
        return np.array(size)
    if kind == "cylinder":
        return np.array([size[0], size[0], size[1]])
    return np.full(3, size[0])


def reach_along(shape: str, size: Size, direction: ArrayLike) -> float:
    """How far the solid extends from its centre along a unit direction (3,), its support function [m]."""
    d = np.abs(np.asarray(direction, dtype=np.float64))
    kind = PRIMITIVE[shape]
    if kind == "box":
        return float(d @ np.array(size))
    if kind == "cylinder":
        return float(size[0] * np.hypot(d[0], d[1]) + size[1] * d[2])
    return size[0]


def volume(shape: str, size: Size) -> float:
    """Volume [m^3]."""
    kind = PRIMITIVE[shape]
    if kind == "box":
        return 8.0 * size[0] * size[1] * size[2]
    if kind == "cylinder":
        return 2.0 * np.pi * size[0] ** 2 * size[1]
    return 4.0 / 3.0 * np.pi * size[0] ** 3
