"""Faults in the running graph: does the arm stop, how soon, does anything unsafe get out, and does anybody say so?

    python benchmarks/faults.py --seeds 25 --output benchmarks/results/faults.jsonl
    python benchmarks/faults.py --only "camera frozen" --seeds 1 --output /tmp/one.jsonl
    python benchmarks/faults.py --seeds 0 --output benchmarks/results/faults.jsonl     # prints the table again

Starts the simulated bring-up and, trial after trial, lays out a scene, sets the arm in motion, puts one fault in, and
watches. Every trial is appended to the output at once, and trials that are there are not run again, so the command may
be interrupted and repeated. docs/reference/faults.md says what each kind does and what is expected.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from fault_graph import STATES, FaultGraph
from fault_kinds import CONTROL, FAULTS, Fault
from spatial_vla.bringup.domain import claimed_domain
from spatial_vla.nodes.conversions import stamp_ns
from spatial_vla.nodes.episode_client import EpisodeClient, NoAnswer
from spatial_vla.report.environment import device, versions
from spatial_vla_interfaces.msg import MotionStatus

AT_REST, MOVING = 0.01, 0.1  # rad/s
PAUSE = 0.1  # s at rest that count as a stop
WATCHED = 1.8  # s of simulated time after a fault in which a stop is looked for
TOLD = 1.6  # s of real time after the fault's end for diagnostics, which come once a second
PATIENCE = 30.0  # s of real time


@dataclass
class Args:
    """Run the campaign."""

    seeds: int = 1
    """trials per kind of fault"""
    only: str = ""
    """only kinds whose name contains this"""
    minutes: float = 0.0
    """start no trial after this long; 0: no bound"""
    output: Path = Path("faults.jsonl")
    """one line per trial; continued if it exists"""


def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait in real time. Raises TimeoutError."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience:.0f} s for {what}")
        time.sleep(0.005)


def lay_out(graph: FaultGraph, client: EpisodeClient, seed: int) -> str:
    """A new scene and an armed arm; the scene's instruction."""
    if graph.state == MotionStatus.FAULT:
        ask(graph, graph.reset, lambda: graph.state != MotionStatus.FAULT, "a cleared fault")
    # Who moves the arm by hand disarms it first.
    ask(graph, lambda: graph.arm(False), lambda: graph.state == MotionStatus.DISARMED, "a disarmed arm")
    scene = client.reset(seed, "touch")
    laid_out = stamp_ns(scene.stamp)  # joint states from before must be gone when it is armed
    until(lambda: not laid_out - 10**9 < graph.now_ns < laid_out + 200_000_000, "joint states")
    ready = (MotionStatus.IDLE, MotionStatus.RUNNING)

    def arm() -> (
        None
    ):  # a motion stage that has just been started arms itself, so it may have seen the arm jump
        graph.reset() if graph.state == MotionStatus.FAULT else graph.arm(True)

    ask(graph, arm, lambda: graph.state in ready, "an armed arm")
    return scene.instruction


def set_in_motion(graph: FaultGraph, client: EpisodeClient, seed: int, rng: random.Random) -> None:
    """Give an instruction and return at some moment at which the arm moves."""
    until(lambda: len(client.missing(sim=True)) == len(client.missing(sim=False)), "a simulation")
    until(graph.listens, "somebody who follows instructions")
    for attempt in range(4):
        instruction = lay_out(graph, client, seed + 1000 * attempt)
        graph.clear()
        graph.follow(instruction)
        with suppress(TimeoutError):
            until(lambda: moving(graph), "the arm to move", 4.0)
            time.sleep(rng.uniform(0.0, 0.5))
            until(lambda: moving(graph), "the arm to move again", 2.0)
            return
    raise TimeoutError("the arm does not move any more")


def ask(graph: FaultGraph, request: Callable[[], None], granted: Callable[[], bool], what: str) -> None:
    """Ask until it is granted: a request may be refused for now, or go to a process that has just died."""
    deadline = time.monotonic() + PATIENCE
    while True:
        request()
        with suppress(TimeoutError):
            until(granted, what, 0.3)
            return
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"waited {PATIENCE:.0f} s for {what}, which is {STATES[graph.state]}: {graph.answer}"
            )


def moving(graph: FaultGraph) -> bool:
    """Does the arm move now?"""
    return bool(graph.heard.speeds) and graph.heard.speeds[-1][1] > MOVING


def trial(graph: FaultGraph, client: EpisodeClient, fault: Fault, seed: int) -> dict[str, Any]:
    """One fault: what came of it."""
    rng, began = random.Random(f"{fault.name} {seed}"), time.monotonic()
    if fault.records:
        graph.start_recorder()
    set_in_motion(graph, client, 100 + seed, rng)
    before = dict(graph.counters)
    graph.heard.said = set()
    graph.heard.commands.clear()  # the scene was laid out anew, which no command can follow
    since = graph.now_ns * 1e-9
    fault.inject(graph, rng)
    ended = graph.now_ns * 1e-9

    def moved() -> list[str]:
        return [key for key, count in graph.counters.items() if count > before.get(key, 0)]

    with suppress(TimeoutError):
        until(lambda: fault.counted(moved()) and fault.named(graph.heard.said), "words", TOLD)
    with suppress(TimeoutError):  # a simulation that was killed starts again at 0
        until(lambda: not since <= graph.now_ns * 1e-9 < since + WATCHED, "time to pass", 6.0)
    speeds = [(t, v) for t, v in list(graph.heard.speeds) if t > since]
    stop = first_rest([t for t, v in speeds if v > AT_REST], since)
    checker = graph.check()
    graph.undo()
    again = (
        fault.stop is not None
        and fault.stays
        and any(v > AT_REST for t, v in speeds if since + stop + PAUSE < t < ended)
    )
    return {
        "kind": fault.name,
        "seed": seed,
        "stop_s": None if fault.stop is None else round(stop, 3),
        "again": again,
        "violations": dict(+checker.violations),
        "worst": {kind: round(share, 4) for kind, share in checker.worst.items()},
        "samples": checker.samples,
        "said": sorted(graph.heard.said),
        "moved": sorted(moved()),
        "real_s": round(time.monotonic() - began, 2),
    }


