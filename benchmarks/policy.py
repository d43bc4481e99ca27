"""How good is the policy that ships? Success beside the expert's and an untrained network's, on the same seeds.

    python benchmarks/policy.py --episodes 100 --output benchmarks/results/policy.json

The trained and the untrained policy go through the ROS graph (``spatial-vla eval``). The expert, which sees ground
truth, is run without ROS behind the same motion stage, limits and latency. Needs ``./setup --dev``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from spatial_models.policy import PolicyConfig, SpatialPolicy
from spatial_models.training.bundle import write_policy
from spatial_vla.cli.eval import rate
from spatial_vla.policy import default_bundle, read_manifest
from spatial_vla.report.environment import device, versions
from spatial_vla_sim.arm import SimulatedArm
from spatial_vla_sim.closed_loop import expert_actor, run_episode
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Args:
    """Measure the policy that ships, the expert and an untrained network."""

    episodes: int = 100
    """episodes of the expert and of the policy"""
    untrained_episodes: int = 20
    """episodes of the untrained network"""
    seed: int = 1000
    """first scene"""
    output: Path = ROOT / "benchmarks" / "results" / "policy.json"
    """file for the figures"""


@dataclass(frozen=True)
class _Outcome:
    verb: str
    success: bool


def expert(episodes: int, seed: int) -> dict[str, Any]:
    """The scripted expert's rates."""
    world = World()
    arm = SimulatedArm(world)
    outcomes, failures = [], Counter[str]()
    for s in range(seed, seed + episodes):
        episode = run_episode(world, arm, sample_scene(s), expert_actor)
        outcomes.append(_Outcome(episode.scene.task.verb, episode.outcome.success))
        failures.update([episode.outcome.failure] if episode.outcome.failure else [])
    verbs = sorted({o.verb for o in outcomes})
    return {
        "episodes": episodes,
        **rate(outcomes),
        "by_task": {v: rate([o for o in outcomes if o.verb == v]) for v in verbs},
        "failures": dict(failures),
    }


def untrained_bundle(folder: Path) -> Path:
    """A bundle like the one that ships, with the weights a fresh network starts from."""
    manifest = read_manifest(default_bundle())
    torch.manual_seed(0)
    config = PolicyConfig(**manifest.architecture)
    policy = SpatialPolicy(config, manifest.action_grid(), len(manifest.vocabulary()))
    write_policy(policy, config, manifest.action_grid(), manifest.vocabulary(), folder / "run")
    command = [
        sys.executable,
        str(ROOT / "export" / "to_onnx.py"),
        str(folder / "run"),
        "--out",
        str(folder / "bundle"),
    ]
    subprocess.run([*command, "--name", "untrained"], check=True, capture_output=True)
    return folder / "bundle"


def through_the_graph(*options: str) -> dict[str, Any]:
    """Figures of ``spatial-vla eval``."""
    command = [str(Path(sys.executable).with_name("spatial-vla")), "eval", "--json", *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main(args: Args) -> None:
    """Run all three and print a table."""
    shared = ("--seed", str(args.seed))
    with tempfile.TemporaryDirectory() as folder:
        bundle = untrained_bundle(Path(folder))
        figures: dict[str, Any] = {
            "expert": expert(args.episodes, args.seed),
            "policy": through_the_graph("--episodes", str(args.episodes), *shared),
            "untrained": through_the_graph(
                "--episodes",
                str(args.untrained_episodes),
                "--bundle",
                str(bundle),
                "--timeout",
                "10",
                *shared,
            ),
        }
    figures |= {"seed": args.seed, "device": device(), "versions": versions()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{'':<12}{'all':>8}{'touch':>8}{'point':>8}{'pick':>8}")
    for name in ("expert", "policy", "untrained"):
        by = figures[name]["by_task"]
        cells = [
            figures[name]["success"],
            *(by.get(v, {}).get("success", float("nan")) for v in ("touch", "point", "pick")),
        ]
        print(f"{name:<12}" + "".join(f"{c:>8.0%}" for c in cells))


if __name__ == "__main__":
    main(tyro.cli(Args))
