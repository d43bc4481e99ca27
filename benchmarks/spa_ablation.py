"""What is neural rendering good for? One encoder, pre-trained with and without it, and not at all, by three measures.

    python benchmarks/spa_ablation.py runs/spa/spa.safetensors runs/pixels/spa.safetensors data/rooms

Give two pre-trainings of the same model on the same data for as many steps, ``objective=rendering`` and
``objective=pixels``. Measured on scenes of the validation split: relative camera pose by a learned probe (settings
fixed beforehand: 4 x 4 cells, views turned by 45 degrees at most), agreement of features at the same 3D point, and,
with ``--tasks``, imitation of a Meta-World expert (``requirements/metaworld.txt``).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
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
    tasks: tuple[str, ...] = ()
    """tasks of Meta-World, for instance hammer-v3 assembly-v3; none: no imitation"""
    demonstrations: int = 25
    """of the expert, per task"""
    rollouts: int = 25
    """of the imitating policy, per task and encoder"""
    epochs: int = 50
    """of the pose probe"""
    work: Path = ROOT / "runs" / "spa_ablation"
    """folder of what is measured already; the same command goes on there"""
    output: Path = ROOT / "benchmarks" / "results" / "spa_ablation.json"
    """file for the figures"""


def untrained(like: SpaEncoder, path: Path) -> Path:
    """Weights as they are at the start of a training."""
    torch.manual_seed(0)
    fresh = SpaEncoder(like.image_size, width=like.width, depth=len(like.blocks), heads=like.width // 64)
    save_released(fresh, path)
    return path


def run(tool: str, out: Path, *arguments: str | Path) -> dict[str, Any]:
    """Figures of one of the evaluation tools; taken from ``out`` if they are there, for what was cut off goes on."""
    if not out.exists():
        command = [sys.executable, "-m", f"{EVALUATION}.{tool}", *arguments, "--out", out]
        subprocess.run([str(part) for part in command], check=True)
    found = json.loads(out.read_text())
    for place in ("checkpoint", "data", "out", "python"):  # where files lie says nothing to others
        found.get("settings", {}).pop(place, None)
    return found


def measure(args: Args, encoders: dict[str, Path]) -> dict[str, Any]:
    """Figures of every encoder. Files carry a hash of the weights, so that no other encoder's are taken for them."""
    marks = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:8] for name, path in encoders.items()}
    figures: dict[str, Any] = {name: {} for name in encoders}
    fixed = ("--summary", "grid", "--max-angle", "45", "--pairs-per-view", "12")
    for name, path in encoders.items():
        out = args.work / f"pose_{name}_{marks[name]}_{args.epochs}.json"
        figures[name]["camera_pose"] = run(
            "camera_pose", out, path, args.data, *fixed, "--probe.epochs", str(args.epochs)
        )
    folder = args.work / "-".join(("consistency", *marks.values()))
    if not (folder / "consistency.json").exists():
        labelled = [f"{name}={path}" for name, path in encoders.items()]
        command = (args.data, "--split", "val", "--encoders", *labelled, "--out", folder)
        subprocess.run([sys.executable, "-m", f"{EVALUATION}.consistency", *map(str, command)], check=True)
    for name, found in json.loads((folder / "consistency.json").read_text()).items():
        figures[name]["consistency"] = found
    sizes = ("--demonstrations", str(args.demonstrations), "--rollouts", str(args.rollouts))
    for task in args.tasks:
        for name, path in encoders.items():
            out = args.work / f"probe_{task}_{name}_{marks[name]}_{args.demonstrations}_{args.rollouts}.json"
            probe = run("policy_probe", out, path, task, *sizes, "--every", "100")
            figures[name].setdefault("policy_probe", {})[task] = probe
    return figures


def main(args: Args) -> None:
    """Measure, print and write."""
    args.work.mkdir(parents=True, exist_ok=True)
    like = load_encoder(args.rendering)
    encoders = {
        "rendering": args.rendering,
        "pixels": args.pixels,
        "untrained": untrained(like, args.work / "untrained.safetensors"),
    }
    result = {**measure(args, encoders), "device": device(), "versions": versions()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {args.output}")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
