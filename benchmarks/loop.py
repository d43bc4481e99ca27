"""Does the motion stage keep its 100 Hz beside the policy, the cameras and the simulation, on the cores there are?

    python benchmarks/loop.py --seconds 60 --output benchmarks/results/loop.json

Starts the simulated bring-up, has instructions followed one after the other, and takes the time stamps that DDS puts on
every message when it is published: real time, whatever the nodes' own clock is. The simulation makes the clock that the
loop runs by, and takes its share of the cores, as no real robot would; so it is told apart what was the clock's fault:

* "cycle": real time from one joint command to the next.
* "clock": real time from one tick of the simulated clock to the next. The real-time factor tells how far it fell
  behind.
* "response": from a tick of the clock to the command that answers it. A tick without an answer is "missed".
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rosgraph_msgs.msg import Clock
from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.domain import claimed_domain
from spatial_vla.bringup.node_list import NodeEntry, bringup_nodes
from spatial_vla.bringup.runner import Runner
from spatial_vla.nodes import qos
from spatial_vla.nodes.background_executor import BackgroundExecutor
from spatial_vla.nodes.conversions import stamp_ns
from spatial_vla.nodes.episode_client import EpisodeClient
from spatial_vla.nodes.lean_node import LeanNode
from spatial_vla.report.environment import device, versions
from spatial_vla_interfaces.msg import MotionStatus
from trajectory_msgs.msg import JointTrajectory

ARM_TOPIC = "panda_arm_controller/joint_trajectory"
PERIOD = 10.0  # ms
LATE_STOP = "control loop was"
PATIENCE = 60.0  # s
SETTLED = 0.5  # s
TICKS = os.sysconf("SC_CLK_TCK")  # of processor time, per second

Array = NDArray[np.float64]


@dataclass
class Args:
    """Measure the control loop."""

    seconds: float = 60.0
    """real time spent following instructions"""
    visualize: bool = True
    """have the visualizer run, too, as in the bring-up's default"""
    questions: bool = True
    """have questions answered, too, as in the bring-up's default"""
    realtime: bool = True
    """let the loop, and the simulation that makes its time, ask for real-time priority, as they do by default"""
    output: Path | None = None
    """file for the figures"""


class Probe:
    """Keeps the publication times [ns] of ticks and commands, and how often the loop stopped for being late."""

    def __init__(self) -> None:
        self.ticks: list[tuple[int, int]] = []  # published, simulated time
        self.commands: list[int] = []
        self.late_stops = 0
        self.other_holds: list[str] = []
        self._said = ""
        self._background = BackgroundExecutor("loop_probe")
        self._node = LeanNode("loop_probe", context=self._background.context)
        subscribe: Any = (
            self._node.create_subscription
        )  # callbacks with a second parameter are not in its annotations
        subscribe(Clock, "/clock", self._on_clock, qos.TF)
        subscribe(JointTrajectory, ARM_TOPIC, self._on_command, qos.TF, raw=True)
        subscribe(MotionStatus, "motion_status", self._on_status, qos.STREAM)
        self._background.spin(self._node)

    def close(self) -> None:
        """Stop listening."""
        self._background.close()

    def _on_clock(self, message: Clock, info: Any) -> None:
        self.ticks.append((info["source_timestamp"], stamp_ns(message.clock)))

    def _on_command(self, _: bytes, info: Any) -> None:
        self.commands.append(info["source_timestamp"])

    def _on_status(self, message: MotionStatus, _: Any = None) -> None:
        if message.state == MotionStatus.HOLDING and message.reason != self._said:
            if LATE_STOP in message.reason:
                self.late_stops += 1
            else:
                self.other_holds.append(message.reason)
        self._said = message.reason if message.state == MotionStatus.HOLDING else ""


def without_priority(entry: NodeEntry) -> NodeEntry:
    """The node as a system runs it that refuses real-time priorities."""
    if entry.name not in ("motion_node", "sim_node"):
        return entry
    return replace(entry, parameters={**entry.parameters, "realtime_priority": 0})


def follow(client: EpisodeClient, probe: Probe, seconds: float) -> list[tuple[int, int]]:
    """Have instructions followed for so long; returns the spans [ns of real time] in which one was."""
    spans, seed = [], 0
    while sum(b - a for a, b in spans) < seconds * 1e9:
        scene = client.reset(seed, ("touch", "point", "pick")[seed % 3])
        time.sleep(SETTLED)  # an arm that was put elsewhere is not commanded until it is seen to be at rest
        began = time.time_ns()
        client.follow(scene.instruction, 15.0)
        spans.append((began, time.time_ns()))
        seed += 1
    return spans


