"""Near, on, inside, under and between, for all pairs (or triples) of boxes at once; the same in every frame.

    near     the gap between A and B is smaller than ``Rules.near`` times the smaller of their diagonals
    on       A's bottom is at B's top within ``Rules.contact``, and A's centre is over B's ground
    inside   A is within B's walls, its bottom above B's, its middle below B's top; B can hold things
    under    A is lower than B (the rule of "below") with its centre under B's ground; or A is within the box of a B
             that covers what is under it (a chair under a table)
    between  seen on the ground along the line from B to C: A is beyond B and C beyond A, A's centre is off the line by
             less than half the width of the wider of the two, and not above or below both

Where a box lies within another of which nobody knows whether it holds or covers things, "inside" and "under" have no
answer, as an outer box alone does not tell a bowl from a table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .directions import Margins
from .distance import box_distances
from .scene import SpatialScene
from .verdict import Relation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rules:
    """Sizes in the definitions: ``near`` (share of the smaller diagonal) and ``contact`` [m]."""

    near: float = 1.0
    contact: float = 0.015


def contacts(scene: SpatialScene, rules: Rules, below: Margins) -> dict[Relation, Margins]:
    """Margins (n, n) of near, on, inside and under; ``scene`` is in its world frame."""
    boxes = scene.boxes
    band = np.add.outer(scene.slack, scene.slack)
    limit = rules.near * 2.0 * np.minimum.outer(boxes.radius, boxes.radius)
    near = limit - box_distances(boxes, limit + 2.0 * band)
    over = -boxes.footprints.distance(boxes.centre[:, :2])
    touching = rules.contact - np.abs(np.subtract.outer(boxes.low, boxes.high))
    within, lower = _within(scene, rules), np.minimum(below.value, over)
    covered = _for(within, _have(scene, "canopy"), _have(scene, "container"))
    under = np.where(np.isnan(covered), np.where(lower > 0.0, lower, np.nan), np.maximum(lower, covered))
    return {
        "near": Margins(near, band),
        "on": Margins(np.minimum(touching, over), band),
        "inside": Margins(_for(within, _have(scene, "container"), _have(scene, "canopy")), band),
        "under": Margins(under, band),
    }


def between(scene: SpatialScene) -> Margins:
    """Margins (n, n, n) of "i is between j and k"; NaN where two of them are one, or j and k in one place."""
    boxes, count = scene.boxes, len(scene.boxes)
    line = boxes.centre[None, :, :2] - boxes.centre[:, None, :2]
    length = np.linalg.norm(line, axis=-1)
    band = 2.0 * np.max(np.broadcast_arrays(*np.ix_(*(scene.slack,) * 3)), axis=0)
    along = line / np.maximum(length, 1e-9)[..., None]
    across = np.stack((-along[..., 1], along[..., 0]), axis=-1)
    flat = boxes.rotation[:, :2] * boxes.half[:, None]
    reach, width = (np.abs(np.einsum("jkc,ica->ijka", axes, flat)).sum(-1) for axes in (along, across))
    at, off = (np.einsum("jkc,ic->ijk", axes, boxes.centre[:, :2]) for axes in (along, across))
    first, second = np.arange(count)[None, :, None], np.arange(count)[None, None, :]
    j, k = np.meshgrid(np.arange(count), np.arange(count), indexing="ij")
    beyond = at - at[j, j, k] - np.maximum(reach, reach[j, j, k])
    before = at[k, j, k] - at - np.maximum(reach, reach[k, j, k])
    aside = np.maximum(width[j, j, k], width[k, j, k]) - np.abs(off - off[j, j, k])
    height = boxes.centre[:, None, None, 2]
    level = np.minimum(
        height - np.minimum(boxes.low[first], boxes.low[second]),
        np.maximum(boxes.high[first], boxes.high[second]) - height,
    )
    value = np.minimum(np.minimum(beyond, before), np.minimum(aside, level))
    # Errors of the two ends turn the line by up to their sum over its length.
    spread = np.linalg.norm(boxes.centre[:, None, :2] - boxes.centre[None, :, :2], axis=-1)[:, :, None]
    safe = np.maximum(length, 1e-9)
    band = band * (1.0 + np.maximum(spread, length) / safe)
    one = np.eye(count, dtype=bool)
    value[np.broadcast_to(one[:, :, None] | one[:, None] | one[None], value.shape)] = np.nan
    value[:, length <= 1e-6] = np.nan
    return Margins(value, band)


def _within(scene: SpatialScene, rules: Rules) -> Array:
    """How far box i stays within the walls of box j, its bottom above j's and its middle below j's top (n, n) [m]."""
    boxes, ground = scene.boxes, scene.boxes.footprints
    axes = np.concatenate((ground.axes, np.zeros((*ground.axes.shape[:2], 1))), axis=-1)
    reach = boxes.reach(axes.reshape(-1, 3)).reshape(len(boxes), len(boxes), 2)
    walls = -np.maximum(
        *(
            over + r
            for over, r in zip(ground.over(boxes.centre[:, :2]), (reach[..., 0], reach[..., 1]), strict=True)
        )
    )
    bottom = np.subtract.outer(boxes.low, boxes.low) + rules.contact
    top = -np.subtract.outer((boxes.low + boxes.high) / 2.0, boxes.high)
    return np.minimum(np.minimum(walls, bottom), top)


def _for(within: Array, can: NDArray[np.bool_], other: NDArray[np.bool_]) -> Array:
    """``within``, where j can do it or i is not within j; NaN where nobody knows, a no where j does the other."""
    unknown = (within > 0.0) & ~can & ~other
    # A thing within a table's box is not inside the table; how clearly not, its depth within says.
    value = np.where((within > 0.0) & ~can & other, -within, within)
    return np.where(unknown, np.nan, value)


def _have(scene: SpatialScene, trait: str) -> NDArray[np.bool_]:
    return np.array([getattr(item.known_traits, trait) for item in scene.objects], bool)
