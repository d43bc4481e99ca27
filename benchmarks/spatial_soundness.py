"""How often are spatial answers wrong? Default and published rules on simulated scenes whose truth is known.

    python benchmarks/spatial_soundness.py --scenes 500 --output benchmarks/results/spatial_soundness.json

Truth is the written definition on the exact boxes. The default mode is given boxes as a detector has them, off by up to
``--position`` and ``--angle``, and says so; the published rules get the exact ones. Free places and placements are
judged by MuJoCo: rays from the camera, and distances between solids. Half the scenes have their origin on the table,
half at the camera, as the released example has.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import mujoco
import numpy as np
import tyro
from rich.progress import track
from scipy.spatial.transform import Rotation
from spatial_vla.geometry import SE3
from spatial_vla.report.environment import device, versions
from spatial_vla.spatial import OPPOSITE, Frame, Relation, RelationTable, SpatialScene
from spatial_vla.spatial.compatibility import fits
from spatial_vla.spatial.free_space import free_points, supports
from spatial_vla.spatial.published import published_annotation
from spatial_vla.spatial.verdict import decided
from spatial_vla_sim.spatial_scenes import Arrangement, SimulatedTables, with_errors

ROOT = Path(__file__).resolve().parents[1]
#: Nearer than this [m] before a point is at the point.
AT = 1e-3
#: Things that touch may reach this far into each other [m].
ROUNDING = 1e-6
_FRAMES: dict[str, Frame] = {"camera_centric": "ego", "world_centric": "world", "object_centric": "object"}
_SIDES: dict[str, Relation] = {
    "left": "left",
    "right": "right",
    "infront": "front",
    "behind": "behind",
    "above": "above",
    "below": "below",
}


@dataclass
class Args:
    """Measure the soundness of both modes."""

    scenes: int = 500
    """random table-tops"""
    things: int = 8
    """objects on each"""
    position: float = 0.004
    """largest error of a box's centre in default mode [m]"""
    angle: float = 0.03
    """largest error of its yaw [rad]"""
    placements: int = 6
    """placements per scene that are put into MuJoCo"""
    output: Path = ROOT / "benchmarks" / "results" / "spatial_soundness.json"
    """file for the figures"""


Tally = Counter[tuple[str, str, str]]


def judge_default(truth: RelationTable, seen: SpatialScene, tally: Tally) -> None:
    """Count answers, wrong ones and ambiguous ones by "frame/relation"."""
    table = RelationTable(seen)
    for frame, relation in table.kinds():
        claim, fact = table.verdicts(frame, relation), truth.margins(frame, relation).value
        key = f"{frame}/{relation}"
        wrong = ((claim == 1) & (fact < 0.0)) | ((claim == -1) & (fact > 0.0))
        tally["default", key, "answers"] += int((claim != 0).sum())
        tally["default", key, "wrong"] += int(wrong.sum())
        tally["default", key, "ambiguous"] += int(((claim == 0) & ~np.isnan(fact)).sum())
    claim, fact = decided(table.between.value, table.between.band), truth.between.value
    wrong = ((claim == 1) & (fact < 0.0)) | ((claim == -1) & (fact > 0.0))
    counts = {"answers": claim != 0, "wrong": wrong, "ambiguous": (claim == 0) & ~np.isnan(fact)}
    for name, which in counts.items():
        tally["default", "world/between", name] += int(which.sum())


def judge_published(record: dict[str, Any], truth: RelationTable, tally: Tally) -> None:
    """Each relation that holds makes a yes, and a no of its opposite; "undefined": the reference has no front."""
    index = {item.name: i for i, item in enumerate(truth.scene.objects)}
    for row in record["spatial_relationships"]["pairwise_relations"]:
        i, j = (index[name] for name in row["pair"])
        for spelling, holds in row["spatial_configuration"].items():
            frame = _FRAMES[spelling]
            for side, relation in _SIDES.items():
                if not holds[side]:
                    continue
                yes = truth.margins(frame, relation).value[i, j]
                no = truth.margins(frame, OPPOSITE[relation]).value[i, j]
                tally["published", f"{frame}/{relation}", "undefined"] += int(np.isnan(yes))
                for key, wrong, nan in ((relation, yes < 0.0, yes), (OPPOSITE[relation], no > 0.0, no)):
                    tally["published", f"{frame}/{key}", "answers"] += int(not np.isnan(nan))
                    tally["published", f"{frame}/{key}", "wrong"] += int(wrong)


