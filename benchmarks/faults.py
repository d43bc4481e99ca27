"""Faults in the running graph: does the arm stop, how soon, does anything unsafe get out, and does anybody say so?

    python benchmarks/faults.py --seeds 25 --output benchmarks/results/faults.jsonl
    python benchmarks/faults.py --only "camera frozen" --seeds 1

Starts the simulated bring-up, sets the arm in motion, puts one fault in, and watches. Every trial is appended to the
output at once, and trials that are there already are not run again, so the command may be interrupted and repeated.
Stop times are simulated time from the fault until the arm last moved. Commands are sampled at 1 kHz by a checker of
its own. "silent": the fault moved none of the counters or reasons that should tell of it.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import tyro
from diagnostic_msgs.msg import DiagnosticArray
from fault_kinds import FAULTS, Fault
from limit_checker import LimitChecker
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.domain import claimed_domain
from spatial_vla.bringup.node_list import bringup_nodes
from spatial_vla.bringup.runner import Runner
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import stamp_ns, time_message
from spatial_vla.nodes.episode_client import EpisodeClient, NoAnswer
from spatial_vla.report.environment import device, versions
from spatial_vla_interfaces.msg import ActionChunk, MotionStatus, PolicyStatus
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

ARM_TOPIC = "panda_arm_controller/joint_trajectory"
AT_REST, MOVING = 0.01, 0.1  # rad/s
WATCHED = 1.5  # s of simulated time after a fault
PATIENCE = 60.0  # s of real time
#: stream -> type, topic, QoS, and the nodes that get it through us.
STREAMS: dict[str, tuple[Any, str, Any, tuple[str, ...]]] = {
    "chunks": (ActionChunk, "action_chunk", qos.STREAM, ("motion_node",)),
    "joints": (JointState, "joint_states", qos.SENSOR_OUT, ("motion_node",)),
    "images": (Image, "camera/external/image", qos.SENSOR_OUT, ("encoder_node",)),
    "transforms": (TFMessage, "/tf", qos.TF, ("encoder_node", "decoder_node")),
}


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


@dataclass
class Heard:
    """What the watcher heard since it was cleared."""

    speeds: list[tuple[float, float]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    counters: dict[str, Counter[str]] = field(default_factory=dict)


class Campaign:
    """The graph, the relays through which some of its nodes hear, and a watcher."""

    def __init__(self, folder: Path) -> None:
        self.heard, self.checker = Heard(), LimitChecker()
        self._changes: dict[str, Callable[[Any], list[Any]]] = {}
        arguments = BringupArguments(use_respawn=True, record=str(folder / "bag"))
        entries = [self._relayed(entry) for entry in bringup_nodes(arguments)]
        self._log = (folder / "nodes.log").open("w")
        self.runner = Runner(entries, output=self._write)
        self.restarts: list[str] = []
        self._closing = threading.Event()
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = Node("fault_campaign", context=self._context)
        self._clock = self._node.create_publisher(Clock, "/clock", qos.STREAM)
        self.now_ns = 0
        self._intruder: Any = None
        self._connect()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._spin, self._look_after)
        ]
        self.runner.start()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop everything."""
        self._closing.set()
        self._executor.shutdown(timeout_sec=1.0)
        self._threads[1].join()
        self.runner.stop()
        rclpy.try_shutdown(context=self._context)
        self._log.close()

    @staticmethod
    def _relayed(entry: Any) -> Any:
        pairs = [
            (topic, f"{topic}_relayed") for _, topic, _, nodes in STREAMS.values() if entry.name in nodes
        ]
        return replace(entry, remappings=(*entry.remappings, *pairs))

    def _connect(self) -> None:
        for name, (kind, topic, profile, _) in STREAMS.items():
            out = self._node.create_publisher(kind, f"{topic}_relayed", profile)
            relay = self._relay(name, kind, out)
            self._node.create_subscription(kind, topic, relay, profile, raw=True)
        self._node.create_subscription(JointState, "joint_states", self._on_joints, qos.SENSOR_IN)
        self._node.create_subscription(MotionStatus, "motion_status", self._on_motion, qos.STREAM)
        self._node.create_subscription(PolicyStatus, "policy_status", self._on_policy, qos.STREAM)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self._node.create_subscription(JointTrajectory, ARM_TOPIC, self._on_command, qos.STREAM)

    def _relay(self, name: str, kind: Any, out: Any) -> Callable[[Any], None]:
        def pass_on(raw: Any) -> None:
            change = self._changes.get(name)
            if change is None:
                out.publish(raw)
                return
            for message in change(deserialize_message(raw, kind)):
                out.publish(message)

        return pass_on

    def _write(self, name: str, line: str) -> None:
        self._log.write(f"[{name}] {line}\n")
        if line.startswith("***"):
            self.heard.said.append(f"{line} restarted")

    def _look_after(self) -> None:
        while not self._closing.wait(0.05):
            self.runner.poll()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    # ---- what faults do ---------------------------------------------------------------------------------------

    def pid(self, node: str) -> int:
        """Process id of a node."""
        return self.runner.pids[node]

    def spoil(self, stream: str, change: Callable[[Any], list[Any]] | None) -> None:
        """See fault_kinds.Patient."""
        if change is None:
            self._changes.pop(stream, None)
        else:
            self._changes[stream] = change

    def set_clock(self, offset_s: float) -> None:
        """See fault_kinds.Patient."""
        self._clock.publish(Clock(clock=time_message(max(self.now_ns + round(offset_s * 1e9), 0))))

    def write_to_arm(self) -> None:
        """See fault_kinds.Patient."""
        self._intruder = self._node.create_publisher(JointTrajectory, ARM_TOPIC, qos.COMMAND)

    def wait(self, seconds: float) -> None:
        """See fault_kinds.Patient."""
        time.sleep(seconds)

    def undo(self) -> None:
        """Take away what a fault left."""
        self._changes.clear()
        if self._intruder is not None:
            self._node.destroy_publisher(self._intruder)
            self._intruder = None

    # ---- what is heard ----------------------------------------------------------------------------------------

    def _on_joints(self, message: JointState) -> None:
        self.now_ns = stamp_ns(message.header.stamp)
        self.heard.speeds.append((self.now_ns * 1e-9, float(np.abs(message.velocity[:7]).max())))

    def _on_motion(self, message: MotionStatus) -> None:
        names = ("DISARMED", "IDLE", "RUNNING", "HOLDING", "FAULT")
        self.heard.said.append(f"{names[message.state]}: {message.reason}")

    def _on_policy(self, message: PolicyStatus) -> None:
        if message.state in (PolicyStatus.STALLED, PolicyStatus.FAULT):
            self.heard.said.append(f"policy STALLED: {message.reason}")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.heard.counters[status.name] = Counter(
                {v.key: int(v.value) for v in status.values if v.value.isdigit()}
            )
            if status.level != b"\x00":
                self.heard.said.append(f"{status.name} {status.message}")

    def _on_command(self, message: JointTrajectory) -> None:
        times = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in message.points]
        q, v = (
            np.array([p.positions for p in message.points]),
            np.array([p.velocities for p in message.points]),
        )
        self.checker.command(self.now_ns * 1e-9, times, q, v)


