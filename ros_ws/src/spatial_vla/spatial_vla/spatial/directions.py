"""Left, right, in front, behind, above and below, for all pairs of boxes at once.

One rule serves all of them. Along a direction d, with the interval [low, high] that a box covers and its centre c:

    A is d of B  where  margin = min(c_A - high_B, low_A - c_B) > 0

In words: A's centre is beyond B, and B's centre is beyond A. Things that touch, or overlap by less than half, are still
left and right of each other; a thing that stands in front of the middle of a table is neither. ``margin`` of "A left of
B" equals that of "B right of A", and a direction and its opposite never hold together.

The directions of the frames (world: z up):

    world   an observer looks along world x: left is +y, in front is nearer to the observer, -x
    ego     left is left in the picture: intervals of bearing atan2(x, z) in the optical frame; in front is nearer along
            the horizontal part of the camera's view direction
    object  B's own sides: in front is along B's +x, left along its +y (levelled); only if B has a front
    above   +z in all frames; "above" is "higher than", the things need not be above each other's ground. Of upright
            solids whose grounds overlap, which cannot reach into each other, it is the one with the higher middle
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .scene import NEAREST, SpatialScene
from .verdict import ROUNDING, Frame, Relation

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Margins:
    """``value[i, j]`` is the signed margin of "i relation j" [m], ``band[i, j]`` its uncertainty; NaN: undefined."""

    value: Array
    band: Array

    @property
    def opposite(self) -> Margins:
        """Margins of the opposite direction, where both share their axis for all references."""
        return Margins(self.value.T, self.band.T)


def directions(scene: SpatialScene) -> dict[tuple[Frame, Relation], Margins]:
    """Margins (n, n) of the six directions in three frames; ``scene`` is in its world frame."""
    left, nearer, up = np.array((0.0, 1.0, 0.0)), np.array((-1.0, 0.0, 0.0)), np.array((0.0, 0.0, 1.0))
    band = _band(scene)
    distance = _distances(scene)
    out: dict[tuple[Frame, Relation], Margins] = {}

    def both(frame: Frame, relation: Relation, opposite: Relation, margins: Margins) -> None:
        out[frame, relation], out[frame, opposite] = margins, margins.opposite

    both("world", "left", "right", Margins(_along(scene, left), band))
    both("world", "front", "behind", Margins(_along(scene, nearer), band))
    both("ego", "left", "right", _bearing(scene))
    tilt = scene.camera_uncertainty.angle * distance
    both("ego", "front", "behind", Margins(_along(scene, -scene.gaze), band + tilt))
    height = Margins(_over_each_other(scene, _along(scene, up), band), band)
    for frame in ("ego", "world", "object"):
        both(frame, "above", "below", height)
    out |= _own_sides(scene, band, distance)
    return out


def _along(scene: SpatialScene, axis: Array) -> Array:
    centre, reach = scene.boxes.centre @ axis, scene.boxes.reach(axis[None])[:, 0]
    return np.subtract.outer(centre, centre) - np.maximum.outer(reach, reach)


def _over_each_other(scene: SpatialScene, value: Array, band: Array) -> Array:
    """Margins of "above", of stacked things the height between their middles: thin ones are told apart by that."""
    ground = scene.boxes.footprints
    solid = ground.upright & np.array(
        [not (item.known_traits.container or item.known_traits.canopy) for item in scene.objects], bool
    )
    rise = np.subtract.outer(scene.boxes.centre[:, 2], scene.boxes.centre[:, 2])
    stacked = (ground.overlap > band) & (rise > 0.0) & solid[:, None] & solid[None]
    # Only what touches or is apart in height; one box within another is another matter.
    stacked &= np.subtract.outer(scene.boxes.low, scene.boxes.high) > -band - ROUNDING
    return np.where(stacked, np.maximum(rise, value), value)


def _bearing(scene: SpatialScene) -> Margins:
    """Margins of "left" in the picture: angles, times the distance of the nearer of the two."""
    middle, low, high, away = scene.bearings
    value = np.minimum(np.subtract.outer(middle, high), np.subtract.outer(low, middle))
    scale = np.minimum.outer(away, away)
    slack, camera = scene.slack, scene.camera_uncertainty
    closest = np.maximum(away - scene.boxes.radius - slack - camera.position, NEAREST)
    # A turn about the vertical shifts all bearings alike; a tilt or a roll, by their angle times the tangent of height.
    off = np.arcsin(np.minimum((slack + camera.position) / closest, 1.0)) + camera.angle
    return Margins(value * scale, np.add.outer(off, off) * scale)


def _own_sides(scene: SpatialScene, band: Array, distance: Array) -> dict[tuple[Frame, Relation], Margins]:
    """Front, behind, left and right by the axes of the reference, which is the second index."""
    turn = np.array([item.uncertainty.angle for item in scene.objects])
    band = band + turn * distance
    out: dict[tuple[Frame, Relation], Margins] = {}
    front, left = scene.own_axes
    pairs: tuple[tuple[Array, Relation, Relation], ...] = (
        (front, "front", "behind"),
        (left, "left", "right"),
    )
    for axes, positive, negative in pairs:
        centre, reach = scene.boxes.centre @ axes.T, scene.boxes.reach(axes)
        shift = centre - np.diag(centre)
        larger = np.maximum(reach, np.diag(reach))
        out["object", positive] = Margins(shift - larger, band)
        out["object", negative] = Margins(-shift - larger, band)
    return out


def _band(scene: SpatialScene) -> Array:
    return np.add.outer(scene.slack, scene.slack)


def _distances(scene: SpatialScene) -> Array:
    centre = scene.boxes.centre
    return np.linalg.norm(centre[:, None] - centre[None], axis=-1)
