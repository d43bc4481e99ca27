"""Tests of placements: does a turned rectangle fit between others, and is a thing put there where it was said to be."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .boxes import BoxArray, Footprints
from .free_space import SAFETY
from .scene import NEAREST, SpatialScene, SupportSurface
from .verdict import DIRECTIONS, FRAMES, Frame, Relation
from .visibility import blocked, in_picture

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: What placements are asked for: frame and direction.
KEYS: tuple[tuple[Frame, Relation], ...] = tuple((f, d) for f in FRAMES for d in DIRECTIONS)
_FRAME = np.array([FRAMES.index(frame) for frame, _ in KEYS])
_SIDEWAYS = np.array([direction in ("left", "right") for _, direction in KEYS])
_SIGN = np.array([-1.0 if direction in ("right", "behind") else 1.0 for _, direction in KEYS])


def fits_turned(
    nodes: Array,
    axes: Array,
    half: Array,
    turns: int,
    obstacles: Footprints,
    grow: Array,
    surface: SupportSurface,
    loosen: Array | float = 0.0,
) -> Mask:
    """Whether a rectangle centred on nodes (k, 2), turned by each of ``turns`` equal parts of half a circle, meets no
    obstacle and stays on the surface: (k, turns).

    Args:
        axes: (2, 2) the rectangle's axes as rows before turning; ``half`` (2,) its half extents [m].
        grow: (m,) by how much each obstacle counts as larger [m].
        loosen: (k,) overlaps up to this [m] are none: what fits anywhere within that distance of a node passes there.
    """
    slack = np.reshape(loosen, (-1, 1, 1))
    turned = _turned(axes, turns)
    normals, offsets = surface.edges
    support = np.einsum("tie,i->te", np.abs(np.einsum("tic,ec->tie", turned, normals)), half)
    on = ((nodes @ normals.T - offsets)[:, None] >= support - slack).all(axis=-1)
    if not len(obstacles.half):
        return on
    across = np.abs(np.einsum("tic,mjc->mtij", turned, obstacles.axes))
    size = obstacles.half + grow[:, None]
    shift = nodes[:, None] - obstacles.centre
    slack = slack[..., None]
    theirs = (np.abs((shift[:, :, None] * obstacles.axes).sum(axis=-1)) - size)[:, :, None] + slack
    mine = np.abs(shift @ turned.reshape(-1, 2).T).reshape(len(nodes), len(size), turns, 2)
    mine += slack - half
    need, gap = np.einsum("mtij,i->mtj", across, half), np.einsum("mtij,mj->mti", across, size)
    apart = theirs[..., 0] >= need[..., 0]
    for k, (ours, limit) in enumerate(((theirs, need), (mine, gap), (mine, gap))):
        apart |= ours[..., (1, 0, 1)[k]] >= limit[..., (1, 0, 1)[k]]
    return on & np.all(apart, axis=1)


def placed_margins(
    scene: SpatialScene,
    placed: BoxArray,
    references: NDArray[np.intp],
    keys: NDArray[np.intp],
) -> Array:
    """Signed margin (f,) [m] of each placed box's direction, a row of ``KEYS``, of its reference, by the rule of
    ``directions``.
    """
    out = np.full(len(keys), np.nan)
    sideways = _SIDEWAYS[keys] & (_FRAME[keys] == FRAMES.index("ego"))
    axes = _key_axes(scene, references, keys)
    boxes = scene.boxes
    there = boxes.take(references)
    reach = [
        np.einsum("fj,fj->f", np.abs(np.einsum("fi,fij->fj", axes, b.rotation)), b.half)
        for b in (placed, there)
    ]
    shift = ((placed.centre - boxes.centre[references]) * axes).sum(axis=1)
    out[~sideways] = (shift - np.maximum(*reach))[~sideways]
    sign = _SIGN[keys]
    middle, low, _ = _bearings(scene, placed, sign)
    b_middle, _, b_high = _bearings(scene, there, sign)
    scale = np.linalg.norm(placed.centre - scene.scene_from_camera.translation, axis=1)
    out[sideways] = (np.minimum(middle - b_high, low - b_middle) * scale)[sideways]
    return out


def placed_seen(scene: SpatialScene, placed: BoxArray, surfaces: list[SupportSurface]) -> Mask:
    """Whether the camera sees the ground (its middle and corners) that each placed box (f,) would stand on."""
    ground = placed.footprints
    spots = np.concatenate((ground.corners(), ground.centre[:, None]), axis=1)
    heights = np.repeat([s.height for s in surfaces], spots.shape[1])
    points = np.column_stack((spots.reshape(-1, 2), heights))
    _, seen = in_picture(scene, points)
    seen = np.all(seen.reshape(len(placed), -1), axis=1)
    eye, count = scene.scene_from_camera.translation, spots.shape[1]
    for owner in {s.owner for s in surfaces}:
        mine = np.flatnonzero(seen & np.array([s.owner == owner for s in surfaces]))
        other = np.array([item.name != owner for item in scene.objects])
        boxes = scene.boxes.grown(other * (SAFETY + scene.slack))
        hidden = blocked(boxes, eye, points.reshape(-1, count, 3)[mine].reshape(-1, 3)).any(axis=1)
        seen[mine] = ~hidden.reshape(-1, count).any(axis=1)
    return seen


def _turned(axes: Array, turns: int) -> Array:
    return axes @ _rotations(turns)


@cache
def _rotations(turns: int) -> Array:
    angle = np.pi * np.arange(turns) / turns
    c, s = np.cos(angle), np.sin(angle)
    return np.stack((np.stack((c, s), -1), np.stack((-s, c), -1)), axis=1)


def _key_axes(scene: SpatialScene, references: NDArray[np.intp], keys: NDArray[np.intp]) -> Array:
    """Unit vector (f, 3) along which each key's direction is; that of "ego left" is not used."""
    front, left = scene.own_axes
    sideways, own = _SIDEWAYS[keys][:, None], (_FRAME[keys] == FRAMES.index("object"))[:, None]
    viewer = (_FRAME[keys] == FRAMES.index("ego"))[:, None]
    axes = np.where(sideways, (0.0, 1.0, 0.0), np.where(viewer, -scene.gaze, (-1.0, 0.0, 0.0)))
    axes = np.where(own, np.where(sideways, left[references], front[references]), axes)
    return axes * _SIGN[keys][:, None]


def _bearings(scene: SpatialScene, boxes: BoxArray, sign: Array) -> tuple[Array, Array, Array]:
    """Middle, lowest and highest bearing (f,) [rad], leftward where ``sign`` is 1; NaN behind the camera."""
    corners, centre = scene.eye_points(boxes.corners), scene.eye_points(boxes.centre)
    nan = np.where(corners[..., 2].min(axis=1) > NEAREST, 0.0, np.nan)
    angle = -np.arctan2(corners[..., 0], corners[..., 2]) * sign[:, None]
    return (
        -np.arctan2(centre[:, 0], centre[:, 2]) * sign + nan,
        angle.min(axis=1) + nan,
        angle.max(axis=1) + nan,
    )
