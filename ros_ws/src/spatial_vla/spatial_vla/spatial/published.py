"""The rules of the released RoboSpatial generator, so that data sets can be compared: ``mode="published"``.

Written from a description of its behaviour. It keeps what we hold to be wrong: the world frame is a copy of the
camera's, heights are clamped at 0, silhouettes have no depth, object frames are given to things without a front, "on
top" goes by lists of names, frames have two spellings (``camera_centric`` and ``cameracentric``). For
anything else use ``annotate``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .annotate import Record, scene_rng
from .boxes import FACES
from .categories import listed
from .distance import box_distances
from .published_space import PublishedGrid
from .scene import SpatialScene

Array = NDArray[np.float64]
EPS = 1e-6
SIDES = ("left", "right", "infront", "behind")


@dataclass(frozen=True)
class PublishedOptions:
    """Settings of the released tool, by its names; the values are those of its example."""

    spatial_configuration_strictness: Literal["lenient", "strict"] = "lenient"
    pairwise_relationship_mode: Literal["unique_categories_only", "all_visible_objects"] = (
        "all_visible_objects"
    )
    context_threshold: float = 0.5
    context_grid_resolution: float = 0.1
    context_num_samples: int = 50
    compatibility_grid_resolution: float = 0.1
    compatibility_min_distance: float = 0.0
    compatibility_buffer_ratio: float = 0.6


@dataclass(frozen=True, eq=False)
class Silhouettes:
    """Of n boxes, filled face by face without regard to depth.

    masks (n, h, w); bounds (n, 4) u0, v0, u1, v1, inclusive; centre (n, 2) mean pixel; depth (n, 2) of the nearest and
    the farthest corner [m]; seen (n,) whether all of these are defined.
    """

    masks: NDArray[np.bool_]
    bounds: Array
    centre: Array
    depth: Array
    seen: NDArray[np.bool_]


def silhouettes(scene: SpatialScene) -> Silhouettes:
    """Silhouettes of all objects of a scene."""
    count, height, width = len(scene.objects), scene.camera.height, scene.camera.width
    corners = scene.eye_points(scene.boxes.corners)
    pixels = scene.camera.project(corners)
    masks = np.zeros((count, height, width), np.uint8)
    bounds, centre, depth = (
        np.full((count, 4), np.nan),
        np.full((count, 2), np.nan),
        np.full((count, 2), np.nan),
    )
    for i in range(count):
        for face in FACES:
            if (corners[i, face, 2] >= EPS).all():
                quad = np.rint(pixels[i, face].clip(-20_000, 20_000)).astype(np.int32)
                cv2.fillConvexPoly(masks[i], quad, 1)
        u, v = (np.flatnonzero(masks[i].any(axis=axis)) for axis in (0, 1))
        if len(u):
            bounds[i] = u[0], v[0], u[-1], v[-1]
            total = float(masks[i].sum())
            centre[i] = (
                masks[i].sum(axis=0, dtype=np.float64) @ np.arange(width) / total,
                masks[i].sum(axis=1, dtype=np.float64) @ np.arange(height) / total,
            )
        depth[i] = _depth_range(corners[i], pixels[i], width, height)
    return Silhouettes(
        masks.astype(bool), bounds, centre, depth, ~np.isnan(bounds[:, 0]) & ~np.isnan(depth[:, 0])
    )


def _depth_range(corners: Array, pixels: Array, width: int, height: int) -> tuple[float, float]:
    ahead = corners[:, 2] > EPS
    if not ahead.any():
        return (np.nan, np.nan)
    low, high = np.rint(pixels[ahead]).min(axis=0), np.rint(pixels[ahead]).max(axis=0)
    if (high < 0).any() or (low >= (width, height)).any():
        return (np.nan, np.nan)
    return float(corners[ahead, 2].min()), float(corners[ahead, 2].max())


def configuration(
    scene: SpatialScene, shapes: Silhouettes, strictness: str
) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """By frame (``camera_centric`` ...) and relation, (n, n) whether it holds for row and column."""
    horizontal, depth = _sides(shapes, strictness)
    vertical = _heights(scene, strictness)
    camera = horizontal | depth | vertical
    camera["overlapping"] = ~(horizontal["left"] | horizontal["right"])
    world = camera | {"overlapping": ~(vertical["above"] | vertical["below"])}
    own = _own_frame(scene) | vertical
    own["overlapping"] = ~(own["left"] | own["right"]) | ~(own["infront"] | own["behind"])
    return {"camera_centric": camera, "world_centric": world, "object_centric": own}


def _sides(
    shapes: Silhouettes, strictness: str
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, NDArray[np.bool_]]]:
    b, c, d = shapes.bounds, shapes.centre, shapes.depth
    both = shapes.seen[:, None] & shapes.seen[None]
    front = d[:, None, 1] < d[None, :, 0] - EPS
    if strictness == "strict":
        left = b[:, None, 2] < b[None, :, 0] - EPS
        right, behind = left.T, front.T
    else:
        # Column's centre in row's rectangle; the test of "right" is the transposed one, which is not symmetric.
        inside = ((c[None] >= b[:, None, :2]) & (c[None] <= b[:, None, 2:])).all(axis=-1)
        left = (c[:, None, 0] < c[None, :, 0] - EPS) & ~inside
        right = (c[:, None, 0] > c[None, :, 0] + EPS) & ~inside.T
        middle = d.mean(axis=1)
        even = np.abs(np.subtract.outer(middle, middle)) < EPS
        nearer = np.where(even, front, np.less.outer(middle, middle))
        front, behind = nearer, np.where(even, front.T, np.greater.outer(middle, middle))
    return {"left": left & both, "right": right & both}, {"infront": front & both, "behind": behind & both}


def _heights(scene: SpatialScene, strictness: str) -> dict[str, NDArray[np.bool_]]:
    z = scene.boxes.corners[..., 2]
    low, high, mean = (value.clip(0.0) for value in (z.min(axis=1), z.max(axis=1), z.mean(axis=1)))
    above = low[:, None] > high[None] + EPS
    if strictness == "lenient":
        above |= (mean[:, None] > high[None] + EPS) & ~above.T
    return {"above": above, "below": above.T}


def _own_frame(scene: SpatialScene) -> dict[str, NDArray[np.bool_]]:
    boxes = scene.boxes
    apart = box_distances(boxes, np.full((len(boxes),) * 2, -1.0)) > 0.0
    front = boxes.rotation[:, :, 0]
    side = np.cross(front, (0.0, 0.0, 1.0))
    length = np.linalg.norm(side, axis=1)
    side = np.where(length[:, None] > EPS, side / np.maximum(length, EPS)[:, None], 0.0)
    shift = boxes.centre[:, None] - boxes.centre[None]
    ahead, right = np.einsum("ijc,jc->ij", shift, front), np.einsum("ijc,jc->ij", shift, side)
    return {
        "infront": apart & (ahead > EPS),
        "behind": apart & (ahead < -EPS),
        "right": apart & (right > EPS),
        "left": apart & (right < -EPS),
    }


def published_annotation(
    scene: SpatialScene, seed: int = 0, options: PublishedOptions | None = None
) -> Record:
    """The annotation of one picture, in the released tool's layout."""
    options = options or PublishedOptions()
    scene = scene.in_world()
    shapes = silhouettes(scene)
    space = PublishedGrid(
        scene, np.any(shapes.masks, axis=0), shapes.bounds, shapes.depth, options.context_grid_resolution
    )
    rng = scene_rng(scene.dataset, scene.name, scene.image, seed)
    names = [item.name for item in scene.objects]
    categories = [item.category for item in scene.objects]
    unique = [i for i, category in enumerate(categories) if categories.count(category) == 1]
    everything = options.pairwise_relationship_mode == "all_visible_objects"
    chosen = list(range(len(names))) if everything else unique
    unary = []
    for i in unique if not everything else chosen:
        flat, solid = space.context(i, options.context_threshold, options.context_num_samples, rng)
        if any(points for side in flat.values() for points in side.values()):
            unary.append(
                {"name": names[i], "category": categories[i], "point_space_2d": flat, "point_space_3d": solid}
            )
    return {
        "dataset": scene.dataset,
        "scene_name": scene.name,
        "image_identifier": scene.image,
        "image_path": scene.image,
        "image_size": [scene.camera.width, scene.camera.height],
        "mode": "published",
        "camera_annotations": {
            "extrinsic": scene.scene_from_camera.matrix().tolist(),
            "intrinsic": np.pad(scene.camera.K, ((0, 1), (0, 1))).tolist(),
        },
        "object_grounding": [
            {
                "name": names[i],
                "category": categories[i],
                "bbox": b.tolist(),
                "bbox_3d": scene.objects[i].box.nine(),
            }
            for i, b in enumerate(shapes.bounds)
            if not np.isnan(b[0])
        ],
        "spatial_relationships": {
            "unary_relations": unary,
            "pairwise_relations": _pairs(scene, shapes, space, chosen, options),
        },
    }