def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait in real time. Raises TimeoutError."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience:.0f} s for {what}")
        time.sleep(0.01)


def set_in_motion(campaign: Campaign, client: EpisodeClient, seed: int) -> None:
    """Give an instruction and return when the arm moves."""
    until(lambda: not client.missing(sim=True), "a graph that can move")
    scene = client.reset(seed, "touch")

    def follow() -> None:
        with suppress(NoAnswer):
            client.follow(scene.instruction, 12.0)

    campaign.heard.speeds.clear()
    threading.Thread(target=follow, daemon=True).start()
    until(lambda: bool(campaign.heard.speeds) and campaign.heard.speeds[-1][1] > MOVING, "the arm to move")


def trial(campaign: Campaign, client: EpisodeClient, fault: Fault, seed: int) -> dict[str, Any]:
    """One fault: what came of it."""
    rng = random.Random(f"{fault.name} {seed}")
    set_in_motion(campaign, client, 100 + seed)
    time.sleep(rng.uniform(0.0, 0.4))
    before = {name: Counter(counts) for name, counts in campaign.heard.counters.items()}
    violations, samples = Counter(campaign.checker.violations), campaign.checker.samples
    campaign.heard.said.clear()
    since = campaign.now_ns * 1e-9
    fault.inject(campaign, rng)
    with suppress(TimeoutError):  # a simulation that was killed starts again at 0
        until(lambda: not since <= campaign.now_ns * 1e-9 < since + WATCHED, "time to pass", 20.0)
    moved = [t for t, speed in list(campaign.heard.speeds) if since < t < since + WATCHED and speed > AT_REST]
    time.sleep(1.2)  # diagnostics come once a second
    moved_counters = {
        f"{name}.{key}": count - before.get(name, Counter())[key]
        for name, counts in campaign.heard.counters.items()
        for key, count in counts.items()
        if count > before.get(name, Counter())[key]
    }
    words = " ".join([*campaign.heard.said, *moved_counters])
    campaign.undo()
    broken = {k: n - violations[k] for k, n in campaign.checker.violations.items() if n > violations[k]}
    return {
        "kind": fault.name,
        "seed": seed,
        "stop_s": round(first_rest(moved, since), 3) if fault.stops else None,
        "violations": broken,
        "samples": campaign.checker.samples - samples,
        "silent": not any(word in words for word in fault.noticed),
        "reasons": sorted(set(campaign.heard.said))[:6],
        "counters": dict(sorted(moved_counters.items())[:20]),
    }


