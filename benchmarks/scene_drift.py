"""How small a knock of the camera is found by the table it sees, and how often is one claimed that was none?

    python benchmarks/scene_drift.py --output benchmarks/results/scene_drift.json

Tabletop scenes of the simulation with their objects and the arm, seen by the depth camera, which was raised or tilted
after its calibration. The noise of a pixel grows with the square of its distance; half of its variance is shared by
neighbours within about five pixels, as in stereo; 5 % of the pixels are missing. The verdict is that of
:class:`PlaneMonitor` over five looks, with the tolerance of ``calibration_monitor_node``. The smallest knock found is
the smallest of those tried from which on every one was found in every scene.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from math import radians
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray
from spatial_vla.calibration.drift import Drift
from spatial_vla.calibration.scene_plane import PlaneMonitor, PlaneRegion
from spatial_vla.geometry import SE3, rotvec_to_matrix
from spatial_vla.report.environment import device, versions
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.view import EXTERNAL_CAMERA
from spatial_vla_sim.world import World

Array = NDArray[np.float64]

REGION = PlaneRegion((0.3, 0.85), (-0.35, 0.35), 0.0)
CENTRE = np.array([np.mean(REGION.x), np.mean(REGION.y), REGION.height])
TOLERANCE = (0.01, radians(0.5))
VIEWS = 5
NOISE = (0.0, 0.001, 0.002, 0.004, 0.008)  # m at 1 m
HEIGHTS = (0.006, 0.008, 0.009, 0.010, 0.0105, 0.011, 0.012, 0.014, 0.020)  # m
TILTS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 1.0)  # degrees
MISSING = 0.05


@dataclass
class Args:
    """Measure what the table tells of a knocked camera."""

    scenes: int = 40
    """scenes per noise and knock"""
    output: Path | None = None
    """file for the figures"""


def noisy(depth: NDArray[np.float32], sigma: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A depth image as a camera with noise ``sigma`` [m] at 1 m gives it."""
    own, shared = rng.normal(0.0, 1.0, (2, *depth.shape))
    shared = cv2.GaussianBlur(shared, (0, 0), 2.0)
    error = np.sqrt(0.5) * (own + shared / shared.std())
    spoilt = depth + sigma * depth**2 * error
    spoilt[(rng.random(depth.shape) < MISSING) | (depth == 0.0)] = 0.0
    return spoilt.astype(np.float32)


def look(world: World, knock: SE3, sigma: float, rng: np.random.Generator) -> tuple[Drift, list[float]]:
    """The verdict on a camera that was moved by ``knock`` in the base frame, and the time of each look [ms]."""
    believed, view = world.scene.world_from_camera, world.view()
    frame = replace(view, scene=replace(world.scene, world_from_camera=knock @ believed)).render(
        EXTERNAL_CAMERA
    )
    monitor, drift, times = PlaneMonitor(REGION, TOLERANCE, VIEWS), None, []
    for _ in range(VIEWS):
        depth = noisy(frame.depth, sigma, rng)
        begun = time.perf_counter()
        drift = monitor.observe(believed, frame.camera, depth)
        times.append(1e3 * (time.perf_counter() - begun))
    assert drift is not None
    return drift, times


def tilted(angle: float, rng: np.random.Generator) -> SE3:
    """A turn by ``angle`` [degrees] about a level axis through the region's centre."""
    towards = rng.uniform(0.0, 2.0 * np.pi)
    turn = rotvec_to_matrix(np.radians(angle) * np.array([np.cos(towards), np.sin(towards), 0.0]))
    return SE3(turn, CENTRE - turn @ CENTRE)


def measure(sigma: float, worlds: list[World], rng: np.random.Generator) -> dict[str, Any]:
    """All knocks at one noise."""
    still = [look(world, SE3.identity(), sigma, rng) for world in worlds]
    found: dict[str, Any] = {
        "not_knocked_warned": sum(bool(drift.exceeded) for drift, _ in still),
        "not_knocked_mm": spread([1e3 * drift.distance for drift, _ in still]),
        "not_knocked_deg": spread([np.degrees(drift.angle) for drift, _ in still]),
        "look_ms": spread([ms for _, times in still for ms in times]),
    }
    heights, tilts = {}, {}
    for height in HEIGHTS:
        knocks = [SE3(np.eye(3), np.array([0.0, 0.0, rng.choice((-1.0, 1.0)) * height])) for _ in worlds]
        seen = [look(world, knock, sigma, rng)[0] for world, knock in zip(worlds, knocks, strict=True)]
        heights[1e3 * height] = float(np.mean([drift.exceeded for drift in seen]))
    for angle in TILTS:
        seen = [look(world, tilted(angle, rng), sigma, rng)[0] for world in worlds]
        tilts[angle] = float(np.mean([drift.exceeded for drift in seen]))
    found |= {"found_by_mm": heights, "found_by_deg": tilts}
    return found | {"smallest_mm": smallest(heights), "smallest_deg": smallest(tilts)}


def smallest(found: dict[float, float]) -> float | None:
    """The least knock from which on all were found; None if not even the largest was."""
    sure = None
    for size in sorted(found, reverse=True):
        if found[size] < 1.0:
            break
        sure = size
    return sure


def spread(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum."""
    median, p99 = np.percentile(values, (50, 99)).tolist()
    return {"median": median, "p99": p99, "max": float(np.max(values))}


def main() -> None:
    """Entry point."""
    args, rng, worlds = tyro.cli(Args), np.random.default_rng(0), []
    for seed in range(args.scenes):
        worlds.append(World())
        worlds[-1].reset(sample_scene(seed))
    results = {f"{1e3 * sigma:g} mm": measure(sigma, worlds, rng) for sigma in NOISE}
    print(f"{'noise at 1 m':<14}{'not knocked: warned':>20}{'p99 mm':>9}{'p99 deg':>9}", end="")
    print(f"{'smallest mm':>13}{'deg':>7}{'look ms':>9}{'p99':>7}")
    for name, r in results.items():
        print(f"{name:<14}{r['not_knocked_warned']:>14} of {args.scenes:<2}", end="")
        print(f"{r['not_knocked_mm']['p99']:>9.3f}{r['not_knocked_deg']['p99']:>9.3f}", end="")
        print(f"{r['smallest_mm'] or 'none':>13}{r['smallest_deg'] or 'none':>7}", end="")
        print(f"{r['look_ms']['median']:>9.1f}{r['look_ms']['p99']:>7.1f}")
    if args.output is not None:
        settings = {**asdict(args), "output": str(args.output), "region": str(REGION), "views": VIEWS}
        settings |= {"tolerance_mm_deg": [1e3 * TOLERANCE[0], float(np.degrees(TOLERANCE[1]))]}
        content = {"settings": settings, "results": results, "device": device(), "versions": versions()}
        args.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
