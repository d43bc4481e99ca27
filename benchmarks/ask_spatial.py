"""Does the live service tell the truth? Random questions to a running graph, over several simulated tables.

    python benchmarks/ask_spatial.py --questions 100 --output benchmarks/results/ask_spatial.json

The graph is that of ``spatial-vla bringup``. The truth is computed in this process from the simulator's own poses, by
``spatial_vla_sim.spatial_truth``, which shares no geometry with what answers. Latency is from request to answer, with
DDS included.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.domain import claimed_domain
from spatial_vla.bringup.node_list import NodeEntry, bringup_nodes
from spatial_vla.bringup.runner import Runner
from spatial_vla.nodes.episode_client import EpisodeClient
from spatial_vla.nodes.question_client import QuestionClient
from spatial_vla.report.environment import device, versions
from spatial_vla_sim import spatial_truth
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World

ROOT = Path(__file__).resolve().parents[1]
#: Shapes whose +x is declared to be a front, so that the object frame has answers on a table of plain solids.
FRONTS = ("cube", "brick")
NEEDED = ("sim_node", "robot_state_publisher", "spatial_question_node")
PATIENCE = 90.0


@dataclass
class Args:
    """Ask and compare."""

    questions: int = 100
    """random questions in all"""
    scenes: int = 10
    """tables they are spread over"""
    seed: int = 500
    """first scene; also of the questions"""
    whole: bool = True
    """bring up all nodes; otherwise simulation, robot state and question node alone"""
    output: Path = ROOT / "benchmarks" / "results" / "ask_spatial.json"
    """file for the figures"""


def nodes(whole: bool, parameters: Path) -> list[NodeEntry]:
    """The nodes of a bring-up that knows the fronts."""
    parameters.write_text(
        f"/**/spatial_question_node:\n  ros__parameters:\n    with_front: {list(FRONTS)}\n    max_age: 5.0\n"
    )
    entries = bringup_nodes(BringupArguments(params_file=str(parameters), visualize=False))
    return [entry for entry in entries if whole or entry.name in NEEDED]


def ask_all(args: Args, parameters: Path) -> dict[str, Any]:
    """Bring the graph up, ask, compare, take it down."""
    world, rows = World(32), []
    with claimed_domain(any_free=True):
        runner = Runner(nodes(args.whole, parameters), output=lambda name, line: None)
        try:
            runner.start()
            with EpisodeClient() as episodes, QuestionClient() as client:
                for number in range(args.scenes):
                    count = args.questions // args.scenes + (number < args.questions % args.scenes)
                    seed = args.seed + number
                    lay_out(episodes, client, seed)
                    world.reset(sample_scene(seed))
                    rng = np.random.default_rng((seed, 7))
                    rows += [_one(client, world, rng) for _ in range(count)]
                    if fatal := runner.poll():
                        raise RuntimeError(fatal)
        finally:
            runner.stop()
    return summary(rows)


def lay_out(episodes: EpisodeClient, client: QuestionClient, seed: int) -> None:
    """Reset the simulation and wait until the node has heard of the new scene.

    Raises:
        TimeoutError: it does not.
    """
    episodes.reset(seed)
    names = {item.name for item in sample_scene(seed).objects}
    deadline = time.monotonic() + PATIENCE
    answer = None
    while time.monotonic() < deadline:
        answer = client.ask(f"what is near the {min(names)}?")
        # The stamp is later than the reset by more than a period of everything that is published.
        if answer.success and _listed(client, names):
            episodes.pause(0.5)
            return
        episodes.pause(0.1)
    raise TimeoutError(f"scene {seed} is not known after {PATIENCE:g} s: {answer.message if answer else ''}")


def _listed(client: QuestionClient, names: set[str]) -> bool:
    """Whether the node's things are these: a question about none of them is refused with the list of them."""
    said = client.ask("where is the nothing?").message.split("there is ")[-1]
    return {part.strip(" '") for part in said.split(",")} == names


def _one(client: QuestionClient, world: World, rng: np.random.Generator) -> dict[str, Any]:
    asked = spatial_truth.draw(world, rng, FRONTS)
    start = time.perf_counter()
    answer = client.ask(asked.sentence)
    took = time.perf_counter() - start
    points = [(p.x, p.y, p.z) for p in answer.points]
    wrong = (
        spatial_truth.wrong(world, asked, answer.verdict, points, FRONTS)
        if answer.success
        else f"refused: {answer.message}"
    )
    return {
        "question": asked.sentence,
        "kind": asked.kind,
        "relation": asked.relation,
        "frame": asked.frame,
        "verdict": answer.verdict,
        "answer": answer.answer,
        "wrong": wrong,
        "ms": took * 1e3,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by kind and verdict, latency, and what was wrong."""
    took = [row["ms"] for row in rows]
    kinds = Counter((row["kind"], row["verdict"]) for row in rows)
    return {
        "questions": len(rows),
        "right": sum(not row["wrong"] for row in rows),
        "wrong": [row for row in rows if row["wrong"]],
        "by_kind": {f"{kind} {verdict}": count for (kind, verdict), count in sorted(kinds.items())},
        "latency_ms": {"median": float(np.median(took)), "p99": float(np.percentile(took, 99))},
    }


def main(args: Args) -> int:
    """Print a table and write the figures."""
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figures = ask_all(args, args.output.with_suffix(".yaml"))
    args.output.with_suffix(".yaml").unlink()
    print(f"{figures['right']} of {figures['questions']} answers are true")
    for kind, count in figures["by_kind"].items():
        print(f"  {kind:20s} {count:4d}")
    latency = figures["latency_ms"]
    print(f"latency: median {latency['median']:.1f} ms, p99 {latency['p99']:.1f} ms")
    for row in figures["wrong"]:
        print(f"  wrong: {row['question']} {row['wrong']}")
    record = {
        "device": device(),
        "versions": versions(),
        "configuration": {
            "scenes": args.scenes,
            "seed": args.seed,
            "whole_graph": args.whole,
            "with_front": FRONTS,
        },
        **figures,
    }
    args.output.write_text(json.dumps(record, indent=1) + "\n")
    return 0 if not figures["wrong"] else 1


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Args)))