def cores_in_use(seconds: float, pids: Mapping[str, int]) -> dict[str, float]:
    """Cores that were busy on average over the next so many seconds: by process, and with anything else."""

    def used() -> dict[str, float]:
        fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        mine = {name: process_ticks(pid) for name, pid in pids.items()}
        return {**mine, "others": sum(fields) - fields[3] - fields[4] - sum(mine.values())}

    began, before = time.monotonic(), used()
    time.sleep(seconds)
    passed, after = time.monotonic() - began, used()
    return {name: (after[name] - before[name]) / TICKS / passed for name in before}


def process_ticks(pid: int) -> int:
    """Processor time that a process has used."""
    return sum(int(x) for x in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])


def figures(probe: Probe, spans: list[tuple[int, int]]) -> dict[str, Any]:
    """What the time stamps say, within the spans."""
    cycles, clocks, responses, missed, simulated = [], [], [], 0, 0
    for began, ended in spans:
        commands = np.sort([t for t in probe.commands if began <= t < ended])
        ticks = np.array(sorted(t for t in probe.ticks if began <= t[0] < ended))
        simulated += ticks[-1, 1] - ticks[0, 1]
        cycles.append(np.diff(commands) * 1e-6)
        clocks.append(np.diff(ticks[:, 0]) * 1e-6)
        nearest = np.searchsorted(ticks[:, 0], commands, side="right") - 1
        valid = nearest >= 0
        responses.append((commands[valid] - ticks[nearest[valid], 0]) * 1e-6)
        missed += len(ticks) - len(np.unique(nearest[valid]))
    real = sum(b - a for a, b in spans)
    cycle, clock, response = (np.concatenate(x) for x in (cycles, clocks, responses))
    return {
        "real_s": real * 1e-9,
        "real_time_factor": simulated / real,
        "commands": len(cycle) + len(spans),
        "ticks_missed": missed,
        "cycle": spread(cycle),
        "clock": spread(clock),
        "response": spread(response),
        "late_stops": probe.late_stops,
        "other_holds": probe.other_holds,
    }


def spread(ms: Array) -> dict[str, float]:
    """Quantiles [ms], and shares that are late by half a period, by one, and by what stops the arm."""
    return {
        "median": float(np.median(ms)),
        "p99": float(np.quantile(ms, 0.99)),
        "max": float(ms.max()),
        "over_15_ms": int((ms > 1.5 * PERIOD).sum()),
        "over_20_ms": int((ms > 2.0 * PERIOD).sum()),
        "over_50_ms": int((ms > 5.0 * PERIOD).sum()),
        "n": len(ms),
    }


def print_table(result: dict[str, Any]) -> None:
    """As a table."""
    print(f"{'':<10}{'median ms':>10}{'p99':>8}{'max':>8}{'> 15 ms':>9}{'> 20 ms':>9}{'> 50 ms':>9}{'n':>8}")
    for name in ("cycle", "clock", "response"):
        r = result[name]
        print(
            f"{name:<10}{r['median']:>10.2f}{r['p99']:>8.2f}{r['max']:>8.1f}"
            f"{r['over_15_ms']:>9}{r['over_20_ms']:>9}{r['over_50_ms']:>9}{r['n']:>8}"
        )
    holds = "; ".join(result["other_holds"]) or "none"
    print(
        f"{result['real_s']:.0f} s, real-time factor {result['real_time_factor']:.3f}, {result['ticks_missed']} ticks "
        f"missed, {result['late_stops']} stops because the loop was late; other holds: {holds}"
    )
    cores = ", ".join(f"{name} {share:.2f}" for name, share in result["cores"].items())
    print(f"cores used of {os.cpu_count()}: {cores}")


def main() -> None:
    """Entry point."""
    args = tyro.cli(Args)
    load: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, claimed_domain(), (Path(folder) / "log").open("w") as log:
        entries = bringup_nodes(BringupArguments(visualize=args.visualize, questions=args.questions))
        if not args.realtime:
            entries = [without_priority(entry) for entry in entries]
        runner = Runner(entries, output=lambda name, line: print(f"[{name}] {line}", file=log))
        runner.start()
        try:
            with EpisodeClient() as client:
                deadline = time.monotonic() + PATIENCE
                while missing := client.missing(sim=True):
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"after {PATIENCE:.0f} s there is still no {', '.join(missing)}")
                    time.sleep(0.1)
                client.reset(0, "touch")
                probe = Probe()
                time.sleep(3.0)  # the graph settles
                watch = threading.Thread(
                    target=lambda: load.append(
                        cores_in_use(0.9 * args.seconds, {**runner.pids, "this program": os.getpid()})
                    )
                )
                watch.start()
                spans = follow(client, probe, args.seconds)
                watch.join()
                probe.close()
        finally:
            runner.stop()
    result = {**figures(probe, spans), "cores": load[0]}
    print_table(result)
    if args.output is not None:
        settings = {**asdict(args), "output": str(args.output)}
        document = {"settings": settings, "result": result, "device": device(), "versions": versions()}
        args.output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
