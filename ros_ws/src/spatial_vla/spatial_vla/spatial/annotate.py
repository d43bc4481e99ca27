"""One picture's annotation record: everything that is asked about, as plain data. The same scene, options and seed give
the same record.

Record (JSON): ``schema``, ``mode``, ``dataset``, ``scene``, ``image``, ``image_size`` [w, h], ``camera`` {``intrinsic``
3x3, ``world_from_camera`` 4x4}, ``objects`` [{``name``, ``category``, ``box`` 9 numbers in the world frame, ``share``
visible, ``bbox`` [u0, v0, u1, v1], ``pixel``, ``point``}], ``relations`` {"frame/relation": {``verdict`` n x n,
``margin`` n x n}}, ``between`` [[i, j, k]] that hold, ``context`` [{``anchor``, ``points`` k x 3, ``pixels`` k x 2,
``directions`` {"frame/direction": indices}, perhaps ``rejected`` r x 3}], ``compatibility`` [[i, j, frame, direction,
verdict, place, yaw]].

Verdicts of relations: 1 yes, -1 no, 0 ambiguous, 9 unknown; of compatibility 1 can, -1 cannot, and what is unknown is
left out. Pixel centres are at integers.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compatibility import FitRules, FitTable, fit_table
from .contact import Rules
from .free_space import ContextRules, FreePoints, free_points
from .placement import KEYS
from .relations import RelationTable
from .scene import SpatialScene
from .verdict import decided
from .visibility import ObjectViews, object_views

SCHEMA = "spatial-annotations-1"
Record = dict[str, Any]


@dataclass(frozen=True)
class AnnotationOptions:
    """What a record holds. Objects of which less than ``visible_share`` is seen are not asked about, but stand in the
    way; of "context", at most ``points`` per frame and direction are kept, and for each anchor ``rejected`` places that
    were tried in vain, to look at.
    """

    visible_share: float = 0.15
    points: int = 12
    rejected: int = 0
    context: bool = True
    compatibility: bool = True
    relations: Rules = field(default_factory=Rules)
    context_rules: ContextRules = field(default_factory=ContextRules)
    fit_rules: FitRules = field(default_factory=FitRules)


def annotate(scene: SpatialScene, seed: int = 0, options: AnnotationOptions | None = None) -> Record:
    """The record of a scene's picture."""
    options = options or AnnotationOptions()
    scene = scene.in_world()
    rng = scene_rng(scene.dataset, scene.name, scene.image, seed)
    views = object_views(scene)
    asked = [
        i
        for i, item in enumerate(scene.objects)
        if views.share[i] >= options.visible_share and not item.known_traits.environment
    ]
    number = {index: place for place, index in enumerate(asked)}
    table = RelationTable(scene, options.relations)
    context = _context(scene, asked, rng, options) if options.context else []
    compatibility: list[list[Any]] = []
    if options.compatibility:
        movable = [i for i in asked if scene.objects[i].known_traits.movable]
        compatibility = _fit_rows(fit_table(scene, movable, asked, options.fit_rules), number)
    return {
        "schema": SCHEMA,
        "mode": "default",
        "dataset": scene.dataset,
        "scene": scene.name,
        "image": scene.image,
        "image_size": [scene.camera.width, scene.camera.height],
        "camera": {
            "intrinsic": scene.camera.K.tolist(),
            "world_from_camera": scene.scene_from_camera.matrix().tolist(),
        },
        "objects": _objects(scene, views, asked),
        "relations": _relations(table, asked),
        "between": _between(table, asked),
        "context": [row | {"anchor": number[row["anchor"]]} for row in context],
        "compatibility": compatibility,
    }


def scene_rng(dataset: str, scene: str, image: str, seed: int) -> np.random.Generator:
    """Random numbers that depend on the picture and the seed alone, not on the order of work."""
    return np.random.default_rng((seed, zlib.crc32(f"{dataset}/{scene}/{image}".encode())))


def _objects(scene: SpatialScene, views: ObjectViews, asked: list[int]) -> list[Record]:
    columns = (
        scene.boxes.nines().round(6),
        views.share.round(3),
        views.bounds.round(2),
        views.pixels,
        views.points,
    )
    return [
        {
            "name": scene.objects[i].name,
            "category": scene.objects[i].category,
            "front": scene.objects[i].known_traits.front,
            "box": nine,
            "share": share,
            "bbox": bounds,
            "pixel": pixel,
            "point": point,
        }
        for i, nine, share, bounds, pixel, point in zip(
            asked, *(c[asked].tolist() for c in columns), strict=True
        )
    ]


def _relations(table: RelationTable, asked: Sequence[int]) -> dict[str, Record]:
    out: dict[str, Record] = {}
    grid = np.ix_(asked, asked)
    for frame, relation in table.kinds():
        margins = table.margins(frame, relation)
        value = margins.value[grid]
        verdict = np.where(np.isnan(value), 9, decided(value, margins.band[grid]))
        out[f"{frame}/{relation}"] = {
            "verdict": verdict.tolist(),
            "margin": np.nan_to_num(value).round(4).tolist(),
        }
    return out


def _between(table: RelationTable, asked: Sequence[int]) -> list[list[int]]:
    margins, grid = table.between, np.ix_(asked, asked, asked)
    return np.argwhere(decided(margins.value[grid], margins.band[grid]) == 1).tolist()


def _context(
    scene: SpatialScene, asked: Sequence[int], rng: np.random.Generator, options: AnnotationOptions
) -> list[Record]:
    found = free_points(scene, asked, rng, options.context_rules)
    return [row for anchor, free in found.items() if (row := _context_row(anchor, free, rng, options))]


def _context_row(
    anchor: int, free: FreePoints, rng: np.random.Generator, options: AnnotationOptions
) -> Record | None:
    """Points that are kept for any direction, and by direction which of them."""
    chosen: dict[str, NDArray[np.intp]] = {}
    order, there = rng.permutation(len(free.points)), np.zeros(len(free.points), bool)
    for (frame, direction), rows in free.directions.items():
        if len(rows):
            # One order for all directions, so that frames share their points.
            there[:] = False
            there[rows] = True
            chosen[f"{frame}/{direction}"] = order[there[order]][: options.points]
    if not chosen:
        return None
    kept = np.unique(np.concatenate(list(chosen.values())))
    rejected = {"rejected": free.rejected[: options.rejected].tolist()} if options.rejected else {}
    return rejected | {
        "anchor": anchor,
        "points": free.points[kept].tolist(),
        "pixels": free.pixels[kept].tolist(),
        "directions": {key: np.searchsorted(kept, np.sort(rows)).tolist() for key, rows in chosen.items()},
    }


def _fit_rows(table: FitTable, number: dict[int, int]) -> list[list[Any]]:
    """Answers that are known."""
    known = np.flatnonzero(table.verdict)
    columns = (
        table.subject,
        table.reference,
        table.key,
        table.verdict,
        table.place.round(5),
        table.yaw.round(5),
    )
    return [
        [
            number[a],
            number[b],
            *KEYS[key],
            verdict,
            place if verdict == 1 else None,
            yaw if verdict == 1 else 0.0,
        ]
        for a, b, key, verdict, place, yaw in zip(*(c[known].tolist() for c in columns), strict=True)
    ]
