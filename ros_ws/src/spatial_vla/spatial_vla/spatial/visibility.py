"""What the camera sees, by casting rays into the boxes: a thing hides another only where it is nearer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import EDGES, FACES, BoxArray
from .scene import NEAREST, SpatialScene

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: A ray that enters a box nearer to its end than this [m] meets what the end lies on.
CONTACT = 1e-4
_TINY = 1e-9
#: Samples along each side of a face.
_SAMPLES = 4


def blocked(boxes: BoxArray, eye: Array, points: Array) -> Mask:
    """Which boxes hide which points: (p, n). Boxes that contain the eye hide nothing.

    Args:
        eye: (3,) where the rays start.
        points: (p, 3) where they end; a point on a box's surface, on the eye's side, is not hidden by it.
    """
    way, to = points - eye, boxes.centre - eye
    length = np.linalg.norm(way, axis=1)
    # Only where the ray meets the ball around a box.
    along = (way / np.maximum(length, _TINY)[:, None]) @ to.T
    aside = (to**2).sum(axis=1) - boxes.radius**2 * (1.0 + _TINY) - _TINY
    point, box = np.nonzero((along**2 >= aside) & (along > -boxes.radius))
    entry, leave = boxes.entry(eye, points[point], box)
    length = length[point]
    out = np.zeros((len(points), len(boxes)), bool)
    out[point, box] = (entry > 0.0) & (entry <= leave) & (entry * length < length - CONTACT)
    return out


def in_picture(scene: SpatialScene, points: Array) -> tuple[Array, Mask]:
    """Pixels (p, 2) of points (p, 3), and whether they are in the picture (p,)."""
    pixels = scene.pixels(points)
    size = np.array((scene.camera.width, scene.camera.height))
    with np.errstate(invalid="ignore"):
        return pixels, np.all((pixels >= -0.5) & (pixels < size - 0.5), axis=-1)


def visible(scene: SpatialScene, points: Array, grow: float | Array = 0.0) -> tuple[Array, Mask]:
    """Pixels (p, 2) of points (p, 3), and whether the camera sees them (p,).

    Args:
        grow: safety [m] (or one per object) by which boxes are made larger before they hide.
    """
    pixels, seen = in_picture(scene, points)
    eye = scene.scene_from_camera.translation
    boxes = scene.boxes.grown(grow) if np.any(grow) else scene.boxes
    inside = np.flatnonzero(seen)
    seen[inside] = ~blocked(boxes, eye, points[inside]).any(axis=1)
    return pixels, seen


@dataclass(frozen=True, eq=False)
class ObjectViews:
    """How the picture shows each object.

    share (n,): of the side towards the camera, weighted by its area in the picture, how much is in the picture and
    not hidden; bounds (n, 4): u0, v0, u1, v1 around the whole box, clipped to the picture, NaN if it is not in it;
    points (n, 3): a visible point of the object nearest to the middle of what is seen of it, NaN if nothing is;
    pixels (n, 2): its projection.
    """

    share: Array
    bounds: Array
    points: Array
    pixels: Array


def object_views(scene: SpatialScene) -> ObjectViews:
    """Cast rays to samples of all objects' faces."""
    boxes, eye, count = scene.boxes, scene.scene_from_camera.translation, len(scene.boxes)
    points, weights = _face_samples(boxes, eye)
    flat = points.reshape(-1, 3)
    pixels, seen = in_picture(scene, flat)
    per_box = points.shape[1]
    owner = np.repeat(np.arange(count), per_box)
    # Samples of sides away from the camera have no weight; casting rays to them is of no use.
    cast = np.flatnonzero(seen & (weights.reshape(-1) > 0.0))
    hides = blocked(boxes, eye, flat[cast])
    hides[np.arange(len(cast)), owner[cast]] = False
    shown = np.zeros(len(flat), bool)
    shown[cast] = ~hides.any(axis=1)
    weight = np.where(shown.reshape(count, per_box), weights, 0.0)
    total = weights.sum(axis=1)
    share = np.divide(weight.sum(axis=1), total, out=np.zeros(count), where=total > 0.0)
    pixels = pixels.reshape(count, per_box, 2)
    seen_weight = weight[..., None] / np.maximum(weight.sum(axis=1), 1e-300)[:, None, None]
    middle = np.nansum(pixels * seen_weight, axis=1)
    off = np.where(weight > 0.0, np.linalg.norm(pixels - middle[:, None], axis=-1), np.inf)
    best, rows = off.argmin(axis=1), np.arange(count)
    none = np.where(share > 0.0, 0.0, np.nan)[:, None]
    return ObjectViews(share, bounds(scene), points[rows, best] + none, pixels[rows, best] + none)


def bounds(scene: SpatialScene) -> Array:
    """Bounding rectangles (n, 4) of the boxes in the picture, clipped; NaN outside. Cut at the camera's plane."""
    corners = scene.eye_points(scene.boxes.corners)
    start, end = corners[:, EDGES[:, 0]], corners[:, EDGES[:, 1]]
    a, b = start[..., 2] - NEAREST, end[..., 2] - NEAREST
    crossing = a * b < 0.0
    fraction = np.divide(a, a - b, out=np.zeros_like(a), where=crossing)
    points = np.concatenate((corners, start + fraction[..., None] * (end - start)), axis=1)
    ahead = np.concatenate((corners[..., 2] >= NEAREST, crossing), axis=1)
    pixels = scene.camera.project(np.where(ahead[..., None], points, np.nan))
    low = np.where(ahead[..., None], pixels, np.inf).min(axis=1)
    high = np.where(ahead[..., None], pixels, -np.inf).max(axis=1)
    last = np.array((scene.camera.width, scene.camera.height)) - 1.0
    out = np.concatenate((low.clip(0.0), np.minimum(high, last)), axis=1)
    out[(out[:, :2] >= out[:, 2:]).any(axis=1)] = np.nan
    return out


def _face_samples(boxes: BoxArray, eye: Array) -> tuple[Array, Array]:
    """Points (n, 6 * samples, 3) on the faces and their weight: area as the eye sees it, 0 on the far side."""
    faces = boxes.corners[:, FACES]
    origin, u, v = faces[:, :, 0], faces[:, :, 1] - faces[:, :, 0], faces[:, :, 3] - faces[:, :, 0]
    steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    s, t = (grid.ravel() for grid in np.meshgrid(steps, steps))
    points = origin[:, :, None] + s[:, None] * u[:, :, None] + t[:, None] * v[:, :, None]
    normal = np.cross(u, v)
    outward = np.sign(((faces.mean(axis=2) - boxes.centre[:, None]) * normal).sum(-1))
    to_eye = eye - points
    distance = np.linalg.norm(to_eye, axis=-1)
    facing = (to_eye * (normal * outward[..., None])[:, :, None]).sum(-1)
    weight = (facing / np.maximum(distance, 1e-9) ** 3).clip(0.0)
    per_box = 6 * _SAMPLES**2
    return points.reshape(len(boxes), per_box, 3), weight.reshape(len(boxes), per_box)
