"""How exact is camera calibration, and is the error that it states the error that it makes?

    python benchmarks/calibration.py --rigs 50 --output benchmarks/results/calibration.json

Simulated rigs with known truth: per rig 25 views for the intrinsics and 15 samples for hand-eye. Corners have Gaussian
noise; with ``--rendered`` they are found in rendered images instead. Hand-eye uses the intrinsics just found, or the
true ones with ``--true-intrinsics``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from spatial_vla.calibration import (
    Board,
    Corners,
    Sample,
    board_pose,
    calibrate_hand_eye,
    calibrate_intrinsics,
)
from spatial_vla.calibration.hand_eye import Setup
from spatial_vla.calibration.rendering import BoardRenderer
from spatial_vla.calibration.rig import Rig, simulated_rig
from spatial_vla.geometry import matrix_to_rotvec
from spatial_vla.report.environment import device, versions

SETUPS: tuple[Setup, ...] = ("eye-in-hand", "eye-to-hand")


@dataclass
class Args:
    """Measure calibration on simulated rigs."""

    rigs: int = 50
    """rigs per setup"""
    samples: int = 15
    """hand-eye samples per rig"""
    views: int = 25
    """views per rig for the intrinsics"""
    pixel_noise: float = 0.1
    """of a corner, per axis [px]; rendered images give 0.03 to 0.1"""
    robot_noise_mm: float = 0.1
    """of the robot's pose, per axis"""
    robot_noise_deg: float = 0.02
    """of the robot's pose, per axis"""
    rendered: bool = False
    """find corners in rendered images (takes 20 s per rig)"""
    true_intrinsics: bool = False
    """hand-eye with the true intrinsics"""
    output: Path | None = None
    """file for the figures"""


def seen(rig: Rig, args: Args, rng: np.random.Generator) -> list[Corners | None]:
    """Corners of all views of a rig."""
    if not args.rendered:
        return [rig.corners(i, rng, args.pixel_noise) for i in range(len(rig.views))]
    renderer = BoardRenderer(rig.board, rig.camera)
    return [rig.board.detect(renderer.render(view, rng)) for view in rig.views]


def one_rig(setup: Setup, seed: int, args: Args) -> dict[str, float]:
    """Errors and what was stated about them, of one rig."""
    rng = np.random.default_rng(seed)
    noise = (1e-3 * args.robot_noise_mm, float(np.deg2rad(args.robot_noise_deg)))
    first = simulated_rig(setup, args.views, rng, noise, Board())
    size = (first.camera.pinhole.width, first.camera.pinhole.height)
    views = [corners for corners in seen(first, args, rng) if corners is not None]
    intrinsics = calibrate_intrinsics(views, *size)
    camera = first.camera if args.true_intrinsics else intrinsics.camera
    rig = simulated_rig(setup, args.samples, rng, noise, Board())
    corners = seen(rig, args, rng)
    samples = [
        Sample(str(i), gripper, board_pose(c, camera))
        for i, (gripper, c) in enumerate(zip(rig.grippers, corners, strict=True))
        if c is not None
    ]
    report = calibrate_hand_eye(samples, setup)
    turn = matrix_to_rotvec(report.camera.rotation @ rig.camera_pose.rotation.T)
    step = np.concatenate((report.camera.translation - rig.camera_pose.translation, turn))
    return {
        "mm": 1e3 * float(np.linalg.norm(step[:3])),
        "deg": float(np.degrees(np.linalg.norm(turn))),
        "bound95_mm": 1e3 * report.bound95[0],
        "bound95_deg": float(np.degrees(report.bound95[1])),
        "mahalanobis2": float(step @ np.linalg.solve(report.covariance, step)),
        "rejected": float(len(report.rejected)),
        "intrinsics_rms_px": intrinsics.rms,
        "held_out_rms_px": intrinsics.held_out_rms,
        "fx_error_percent": 100 * abs(intrinsics.camera.pinhole.fx / first.camera.pinhole.fx - 1),
        "map_error_px": map_error(rig, intrinsics.camera),
    }


def map_error(rig: Rig, found: Any) -> float:
    """Mean distance [px] between where the true and the found camera put a grid of directions."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 9), np.linspace(-0.38, 0.38, 7))
    rays = np.stack((x, y, np.ones_like(x)), axis=-1).reshape(-1, 3)
    return float(np.mean(np.linalg.norm(rig.camera.project(rays) - found.project(rays), axis=1)))


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Median and 95th percentile of every figure, and how often the truth was within the bound."""
    figures: dict[str, Any] = {}
    for key in rows[0]:
        values = np.array([row[key] for row in rows])
        figures[key] = {
            "median": round(float(np.median(values)), 4),
            "p95": round(float(np.quantile(values, 0.95)), 4),
        }
    within = {unit: sum(r[unit] <= r[f"bound95_{unit}"] for r in rows) for unit in ("mm", "deg")}
    return {"rigs": len(rows), "within_bound95": within, **figures}


def main() -> None:
    """Entry point."""
    args = tyro.cli(Args)
    results = {setup: summary([one_rig(setup, seed, args) for seed in range(args.rigs)]) for setup in SETUPS}
    print(f"{'':14}{'error':>20}{'stated 95 % bound':>22}{'truth within it':>18}{'intrinsics':>12}")
    for setup, r in results.items():
        error = f"{r['mm']['median']:.2f} mm {r['deg']['median']:.3f} deg"
        bound = f"{r['bound95_mm']['median']:.2f} mm {r['bound95_deg']['median']:.3f} deg"
        within = f"{r['within_bound95']['mm']}, {r['within_bound95']['deg']} of {r['rigs']}"
        print(f"{setup:14}{error:>20}{bound:>22}{within:>18}{r['intrinsics_rms_px']['median']:>9.3f} px")
    if args.output is not None:
        settings = {**asdict(args), "output": str(args.output)}
        figures = {"settings": settings, "results": results, "device": device(), "versions": versions()}
        args.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
