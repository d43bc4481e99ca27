"""Tests of placements: does a turned rectangle fit between others, and is a thing put there where it was said to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .boxes import BoxArray, Footprints
from .free_space import SAFETY
from .scene import SpatialScene, SupportSurface, bearings
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
    spots: Array,
    axes: Array,
    half: Array,
    turns: int,
    obstacles: Footprints,
    grow: Array,
    close: Mask,
    edges: tuple[Array, Array],
    loosen: Array,
) -> Mask:
    """Whether rectangles centred on spots (p, 2), turned by each of ``turns`` equal parts of half a circle, meet no
    obstacle and stay on the surface: (p, turns).

    Args:
        axes: (p, 2, 2) the rectangles' axes as rows before turning; ``half`` (p, 2) their half extents [m].
        grow: (n,) by how much each obstacle counts as larger [m].
        close: (p, n) which obstacles a rectangle may meet; of the others it is known to be clear.
        edges: of the surface, inward normals (p, e, 2), and how far inside of them the spots are (p, e) [m].
        loosen: (p,) overlaps up to this [m] are none: what fits anywhere within that distance of a spot passes there.
    """
    normals, inside = edges
    along, across = _turned(normals, axes[:, None], turns)
    need = along * half[:, None, :1] + across * half[:, None, 1:]
    fit = np.all(inside[..., None] >= need - loosen[:, None, None], axis=1)
    spot, which = np.nonzero(close)
    theirs, size, mine = obstacles.axes[which], obstacles.half[which] + grow[which][:, None], half[spot]
    shift, slack = spots[spot] - obstacles.centre[which], loosen[spot][:, None]
    over = np.abs((theirs * shift[:, None]).sum(axis=-1)) - size + slack
    u, v = _turned(shift, axes[spot], turns)
    c, s = _turned(theirs[:, 0], axes[spot], turns)
    apart = (over[:, :1] >= c * mine[:, :1] + s * mine[:, 1:]) | (
        over[:, 1:] >= s * mine[:, :1] + c * mine[:, 1:]
    )
    apart |= u + (slack - mine[:, :1]) >= c * size[:, :1] + s * size[:, 1:]
    apart |= v + (slack - mine[:, 1:]) >= s * size[:, :1] + c * size[:, 1:]
    at, meets = merged(spot, ~apart)
    fit[at] &= ~meets
    return fit


def merged(place: NDArray[np.intp], masks: Mask) -> tuple[NDArray[np.intp], Mask]:
    """Places that occur in the ascending ``place`` (q,), each with the union of its masks (q, k)."""
    first = np.flatnonzero(np.diff(place, prepend=-1))
    return place[first], np.logical_or.reduceat(masks, first, axis=0) if len(first) else masks


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
    rows = np.flatnonzero(sideways)
    sign, centre = _SIGN[keys[rows]], placed.centre[rows]
    middle, low, _ = _leftward(sign, *bearings(scene, placed.take(rows)))
    b_middle, _, b_high = _leftward(sign, *(part[references[rows]] for part in scene.bearings[:3]))
    scale = np.linalg.norm(centre - scene.scene_from_camera.translation, axis=1)
    out[rows] = np.minimum(middle - b_high, low - b_middle) * scale
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


def _turned(vectors: Array, axes: Array, turns: int) -> tuple[Array, Array]:
    """Extents of vectors (..., 2) along both axes (..., 2, 2), turned by each of the turns: (..., turns) each."""
    x, y = ((axes[..., k, :] * vectors).sum(axis=-1)[..., None] for k in (0, 1))
    angle = np.pi * np.arange(turns) / turns
    c, s = np.cos(angle), np.sin(angle)
    return np.abs(x * c + y * s), np.abs(y * c - x * s)


def _key_axes(scene: SpatialScene, references: NDArray[np.intp], keys: NDArray[np.intp]) -> Array:
    """Unit vector (f, 3) along which each key's direction is; that of "ego left" is not used."""
    front, left = scene.own_axes
    sideways, own = _SIDEWAYS[keys][:, None], (_FRAME[keys] == FRAMES.index("object"))[:, None]
    viewer = (_FRAME[keys] == FRAMES.index("ego"))[:, None]
    axes = np.where(sideways, (0.0, 1.0, 0.0), np.where(viewer, -scene.gaze, (-1.0, 0.0, 0.0)))
    axes = np.where(own, np.where(sideways, left[references], front[references]), axes)
    return axes * _SIGN[keys][:, None]


def _leftward(sign: Array, middle: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Bearings (f,) as seen in a mirror where ``sign`` is -1."""
    return sign * middle, np.where(sign > 0.0, low, -high), np.where(sign > 0.0, high, -low)