def first_rest(moved: list[float], since: float) -> float:
    """Seconds from ``since`` to the first pause in the times at which the arm moved."""
    last = since
    for instant in moved:
        if instant - last > PAUSE:
            break
        last = instant
    return last - since


def run(args: Args, rows: list[dict[str, Any]]) -> None:
    """All trials that are still to do, each written down at once."""
    done = {(row["kind"], row["seed"]) for row in rows if "seed" in row}
    kinds = [fault for fault in FAULTS if args.only in fault.name]
    todo = [(f, s) for s in range(args.seeds) for f in kinds if (f.name, s) not in done]
    began, previous = time.monotonic(), ""
    with tempfile.TemporaryDirectory() as folder, claimed_domain():
        while todo:
            graph = FaultGraph(Path(folder))
            try:
                with EpisodeClient() as client:
                    while todo:
                        if 0 < 60 * args.minutes < time.monotonic() - began:
                            return
                        fault, seed = todo[0]
                        row = trial(graph, client, fault, seed)
                        rows.append(row)
                        with args.output.open("a") as file:
                            file.write(json.dumps(row) + "\n")
                        shown = {k: row[k] for k in ("kind", "seed", "stop_s", "violations", "real_s")}
                        print(json.dumps({**shown, **judged(fault, row)}), flush=True)
                        previous = todo.pop(0)[0].name
            except (TimeoutError, NoAnswer) as error:
                # The graph did not come back from the fault before; written down, and everything started again.
                print(f"after {previous!r}: {error}; the graph is started anew", flush=True)
                lost = {"kind": previous, "unrecovered": str(error), "said": sorted(graph.heard.said)}
                with args.output.open("a") as file:
                    file.write(json.dumps(lost) + "\n")
            finally:
                graph.close()


def judged(fault: Fault, row: dict[str, Any]) -> dict[str, bool]:
    """What the trial failed in."""
    late = fault.stop is not None and row["stop_s"] > fault.stop
    nothing_to_tell = fault is CONTROL or fault.harmless in row["moved"]
    return {
        "late": late or row["again"],
        "silent": not nothing_to_tell and not fault.counted(row["moved"]),
        "unnamed": not nothing_to_tell and not fault.named(row["said"]),
    }


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The table by kind, printed, and as numbers."""
    columns = ("late", "violations", "silent", "unnamed", "lost", "by chance")
    print(
        f"{'fault':<30}{'n':>4}{'stop median':>12}{'p99':>6}{'max':>6}" + "".join(f"{c:>11}" for c in columns)
    )
    trials = [row for row in rows if "unrecovered" not in row]
    controls = [row for row in trials if row["kind"] == CONTROL.name]
    table = {}
    for fault in FAULTS:
        mine = [row for row in trials if row["kind"] == fault.name]
        if not mine:
            continue
        stops = [row["stop_s"] for row in mine if row["stop_s"] is not None]
        verdicts = [judged(fault, row) for row in mine]
        entry: dict[str, Any] = {
            "n": len(mine),
            "stop_s": [round(float(np.quantile(stops, q)), 3) for q in (0.5, 0.99, 1.0)] if stops else [],
            "late": sum(v["late"] for v in verdicts),
            "violations": sum(sum(row["violations"].values()) for row in mine),
            "silent": sum(v["silent"] for v in verdicts),
            "unnamed": sum(v["unnamed"] for v in verdicts),
            "lost": sum(row["kind"] == fault.name for row in rows if "unrecovered" in row),
            "by chance": sum(fault.counted(c["moved"]) and fault.named(c["said"]) for c in controls),
        }
        table[fault.name] = entry
        cells = "".join(f"{x:>{w}.2f}" for x, w in zip(entry["stop_s"], (12, 6, 6), strict=False)) or " " * 24
        print(f"{fault.name:<30}{len(mine):>4}{cells}" + "".join(f"{entry[c]:>11}" for c in columns))
    samples = sum(row["samples"] for row in trials)
    total = {key: sum(entry[key] for entry in table.values()) for key in ("n", *columns[:-1])}
    print(f"{len(table)} kinds, {samples} samples of commands at 1 kHz; in all {total}")
    print(
        f"'by chance': of {len(controls)} trials without a fault, those in which the same was counted and said"
    )
    return {"kinds": table, "total": total, "samples": samples, "device": device(), "versions": versions()}


def main() -> None:
    """Entry point."""
    args = tyro.cli(Args)
    rows = [json.loads(line) for line in args.output.read_text().splitlines()] if args.output.exists() else []
    if args.seeds:
        run(args, rows)
    rows = [json.loads(line) for line in args.output.read_text().splitlines()]
    figures = {"settings": {**asdict(args), "output": str(args.output)}, **report(rows)}
    args.output.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