def judge_stacks(
    record: dict[str, Any], truth: RelationTable, seen: SpatialScene, tally: Tally, where: str
) -> None:
    """Of things that stand on another: reported above, and the other below?"""
    names = [item.name for item in truth.scene.objects]
    said = {
        tuple(row["pair"]): row["spatial_configuration"]["world_centric"]["above"]
        for row in record["spatial_relationships"]["pairwise_relations"]
    }
    table = RelationTable(seen)
    above, below = table.verdicts("world", "above"), table.verdicts("world", "below")
    boxes = truth.scene.boxes
    for i, j in np.argwhere(truth.verdicts("world", "on") == 1):
        if boxes.low[i] < boxes.high[j] - 1e-3:
            continue  # It stands in a tray and looks out of it.
        tally["default", f"stacks, {where}", "answers"] += 1
        tally["published", f"stacks, {where}", "answers"] += 1
        tally["default", f"stacks, {where}", "wrong"] += int(above[i, j] != 1 or below[j, i] != 1)
        tally["published", f"stacks, {where}", "wrong"] += int(not said[names[i], names[j]])


def judge_points(
    arrangement: Arrangement, scene: SpatialScene, points: np.ndarray, pixels: np.ndarray, owners: list[str | None],
    mode: str, tally: Tally, tolerance: float,
) -> None:  # fmt: skip
    """Free places: inside a solid, hidden, or not where its pixel is."""
    if not len(points):
        return
    inverse = scene.scene_from_camera.inverse()
    rotation, _ = cv2.Rodrigues(inverse.rotation)
    shown, _ = cv2.projectPoints(points, rotation, inverse.translation, scene.camera.K, np.zeros(4))
    tally[mode, "free points", "answers"] += len(points)
    off = np.abs(shown[:, 0] - pixels).max(axis=1) > tolerance
    tally[mode, "free points: pixel differs", "wrong"] += int(off.sum())
    tally[mode, "free points: hidden", "wrong"] += int((arrangement.first_hit(points) > AT).sum())
    inside = [solid_gap(arrangement, p, owner) <= 0.0 for p, owner in zip(points, owners, strict=True)]
    tally[mode, "free points: inside an object", "wrong"] += sum(inside)
    floating = [supported_gap(arrangement, p) > 2e-3 for p in points]
    tally[mode, "free points: nothing below", "wrong"] += sum(floating)


def solid_gap(arrangement: Arrangement, point: np.ndarray, owner: str | None) -> float:
    """Distance to the nearest solid (the table is geom 0) whose box is not the owner's; by the primitives' formulas."""
    model, data, best = arrangement.model, arrangement.data, np.inf
    skip = None
    if owner is not None:
        skip = arrangement.scene.objects[arrangement.scene.index(owner)].box
    for geom in range(1, model.ngeom):
        if skip is not None and np.all(
            np.abs(skip.rotation.T @ (data.geom_xpos[geom] - skip.centre)) <= skip.size / 2 + 1e-9
        ):
            continue
        local = np.abs(data.geom_xmat[geom].reshape(3, 3).T @ (point - data.geom_xpos[geom]))
        size, kind = model.geom_size[geom], model.geom_type[geom]
        if kind == mujoco.mjtGeom.mjGEOM_BOX:
            gap = float(np.linalg.norm(np.maximum(local - size, 0.0)))
        elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            gap = max(float(np.linalg.norm(local)) - size[0], 0.0)
        else:
            gap = float(np.hypot(max(np.hypot(*local[:2]) - size[0], 0.0), max(local[2] - size[1], 0.0)))
        best = min(best, gap)
    return best


def supported_gap(arrangement: Arrangement, point: np.ndarray) -> float:
    """How far below a point the next solid is [m]."""
    hit = np.array([-1], np.int32)
    start = point + np.array((0.0, 0.0, 1e-3))
    down = np.array((0.0, 0.0, -1.0))
    gap = mujoco.mj_ray(arrangement.model, arrangement.data, start, down, None, 1, -1, hit)
    return float(gap) - 1e-3 if gap >= 0.0 else np.inf


