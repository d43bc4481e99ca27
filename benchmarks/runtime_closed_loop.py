"""Does the policy act as well on every session? Success in closed loop on the same seeds, with intervals.

    python benchmarks/runtime_closed_loop.py --episodes 100 --frames data/demonstrations

Episodes run without ROS, one after the other, each on every session before the next; ``--frames`` calibrates the 8-bit
files. Needs ``./setup --dev``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tyro
from spatial_vla.cli.eval import quantiles, rate
from spatial_vla.policy import Decoder, Encoder, default_bundle
from spatial_vla.report.environment import device, versions
from spatial_vla.runtime import this_machine
from spatial_vla_sim.arm import SimulatedArm
from spatial_vla_sim.closed_loop import Actor, policy_actor, run_episode
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Args:
    """Measure success on every session."""

    episodes: int = 100
    """episodes on each session"""
    seed: int = 1000
    """first scene"""
    bundle: Path | None = None
    """the policy that ships if not given"""
    frames: Path | None = None
    """recorded demonstrations that calibrate the 8-bit files; without, these are left out"""
    output: Path = ROOT / "benchmarks" / "results" / "runtime_closed_loop.json"
    """file for the figures"""


@dataclass(frozen=True)
class _Result:
    success: bool
    duration: float
    failure: str


def actors(bundle: Path, small: Path | None) -> dict[str, Actor]:
    """A policy on every session, by name."""
    machine = this_machine()
    kinds = ["torch", "onnxruntime"]
    if machine.openvino:
        kinds += ["openvino", *(["openvino-bf16"] if machine.bf16 else [])]
    named = {kind: (bundle, kind) for kind in kinds}
    if small is not None:
        named |= {f"{kind}-int8": (small, kind) for kind in kinds if kind in ("onnxruntime", "openvino")}
    return {name: policy_actor(Encoder(b, kind), Decoder(b, kind)) for name, (b, kind) in named.items()}


def quantised(bundle: Path, frames: Path, out: Path) -> Path:
    """The same policy in 8 bits."""
    command = [sys.executable, str(ROOT / "export" / "to_onnx.py"), str(bundle), "--precision", "int8"]
    subprocess.run([*command, "--frames", str(frames), "--out", str(out)], check=True)
    return out


def main(args: Args) -> None:
    """Run all, print a table and write the figures."""
    bundle = args.bundle or default_bundle()
    with TemporaryDirectory() as folder:
        small = quantised(bundle, args.frames, Path(folder) / "int8") if args.frames else None
        found = measure(args, actors(bundle, small))
    configuration = {
        k: str(v) if isinstance(v, Path) else v for k, v in asdict(args).items() if k != "output"
    }
    figures = {"sessions": found, "configuration": configuration, "device": device(), "versions": versions()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{'session':<20}{'episodes':>9}{'success':>9}   95 % interval")
    for name, row in found.items():
        low, high = row["ci95"]
        print(f"{name:<20}{row['episodes']:>9}{row['success']:>9.0%}   {low:.0%} to {high:.0%}")


def measure(args: Args, sessions: dict[str, Actor]) -> dict[str, Any]:
    """Rates of every session on the same scenes."""
    world = World()
    arm = SimulatedArm(world)
    results: dict[str, list[_Result]] = {name: [] for name in sessions}
    for seed in range(args.seed, args.seed + args.episodes):
        for name, act in sessions.items():
            episode = run_episode(world, arm, sample_scene(seed), act)
            outcome = episode.outcome
            results[name].append(_Result(outcome.success, episode.duration, outcome.failure or ""))
    return {
        name: {
            **rate(rows),  # pyright: ignore[reportArgumentType]  it reads ``success`` alone
            "duration_s": quantiles(row.duration for row in rows),
            "episodes_that_succeeded": [args.seed + i for i, row in enumerate(rows) if row.success],
        }
        for name, rows in results.items()
    }


if __name__ == "__main__":
    main(tyro.cli(Args))
