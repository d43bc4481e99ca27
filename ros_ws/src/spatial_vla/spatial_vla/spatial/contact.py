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


def between(scene: SpatialScene, subject: int, first: int, second: int) -> tuple[float, float]:
    """Margin and uncertainty [m] of "subject is between first and second"; NaN if those stand in one place."""
    boxes, rows = scene.boxes, [subject, first, second]
    line = boxes.centre[second, :2] - boxes.centre[first, :2]
    length = float(np.linalg.norm(line))
    band = float(scene.slack[rows].max() * 2.0)
    if length <= max(band, 1e-6):
        return float("nan"), band
    along = np.append(line / length, 0.0)
    across = np.array((-along[1], along[0], 0.0))
    axes = np.stack((along, across))
    centre, reach = boxes.centre[rows] @ axes.T, boxes.reach(axes)[rows]
    a, b, c = centre[:, 0]
    beyond = min(a - b - max(reach[0, 0], reach[1, 0]), c - a - max(reach[0, 0], reach[2, 0]))
    aside = max(reach[1, 1], reach[2, 1]) - abs(centre[0, 1] - centre[1, 1])
    height = boxes.centre[subject, 2]
    level = min(height - boxes.low[[first, second]].min(), boxes.high[[first, second]].max() - height)
    # Errors of the two ends turn the line by up to their sum over its length.
    spread = float(np.linalg.norm(boxes.centre[subject, :2] - boxes.centre[first, :2]))
    return float(min(beyond, aside, level)), band * (1.0 + max(spread, length) / length)


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