def judge_placements(arrangement: Arrangement, rng: np.random.Generator, tally: Tally, most: int) -> None:
    """Put things where the answer "can" puts them and measure their distance to all other solids."""
    scene, model, data = arrangement.scene, arrangement.model, arrangement.data
    found = [fit for fit in fits(scene, range(len(scene.objects)), range(len(scene.objects))) if fit.place]
    for number in rng.permutation(len(found))[:most]:
        fit = found[int(number)]
        box = scene.objects[fit.subject].box
        mine = [
            g
            for g in range(1, model.ngeom)
            if inside_box(data.geom_xpos[g], box.centre, box.rotation, box.size)
        ]
        if len(mine) != 1 or fit.place is None:
            continue
        geom = mine[0]
        saved = data.geom_xpos[geom].copy(), data.geom_xmat[geom].copy()
        turn = Rotation.from_euler("z", fit.yaw).as_matrix()
        data.geom_xpos[geom] = np.array(fit.place) + np.array((0.0, 0.0, box.size[2] / 2))
        data.geom_xmat[geom] = (turn @ box.rotation).ravel()
        gaps = [
            mujoco.mj_geomDistance(model, data, geom, g, 1.0, None) for g in range(model.ngeom) if g != geom
        ]
        moved = replace(
            scene.objects[fit.subject],
            box=replace(box, centre=data.geom_xpos[geom].copy(), rotation=turn @ box.rotation),
        )
        data.geom_xpos[geom], data.geom_xmat[geom] = saved
        objects = tuple(moved if i == fit.subject else o for i, o in enumerate(scene.objects))
        there = RelationTable(replace(scene, objects=objects)).margins(fit.frame, fit.direction).value
        tally["default", "placements", "answers"] += 1
        tally["default", "placements", "wrong"] += int(
            min(gaps) < -ROUNDING or there[fit.subject, fit.reference] <= 0.0
        )


def inside_box(point: np.ndarray, centre: np.ndarray, rotation: np.ndarray, size: np.ndarray) -> bool:
    """Whether a point is at the very middle of a box."""
    return bool(np.all(np.abs(rotation.T @ (point - centre)) <= size * 0.05))


def one_scene(index: int, source: SimulatedTables, args: Args, tally: Tally) -> None:
    """All judgements of one scene."""
    arrangement = source.arrangement(index)
    scene, rng = arrangement.scene, np.random.default_rng((7, index))
    at_camera = index % 2 == 1
    shift = SE3(np.eye(3), -scene.scene_from_camera.translation if at_camera else np.zeros(3))
    shifted = scene.moved(shift)
    truth, seen = RelationTable(shifted), with_errors(shifted, rng, args.position, args.angle)
    judge_default(truth, seen, tally)
    record = published_annotation(shifted, index)
    judge_published(record, truth, tally)
    judge_stacks(record, truth, seen, tally, "origin at the camera" if at_camera else "origin on the table")
    standing = supports(scene)
    for anchor, free in free_points(scene, range(len(scene.objects)), rng).items():
        owner = scene.surfaces[standing[anchor]].owner
        judge_points(
            arrangement, scene, free.points, free.pixels, [owner] * len(free.points), "default", tally, 1e-3
        )
    for row in record["spatial_relationships"]["unary_relations"]:
        flat, solid = row["point_space_2d"]["cameracentric"], row["point_space_3d"]["cameracentric"]
        points = np.array([p for side in solid.values() for p in side]).reshape(-1, 3) - shift.translation
        pixels = np.array([p for side in flat.values() for p in side]).reshape(-1, 2)
        judge_points(arrangement, scene, points, pixels, [None] * len(points), "published", tally, 0.51)
    judge_placements(arrangement, rng, tally, args.placements)


def main(args: Args) -> None:
    """Judge all scenes and print the table."""
    source, tally = SimulatedTables(things=args.things), Counter[tuple[str, str, str]]()
    for index in track(range(args.scenes), description="scenes"):
        one_scene(index, source, args, tally)
    kinds = sorted({key[1] for key in tally})
    names = ("answers", "wrong", "ambiguous", "undefined")
    figures: dict[str, Any] = {
        mode: {kind: {n: tally[mode, kind, n] for n in names if tally[mode, kind, n]} for kind in kinds}
        for mode in ("default", "published")
    }
    print(
        f"{'':<34}{'default: wrong / answers':>26}{'ambiguous':>11}{'published: wrong / answers':>30}{'undefined':>11}"
    )
    for kind in kinds:
        cells = []
        for mode in ("default", "published"):
            wrong = tally[mode, kind, "wrong"]
            count = tally[mode, kind.split(":")[0], "answers"] or tally[mode, kind, "answers"]
            cells.append(f"{wrong} / {count} = {wrong / count:.2%}" if count else "-")
        extra = tally["default", kind, "ambiguous"], tally["published", kind, "undefined"]
        print(f"{kind:<34}{cells[0]:>26}{extra[0]:>11}{cells[1]:>30}{extra[1]:>11}")
    relations = [k for k in kinds if "/" in k]
    for mode in ("default", "published"):
        wrong, count = (sum(tally[mode, k, n] for k in relations) for n in ("wrong", "answers"))
        figures[mode]["all relations"] = {"answers": count, "wrong": wrong}
        print(f"all relations, {mode}: {wrong} / {count} = {wrong / max(count, 1):.3%}")
    figures |= {"scenes": args.scenes, "device": device(), "versions": versions()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Args))
