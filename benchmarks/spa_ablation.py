"""What is neural rendering good for? One encoder, pre-trained with and without it, and not at all, by three measures.

    python benchmarks/spa_ablation.py runs/spa/spa.safetensors runs/pixels/spa.safetensors data/rooms

Give two pre-trainings of the same model on the same data for as many steps, ``objective=rendering`` and
``objective=pixels``. Measured on scenes of the validation split: relative camera pose by a learned probe (settings
fixed beforehand: 4 x 4 cells, views turned by 45 degrees at most), agreement of features at the same 3D point, and,
with ``--task``, imitation of a Meta-World expert (``requirements/metaworld.txt``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from spatial_models.spa import load_encoder, save_released
from spatial_models.spa.encoder import SpaEncoder
from spatial_vla.report.environment import device, versions

ROOT = Path(__file__).resolve().parents[1]
EVALUATION = "spatial_models.spa.evaluation"


@dataclass
class Args:
    """Compare an encoder with, without and before pre-training by neural rendering."""

    rendering: tyro.conf.Positional[Path]
    """weights pre-trained by rendering"""
    pixels: tyro.conf.Positional[Path]
    """weights of the same model pre-trained to fill in pixels"""
    data: tyro.conf.Positional[Path]
    """folder of posed RGB-D scenes"""
    task: str = ""
    """task of Meta-World, for instance drawer-open-v3; none: no imitation"""
    rollouts: int = 25
    """of the imitating policy, per encoder"""
    horizon: int = 150
    """steps of a rollout"""
    epochs: int = 50
    """of the pose probe"""
    output: Path = ROOT / "benchmarks" / "results" / "spa_ablation.json"
    """file for the figures"""


def untrained(like: SpaEncoder, path: Path) -> Path:
    """Weights as they are at the start of a training."""
    torch.manual_seed(0)
    fresh = SpaEncoder(like.image_size, width=like.width, depth=len(like.blocks), heads=like.width // 64)
    save_released(fresh, path)
    return path


def run(tool: str, *arguments: str | Path) -> None:
    """One of the evaluation tools; its table goes to the terminal."""
    subprocess.run([sys.executable, "-m", f"{EVALUATION}.{tool}", *map(str, arguments)], check=True)


def measure(args: Args, encoders: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Figures of every encoder."""
    figures: dict[str, Any] = {name: {} for name in encoders}
    for name, path in encoders.items():
        pose = folder / f"pose_{name}.json"
        fixed = ("--summary", "grid", "--max-angle", "45", "--pairs-per-view", "12")
        run("camera_pose", path, args.data, "--out", pose, *fixed, "--probe.epochs", str(args.epochs))
        figures[name]["camera_pose"] = json.loads(pose.read_text())
    labelled = [f"{name}={path}" for name, path in encoders.items()]
    run("consistency", args.data, "--split", "val", "--encoders", *labelled, "--out", folder)
    for name, found in json.loads((folder / "consistency.json").read_text()).items():
        figures[name]["consistency"] = found
    for name, path in encoders.items() if args.task else ():
        probe = folder / f"probe_{name}.json"
        sizes = ("--rollouts", str(args.rollouts), "--horizon", str(args.horizon), "--every", "50")
        run("policy_probe", path, args.task, "--out", probe, *sizes)
        figures[name]["policy_probe"] = json.loads(probe.read_text())
    return figures


def main(args: Args) -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        like = load_encoder(args.rendering)
        encoders = {
            "rendering": args.rendering,
            "pixels": args.pixels,
            "untrained": untrained(like, folder / "untrained.safetensors"),
        }
        figures = measure(args, encoders, folder)
    result = {**figures, "task": args.task, "device": device(), "versions": versions()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {args.output}")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
