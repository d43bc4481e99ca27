"""How fast are spatial annotations made? Pictures per second on one core, for a small and a crowded scene.

    OMP_NUM_THREADS=1 python benchmarks/robospatial.py --output benchmarks/results/robospatial.json

Counted is processor time of one thread, from a scene's boxes and camera to its record (relations, free space,
compatibility and visibility) and on to its questions. Rendering and files are not counted.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import tyro
from spatial_vla.report.environment import device, versions
from spatial_vla.spatial import RelationTable, SpatialScene
from spatial_vla.spatial.annotate import annotate
from spatial_vla.spatial.compatibility import fit_table
from spatial_vla.spatial.free_space import free_points
from spatial_vla.spatial.published import published_annotation
from spatial_vla.spatial.questions import questions
from spatial_vla.spatial.visibility import object_views
from spatial_vla_sim.spatial_scenes import SimulatedTables

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "640x480, 6 objects": SimulatedTables(640, 480, 6),
    "1296x968, 15 objects": SimulatedTables(1296, 968, 15),
}


@dataclass
class Args:
    """Measure the generator."""

    pictures: int = 60
    """scenes of each size"""
    repeats: int = 5
    """passes over them; the fastest counts"""
    output: Path = ROOT / "benchmarks" / "results" / "robospatial.json"
    """file for the figures"""


def rate(work: Callable[[SpatialScene], Any], source: SimulatedTables, args: Args) -> float:
    """Pictures per second of processor time, best of the passes; every pass gets scenes with nothing cached."""
    best = np.inf
    for _ in range(args.repeats):
        scenes = [fresh(source.scene(index)) for index in range(args.pictures)]
        start = time.process_time()
        for scene in scenes:
            work(scene)
        best = min(best, time.process_time() - start)
    return args.pictures / best


def busy(source: SimulatedTables, pictures: int, start: float) -> tuple[float, float]:
    """Processor time and wall time [s] of records of some scenes, begun at a time of the wall clock."""
    cv2.setNumThreads(1)
    scenes = [fresh(source.scene(index)) for index in range(pictures)]
    annotate(source.scene(0))
    time.sleep(max(start - time.time(), 0.0))
    used, begun = time.process_time(), time.perf_counter()
    for scene in scenes:
        annotate(scene)
    return time.process_time() - used, time.perf_counter() - begun


def scaling(source: SimulatedTables, args: Args) -> dict[str, float]:
    """Records by one process and by one per core at once: pictures/s of processor time and of wall time."""
    cores, out = len(os.sched_getaffinity(0)), dict[str, float]()
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        for count in (1, cores):
            # Long enough for all to have started.
            futures = [pool.submit(busy, source, args.pictures, time.time() + 20.0) for _ in range(count)]
            used, wall = zip(*(future.result() for future in futures), strict=True)
            out[f"{count} processes, pictures/s of processor time"] = round(
                args.pictures * count**2 / sum(used), 1
            )
            out[f"{count} processes, pictures/s of wall time"] = round(args.pictures * count / max(wall), 1)
    one, all_ = (out[f"{count} processes, pictures/s of processor time"] for count in (1, cores))
    return out | {"efficiency by processor time": round(all_ / one / cores, 3)}


def fresh(scene: SpatialScene) -> SpatialScene:
    """The scene without what was computed from it."""
    fields = ("objects", "camera", "scene_from_camera", "surfaces", "world_from_scene", "camera_uncertainty")
    return SpatialScene(**{name: getattr(scene, name) for name in (*fields, "name", "image", "dataset")})


def every(scene: SpatialScene) -> Sequence[int]:
    """All objects."""
    return range(len(scene.objects))


WORK: dict[str, Callable[[SpatialScene], Any]] = {
    "relations": RelationTable,
    "visibility": object_views,
    "free space": lambda scene: free_points(scene, every(scene), np.random.default_rng(0)),
    "compatibility": lambda scene: fit_table(scene, every(scene), every(scene)),
    "record": annotate,
    "record and questions": lambda scene: questions(annotate(scene)),
    "published": published_annotation,
}


def main(args: Args) -> None:
    """Measure all and print a table."""
    cv2.setNumThreads(1)
    for work in WORK.values():
        work(SETTINGS["640x480, 6 objects"].scene(0))
    figures: dict[str, Any] = {
        setting: {name: round(rate(work, source, args), 1) for name, work in WORK.items()}
        for setting, source in SETTINGS.items()
    }
    print(f"{'pictures/s, one core':<24}" + "".join(f"{name:>24}" for name in SETTINGS))
    for name in WORK:
        print(f"{name:<24}" + "".join(f"{figures[setting][name]:>24.1f}" for setting in SETTINGS))
    figures["scaling"] = scaling(SETTINGS["1296x968, 15 objects"], args)
    print(json.dumps(figures["scaling"], indent=1))
    figures["load"] = f"{os.getloadavg()[0]:.1f} processes on {os.cpu_count()} processors during the run"
    figures |= {"pictures": args.pictures, "device": device(), "versions": versions()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Args))
