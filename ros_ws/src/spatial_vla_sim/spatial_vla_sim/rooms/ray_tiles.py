"""Ray casts of a whole picture, a tile at a time: of many geoms only those near a tile's cone of rays are looked at.

``mj_multiRay`` looks at every geom for every ray. Furniture is many small geoms, of which a tile sees few: this gives
the same hits several times faster.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..model import VISIBLE_GROUP

Array = NDArray[np.float64]
TILE = 20
#: Geoms that a tile does not see are put into this group meanwhile.
_HIDDEN_GROUP = 5
_VISIBLE = np.zeros(6, np.uint8)
_VISIBLE[VISIBLE_GROUP] = 1


@lru_cache(maxsize=4)
def tile_order(width: int, height: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels (height * width,) in the order of tiles, and where each tile starts (tiles + 1,)."""
    row, column = np.divmod(np.arange(width * height), width)
    tile = (row // TILE) * -(-width // TILE) + column // TILE
    return np.argsort(tile, kind="stable"), np.concatenate(([0], np.cumsum(np.bincount(tile))))


def cast_tiles(
    model: mujoco.MjModel, data: mujoco.MjData, eye: Array, rays: Array, starts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], Array, Array]:
    """Cast unit rays (n, 3) from ``eye`` into the visible geoms.

    Args:
        starts: (tiles + 1,) where each tile begins among the rays; the rays of a tile should be close to each other.

    Returns:
        geom (n,) or -1, distance (n,) or -1, outward normals (n, 3). ``model.geom_group`` changes meanwhile, so one
        model is rendered by one thread at a time.
    """
    geom, distance, normals = np.empty(len(rays), np.int32), np.empty(len(rays)), np.empty_like(rays)
    groups = model.geom_group.copy()
    visible = groups == VISIBLE_GROUP
    near = _near_cones(model, data, eye, rays, starts)
    try:
        for tile, (a, b) in enumerate(pairwise(starts)):
            model.geom_group[:] = np.where(visible & near[tile], VISIBLE_GROUP, _HIDDEN_GROUP)
            mujoco.mj_multiRay(
                model, data, eye, rays[a:b].ravel(), _VISIBLE, True, -1, geom[a:b], distance[a:b],
                normals[a:b].reshape(-1), int(b - a), mujoco.mjMAXVAL,
            )  # fmt: skip
    finally:
        model.geom_group[:] = groups
    return geom, distance, normals


def _near_cones(
    model: mujoco.MjModel, data: mujoco.MjData, eye: Array, rays: Array, starts: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which geoms' bounding spheres touch the cone around each tile's rays, (tiles, ngeom)."""
    axes = np.add.reduceat(rays, starts[:-1])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    spread = np.einsum("ij,ij->i", rays, np.repeat(axes, np.diff(starts), axis=0))
    opening = np.arccos(np.minimum.reduceat(spread, starts[:-1]).clip(-1.0, 1.0))
    towards = data.geom_xpos - eye
    distance = np.maximum(np.linalg.norm(towards, axis=1), 1e-9)
    angle = np.arccos((axes @ (towards / distance[:, None]).T).clip(-1.0, 1.0))
    radius = np.arcsin(np.minimum(model.geom_rbound / distance, 1.0))
    inside = (model.geom_rbound >= distance) | (model.geom_rbound == 0.0)
    return (angle <= opening[:, None] + radius + 1e-6) | inside
