"""Gaps between boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .boxes import EDGES, BoxArray

Array = NDArray[np.float64]
_TINY = 1e-12


def box_distances(boxes: BoxArray, cutoff: Array) -> Array:
    """Distance (n, n) between the boxes' surfaces [m]; where they overlap, minus how deep.

    Args:
        cutoff: (n, n) pairs that are farther apart than this get a lower bound of their distance, above ``cutoff``.
    """
    out = _separation(boxes)
    exact = np.triu((out > 0.0) & (out <= cutoff), 1)
    i, j = np.nonzero(exact)
    if len(i):
        gap = np.minimum(_corner_distance(boxes, i, j), _corner_distance(boxes, j, i))
        out[i, j] = out[j, i] = np.minimum(gap, _edge_distance(boxes, i, j))
    return out


def _separation(boxes: BoxArray) -> Array:
    """Largest gap (n, n) over the 15 separating axes of each pair [m]: a lower bound of the distance; minus the
    smallest overlap where no axis separates.
    """
    count = len(boxes)
    faces = np.swapaxes(boxes.rotation, 1, 2)
    cross = np.cross(faces[:, None, :, None], faces[None, :, None]).reshape(count, count, 9, 3)
    length = np.linalg.norm(cross, axis=-1, keepdims=True)
    usable = length[..., 0] > 1e-6
    axes = np.concatenate(
        (
            np.broadcast_to(faces[:, None], (count, count, 3, 3)),
            np.broadcast_to(faces[None], (count, count, 3, 3)),
            cross / np.maximum(length, _TINY),
        ),
        axis=2,
    )
    scaled = faces * boxes.half[..., None]
    reach = np.abs(axes @ np.swapaxes(scaled, 1, 2)[:, None]).sum(-1)
    reach += np.abs(axes @ np.swapaxes(scaled, 1, 2)[None]).sum(-1)
    shift = boxes.centre[:, None] - boxes.centre[None]
    gap = np.abs(np.einsum("ijac,ijc->ija", axes, shift)) - reach
    gap[..., 6:][~usable] = -np.inf
    return gap.max(axis=-1)


def _corner_distance(boxes: BoxArray, of: NDArray[np.intp], to: NDArray[np.intp]) -> Array:
    """Smallest distance (p,) from corners of boxes ``of`` to boxes ``to``."""
    local = np.einsum("pij,pki->pkj", boxes.rotation[to], boxes.corners[of] - boxes.centre[to][:, None])
    over = (np.abs(local) - boxes.half[to][:, None]).clip(0.0)
    return np.sqrt((over**2).sum(axis=-1)).min(axis=1)


def _edge_distance(boxes: BoxArray, i: NDArray[np.intp], j: NDArray[np.intp]) -> Array:
    """Smallest distance (p,) between points inside edges of two boxes; infinite if there is none.

    Where a nearest pair has a corner in it, that is ``_corner_distance``'s.
    """
    ends = boxes.corners[:, EDGES]
    start_i, way_i = ends[i][:, :, None, 0], (ends[i][:, :, 1] - ends[i][:, :, 0])[:, :, None]
    start_j, way_j = ends[j][:, None, :, 0], (ends[j][:, :, 1] - ends[j][:, :, 0])[:, None, :]
    offset = start_i - start_j
    aa, bb = (way_i**2).sum(-1), (way_j**2).sum(-1)
    ab, ao, bo = (way_i * way_j).sum(-1), (way_i * offset).sum(-1), (way_j * offset).sum(-1)
    determinant = aa * bb - ab**2
    parallel = determinant < 1e-9 * aa * bb
    determinant = np.where(parallel, 1.0, determinant)
    s, t = (ab * bo - bb * ao) / determinant, (aa * bo - ab * ao) / determinant
    inside = (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1) & ~parallel
    normal = np.cross(way_i, way_j)
    length = np.sqrt((normal**2).sum(-1))
    gap = np.abs((normal * offset).sum(-1)) / np.maximum(length, _TINY)
    return np.where(inside, gap, np.inf).min(axis=(1, 2))
