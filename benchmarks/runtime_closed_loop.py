"""Does the policy act as well on every session? Success in closed loop on the same seeds, with intervals.

    python benchmarks/runtime_closed_loop.py --episodes 100 --frames data/demonstrations

Episodes run without ROS, each on every session; ``--frames`` calibrates the 8-bit files. Finished episodes are
kept beside the output and not run again. Needs ``./setup --dev``.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import tyro
from spatial_vla.cli.eval import quantiles, rate
from spatial_vla.policy import Decoder, Encoder, default_bundle, read_manifest
from spatial_vla.report.environment import device, versions
from spatial_vla_sim.arm import SimulatedArm
from spatial_vla_sim.closed_loop import Actor, policy_actor, run_episode
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World
from tqdm import tqdm

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
    sessions: tuple[str, ...] = ("torch", "onnxruntime", "openvino-bf16", "openvino-int8")
    """of torch, onnxruntime, openvino, openvino-bf16, onnxruntime-int8, openvino-int8"""
    workers: int = os.cpu_count() or 1
    """episodes at once"""
    output: Path = ROOT / "benchmarks" / "results" / "runtime_closed_loop.json"
    """file for the figures"""


@dataclass(frozen=True)
class Episode:
    """How one ended; ``bundle`` is the manifest's hash."""

    bundle: str
    seed: int
    session: str
    success: bool
    duration: float
    failure: str


class _Worker:
    """What a process needs to run episodes: a world, and the policy on every session."""

    def __init__(self, bundle: Path, small: Path | None, sessions: tuple[str, ...]) -> None:
        torch.set_num_threads(1)
        self.hash = read_manifest(bundle).hash
        self.world = World()
        self.arm = SimulatedArm(self.world)
        self.actors: dict[str, Actor] = {}
        for name in sessions:
            kind = name.removesuffix("-int8")
            folder = bundle if kind == name else small
            if folder is None:
                raise ValueError(f"{name} is calibrated with recorded frames: give --frames")
            self.actors[name] = policy_actor(Encoder(folder, kind), Decoder(folder, kind))

    def run(self, seed: int) -> list[Episode]:
        """One scene on every session."""
        found = []
        for name, act in self.actors.items():
            episode = run_episode(self.world, self.arm, sample_scene(seed), act)
            outcome = episode.outcome
            found.append(
                Episode(self.hash, seed, name, outcome.success, episode.duration, outcome.failure or "")
            )
        return found


_worker: _Worker | None = None


def _start(*given: Any) -> None:
    global _worker
    _worker = _Worker(*given)


def _run(seed: int) -> list[Episode]:
    assert _worker is not None
    return _worker.run(seed)


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
        episodes = measure(args, bundle, small)
    found = {name: summary([e for e in episodes if e.session == name]) for name in args.sessions}
    configuration = {
        k: str(v) if isinstance(v, Path) else v for k, v in asdict(args).items() if k != "output"
    }
    where = {"device": device(), "versions": versions()}
    figures = {"sessions": found, "configuration": configuration, **where}
    args.output.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{'session':<20}{'episodes':>9}{'success':>9}   95 % interval")
    for name, row in found.items():
        low, high = row["ci95"]
        print(f"{name:<20}{row['episodes']:>9}{row['success']:>9.0%}   {low:.0%} to {high:.0%}")


def measure(args: Args, bundle: Path, small: Path | None) -> list[Episode]:
    """The episodes of every session on the same scenes; those on the disk are taken from there."""
    kept = args.output.with_suffix(".jsonl")
    kept.parent.mkdir(parents=True, exist_ok=True)
    rows = kept.read_text().splitlines() if kept.exists() else []
    done = [e for e in (Episode(**json.loads(row)) for row in rows) if e.bundle == read_manifest(bundle).hash]
    seeds = range(args.seed, args.seed + args.episodes)
    found = {(e.seed, e.session): e for e in done if e.seed in seeds}
    left = [seed for seed in seeds if not all((seed, name) in found for name in args.sessions)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.workers, spawn, _start, (bundle, small, args.sessions)) as pool:
        for episodes in tqdm(pool.map(_run, left), total=len(left), unit="scene"):
            with kept.open("a") as file:
                file.writelines(json.dumps(asdict(episode)) + "\n" for episode in episodes)
            found |= {(e.seed, e.session): e for e in episodes}  # once each, however often it was run
    return list(found.values())


def summary(episodes: list[Episode]) -> dict[str, Any]:
    """Rate, duration, and which succeeded."""
    return {
        **rate(episodes),  # pyright: ignore[reportArgumentType]  it reads ``success`` alone
        "duration_s": quantiles(e.duration for e in episodes),
        "episodes_that_succeeded": sorted(e.seed for e in episodes if e.success),
    }


if __name__ == "__main__":
    main(tyro.cli(Args))
