"""Free places on support surfaces: where nothing stands, with clearance, in which direction of an object, and seen.

A place is free if everything between the surface and ``headroom`` above it keeps the clearance, and the edge of the
surface too. What is free is said by an ``Occupancy``: exact from boxes (``BoxOccupancy``), or observed
(``cloud.CloudOccupancy``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .scene import SpatialScene, SupportSurface
from .verdict import Frame, Relation
from .visibility import visible

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: What reaches less than this above a surface [m] is part of it (a box's own error, a tablecloth).
SKIN = 0.002
#: By how much boxes are larger than they are when it comes to hiding a point [m].
SAFETY = 0.001


class Occupancy(Protocol):
    """What stands on a surface."""

    def clearance(self, points: Array) -> Array:
        """Distance (p,) of points (p, 2) to what is nearest, or to the edge [m]; negative within it or unobserved."""
        ...


@dataclass(frozen=True, eq=False)
class BoxOccupancy:
    """The shadows of a scene's boxes on a surface.

    Args:
        scene: in its world frame.
        headroom: height above the surface that has to be free [m].
        without: indices of objects that do not count.
    """

    scene: SpatialScene
    surface: SupportSurface
    headroom: float = 0.3
    without: Sequence[int] = ()

    def obstacles(self) -> NDArray[np.intp]:
        """Indices of the objects that stand in the way."""
        return np.setdiff1d(np.flatnonzero(obstructs(self.scene, self.surface, self.headroom)), self.without)

    def clearance(self, points: Array) -> Array:
        """See ``Occupancy``."""
        rows = self.obstacles()
        gap = self.scene.boxes.footprints.distance(points)[:, rows] - self.scene.slack[rows]
        return np.minimum(gap.min(axis=1, initial=np.inf), self.surface.margin(points))


def obstructs(scene: SpatialScene, surface: SupportSurface, headroom: float | Array) -> Mask:
    """Which objects (n,) (or (..., n) for headrooms (..., 1)) are in the layer above a surface; its owner is not."""
    boxes, slack = scene.boxes, scene.slack
    layer = (boxes.high + slack > surface.height + SKIN) & (boxes.low - slack < surface.height + headroom)
    return layer & np.array([item.name != surface.owner for item in scene.objects], bool)


def supports(scene: SpatialScene, tolerance: float = 0.02) -> NDArray[np.intp]:
    """Index of the surface that each object stands on (n,), -1 for none: the one at its bottom, under its centre."""
    out = np.full(len(scene.objects), -1)
    nearest = np.full(len(scene.objects), tolerance) + scene.slack
    for index, surface in enumerate(scene.surfaces):
        gap = np.abs(scene.boxes.low - surface.height)
        over = surface.margin(scene.boxes.centre[:, :2]) >= 0.0
        own = np.array([item.name == surface.owner for item in scene.objects], bool)
        better = over & ~own & (gap <= nearest)
        out[better], nearest[better] = index, gap[better]
    return out


def point_margins(
    scene: SpatialScene, points: Array, anchors: Sequence[int] | NDArray[np.intp]
) -> dict[tuple[Frame, Relation], Array]:
    """Signed margins (a, p) [m] of points (a, p, 3) in the four directions of one object each, in the three frames.

    The same rule as between boxes, for a box without size: beyond the object. NaN where the frame is not defined.
    """
    rows = np.asarray(anchors, np.intp)
    box = scene.boxes
    front, left = (axes[rows] for axes in scene.own_axes)
    every = np.ones((len(rows), 1))
    axes: dict[tuple[Frame, Relation, Relation], Array] = {
        ("ego", "front", "behind"): -scene.gaze * every,
        ("world", "left", "right"): np.array((0.0, 1.0, 0.0)) * every,
        ("world", "front", "behind"): np.array((-1.0, 0.0, 0.0)) * every,
        ("object", "left", "right"): left,
        ("object", "front", "behind"): front,
    }
    out: dict[tuple[Frame, Relation], Array] = {}
    offset = points - box.centre[rows][:, None]
    for (frame, positive, negative), axis in axes.items():
        shift = (offset @ axis[..., None])[..., 0]
        reach = (np.abs(axis[:, None] @ box.rotation[rows])[:, 0] * box.half[rows]).sum(axis=1)[:, None]
        out[frame, positive], out[frame, negative] = shift - reach, -shift - reach
    _, low, high, _ = scene.bearings
    at = scene.eye_points(points)
    angle, away = -np.arctan2(at[..., 0], at[..., 2]), np.hypot(at[..., 0], at[..., 2])
    # Distance to the plane through the eye and the object's outline.
    out["ego", "left"] = away * np.sin((angle - high[rows][:, None]).clip(-np.pi / 2, np.pi / 2))
    out["ego", "right"] = away * np.sin((low[rows][:, None] - angle).clip(-np.pi / 2, np.pi / 2))
    return out


@dataclass(frozen=True, eq=False)
class FreePoints:
    """Free places about an anchor: ``points`` (k, 3) on the surface, ``pixels`` (k, 2) their projections, ``clearance``
    (k,) [m], and by frame and direction the indices of those that are there; ``rejected`` (r, 3) were tried and are not
    free, or not seen.
    """

    points: Array
    pixels: Array
    clearance: Array
    directions: dict[tuple[Frame, Relation], NDArray[np.intp]]
    rejected: Array


@dataclass(frozen=True)
class ContextRules:
    """How free places are looked for: tries per anchor, distance from it [m] (0: twice its radius, at least 0.1),
    clearance and headroom [m], and whether only places that the camera sees count.
    """

    tries: int = 96
    reach: float = 0.0
    clearance: float = 0.01
    headroom: float = 0.05
    visible_only: bool = True


def free_points(
    scene: SpatialScene,
    anchors: Sequence[int],
    rng: np.random.Generator,
    rules: ContextRules | None = None,
    occupancy: dict[int, Occupancy] | None = None,
) -> dict[int, FreePoints]:
    """Free places about several objects, on the surfaces they stand on.

    Args:
        scene: in its world frame.
        occupancy: by index of the surface, instead of the boxes' shadows.

    Returns:
        by anchor; anchors that stand on no known surface are left out.
    """
    rules = rules or ContextRules()
    standing = supports(scene)
    out: dict[int, FreePoints] = {}
    for number in sorted({int(standing[a]) for a in anchors} - {-1}):
        group = [a for a in anchors if standing[a] == number]
        surface = scene.surfaces[number]
        spots = np.concatenate([_around(scene, a, rng, rules) for a in group])
        known: Occupancy = (occupancy or {}).get(number) or BoxOccupancy(scene, surface, rules.headroom)
        clear = known.clearance(spots)
        points = np.column_stack((spots, np.full(len(spots), surface.height)))
        good = np.flatnonzero(clear >= rules.clearance)
        pixels = np.full((len(spots), 2), np.nan)
        if rules.visible_only:
            other = np.array([item.name != surface.owner for item in scene.objects])
            pixels[good], seen = visible(scene, points[good], other * (SAFETY + scene.slack))
            good = good[seen]
        else:
            pixels[good] = scene.pixels(points[good])
        shape = (len(group), rules.tries)
        usable = np.zeros(len(spots), bool)
        usable[good] = True
        margins = point_margins(scene, points.reshape(*shape, 3), group)
        slack = scene.slack[group][:, None] + scene.camera_uncertainty.position + 1e-6
        with np.errstate(invalid="ignore"):
            holds = {key: (value > slack) & usable.reshape(shape) for key, value in margins.items()}
        for place, anchor in enumerate(group):
            mine = np.flatnonzero(usable.reshape(shape)[place])
            rows = place * rules.tries + mine
            found = {key: np.flatnonzero(hold[place, mine]) for key, hold in holds.items()}
            rejected = points.reshape(*shape, 3)[place, ~usable.reshape(shape)[place]]
            out[anchor] = FreePoints(points[rows], pixels[rows], clear[rows], found, rejected)
    return out


def _around(scene: SpatialScene, anchor: int, rng: np.random.Generator, rules: ContextRules) -> Array:
    """Random places (tries, 2) up to ``reach`` beyond the anchor's ground rectangle."""
    ground = scene.boxes.footprints
    reach = rules.reach or max(2.0 * float(np.hypot(*ground.half[anchor])), 0.1)
    offset = rng.uniform(-1.0, 1.0, (rules.tries, 2)) * (ground.half[anchor] + reach)
    return ground.centre[anchor] + offset @ ground.axes[anchor]