def _pairs(
    scene: SpatialScene,
    shapes: Silhouettes,
    space: PublishedGrid,
    chosen: list[int],
    options: PublishedOptions,
) -> list[Record]:
    table = configuration(scene, shapes, options.spatial_configuration_strictness)
    plain = {frame: {key: value.tolist() for key, value in rows.items()} for frame, rows in table.items()}
    if options.compatibility_grid_resolution != options.context_grid_resolution:
        space = space.at_resolution(options.compatibility_grid_resolution)
    out = []
    for i in chosen:
        room = space.room_for(i, options.compatibility_min_distance, options.compatibility_buffer_ratio)
        for j in chosen:
            if i == j:
                continue
            fit: dict[str, Any] = space.compatibility(i, j, room)
            fit["worldcentric"] = dict(fit["cameracentric"]) | {"on_top": _on_top(scene, i, j)}
            out.append(
                {
                    "pair": [scene.objects[i].name, scene.objects[j].name],
                    "pair_category": [scene.objects[i].category, scene.objects[j].category],
                    "spatial_configuration": {
                        frame: {key: value[i][j] for key, value in rows.items()}
                        for frame, rows in plain.items()
                    },
                    "spatial_compatibility": fit,
                }
            )
    return out


def _on_top(scene: SpatialScene, i: int, j: int) -> bool:
    a, b = scene.objects[i], scene.objects[j]
    listed_both = a.name in listed("movable") and b.name in listed("flat_top")
    return bool(listed_both and (a.box.size[:2] <= b.box.size[:2]).all())