def first_rest(moved: list[float], since: float) -> float:
    """Seconds from ``since`` to the first pause of 0.1 s in the times at which the arm moved."""
    last = since
    for instant in moved:
        if instant - last > 0.1:
            break
        last = instant
    return last - since


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The table by kind, printed, and as numbers."""
    print(f"{'fault':<32}{'n':>4}{'stop median':>13}{'p99':>8}{'max':>8}{'violations':>12}{'silent':>8}")
    table = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        mine = [row for row in rows if row["kind"] == kind]
        stops = [row["stop_s"] for row in mine if row.get("stop_s") is not None]
        numbers = (
            [float(x) for x in (np.median(stops), np.quantile(stops, 0.99), max(stops))] if stops else []
        )
        broken = sum(sum(row["violations"].values()) for row in mine)
        silent = sum(row["silent"] for row in mine)
        table[kind] = {"n": len(mine), "stop_s": numbers, "violations": broken, "silent": silent}
        cells = "".join(f"{x:>{w}.2f}" for x, w in zip(numbers, (13, 8, 8), strict=False)) or " " * 29
        print(f"{kind:<32}{len(mine):>4}{cells}{broken:>12}{silent:>8}")
    samples = sum(row["samples"] for row in rows)
    total = {key: sum(entry[key] for entry in table.values()) for key in ("n", "violations", "silent")}
    print(f"{len(table)} kinds, {total['n']} trials, {samples} samples at 1 kHz: {total}")
    return {"kinds": table, "total": total, "samples": samples, "device": device(), "versions": versions()}


def main() -> None:
    """Entry point."""
    args = tyro.cli(Args)
    rows = [json.loads(line) for line in args.output.read_text().splitlines()] if args.output.exists() else []
    done = {(row["kind"], row["seed"]) for row in rows}
    todo = [
        (f, s) for s in range(args.seeds) for f in FAULTS if args.only in f.name and (f.name, s) not in done
    ]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, claimed_domain():
        campaign = Campaign(Path(folder)) if todo else None
        try:
            for fault, seed in todo:
                if campaign is None or 0 < 60 * args.minutes < time.monotonic() - began:
                    break
                with EpisodeClient() as client:
                    rows.append(trial(campaign, client, fault, seed))
                with args.output.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                print(
                    json.dumps({k: rows[-1][k] for k in ("kind", "stop_s", "violations", "silent")}),
                    flush=True,
                )
        finally:
            if campaign is not None:
                campaign.close()
    figures = {"settings": {**asdict(args), "output": str(args.output)}, **report(rows)}
    args.output.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