_OPPOSITES = (("left", "right"), ("infront", "behind"), ("above", "below"))
_WORDS = {"left": "left of", "right": "right of", "infront": "in front of"}
_VIEWS = {"camera": "the camera's", "world": "the world's", "object": "the second object's"}


def published_questions(record: Record) -> list[dict[str, Any]]:
    """Questions by the released rules: a relation that holds gives a yes and, of its opposite, a no; every boolean of
    compatibility gives one; free space gives one for 3 points or more, as fractions u / w and v / h.
    """
    out: list[dict[str, Any]] = []
    base = {"scene": record["scene_name"], "image": record["image_path"]}

    def add(family: str, relation: str, frame: str, question: str, answer: str) -> None:
        kind = {"family": family, "relation": relation, "frame": frame}
        out.append(
            {
                "id": f"{record['scene_name']}#{len(out)}",
                **base,
                "question": question,
                "answer": answer,
                **kind,
            }
        )

    for row in record["spatial_relationships"]["pairwise_relations"]:
        a, b = row["pair"]
        for key, holds in row["spatial_configuration"].items():
            frame = key.split("_")[0]
            for pair in _OPPOSITES:
                for yes, no in (pair, pair[::-1]):
                    if holds[yes]:
                        for side, answer in ((yes, "Yes"), (no, "No")):
                            text = f"Is the {a} {_WORDS.get(side, side)} the {b} from {_VIEWS[frame]} point of view?"
                            add("configuration", side, frame, text, answer)
        for key, holds in row["spatial_compatibility"].items():
            frame = key.removesuffix("centric")
            for side, value in holds.items():
                text = f"Can the {a} fit {_WORDS.get(side, side)} the {b} from {_VIEWS[frame]} point of view?"
                add("compatibility", side, frame, text, "Yes" if value else "No")
    width, height = record["image_size"]
    for row in record["spatial_relationships"]["unary_relations"]:
        for key, sides in row["point_space_2d"].items():
            for side, points in sides.items():
                if len(points) >= 3:
                    frame = key.removesuffix("centric")
                    shown = [(min(max(u / width, 0), 1), min(max(v / height, 0), 1)) for u, v in points]
                    answer = "[" + ", ".join(f"({u:.3f}, {v:.3f})" for u, v in shown) + "]"
                    text = f"Where is free space {_WORDS.get(side, side)} the {row['name']} from {_VIEWS[frame]} view?"
                    add("context", side, frame, text, answer)
    return out
