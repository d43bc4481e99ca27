"""The running graph in the fault campaign's hands: relays that nodes hear through, and a watcher of what is said."""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from limit_checker import LimitChecker
from rclpy.action import ActionClient
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.node_list import NodeEntry, bringup_nodes
from spatial_vla.bringup.runner import Runner
from spatial_vla.nodes import qos
from spatial_vla.nodes.background_executor import BackgroundExecutor
from spatial_vla.nodes.conversions import stamp_ns, time_message
from spatial_vla.nodes.lean_node import LeanNode
from spatial_vla_interfaces.action import FollowInstruction
from spatial_vla_interfaces.msg import ActionChunk, MotionStatus, PolicyStatus
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

ARM_TOPIC = "panda_arm_controller/joint_trajectory"
STATES = ("DISARMED", "IDLE", "RUNNING", "HOLDING", "FAULT")
#: stream -> type, topic, QoS, and the nodes that get it through us.
STREAMS: dict[str, tuple[Any, str, Any, tuple[str, ...]]] = {
    "chunks": (ActionChunk, "action_chunk", qos.STREAM, ("motion_node",)),
    "joints": (JointState, "joint_states", qos.SENSOR_OUT, ("motion_node",)),
    "images": (Image, "camera/external/image", qos.SENSOR_OUT, ("encoder_node",)),
    "depth": (Image, "camera/external/depth", qos.SENSOR_OUT, ("decoder_node",)),
    "transforms": (TFMessage, "/tf", qos.TF, ("encoder_node", "decoder_node")),
}


@dataclass
class Heard:
    """What the watcher heard since it was cleared.

    Attributes:
        speeds: simulated time [s] and the fastest joint's speed [rad/s].
        said: states, reasons and warnings, numbers replaced by #.
        commands: published [ns of real time] and the message.
    """

    speeds: list[tuple[float, float]] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    commands: list[tuple[int, JointTrajectory]] = field(default_factory=list)


class FaultGraph:
    """Starts the graph. Some nodes hear some topics through it, so that what they hear can be spoiled."""

    def __init__(self, folder: Path) -> None:
        self.heard = Heard()
        self.counters: dict[str, int] = {}
        self.now_ns = 0
        self.state = 0
        self.answer = ""  # why arming was refused last
        self._folder = folder
        self._changes: dict[str, Callable[[Any], list[Any]]] = {}
        self._stamps: list[tuple[int, int]] = []  # joint states: published [ns of real time], stamp [ns]
        self._log = (folder / "nodes.log").open("w")
        entries = bringup_nodes(BringupArguments(use_respawn=True, questions=False))
        self.runner = Runner([self._relayed(e) for e in entries], output=self._write, respawn_delay=0.1)
        self._recorder: Runner | None = None
        self._closing = threading.Event()
        self._background = BackgroundExecutor("fault_campaign")
        self._node = LeanNode("fault_campaign", context=self._background.context)
        self._connect()
        self._keeper = threading.Thread(target=self._look_after, daemon=True)
        self.runner.start()
        self._background.spin(self._node)
        self._keeper.start()

    def close(self) -> None:
        """Stop everything."""
        self._closing.set()
        self._keeper.join()
        for runner in (self._recorder, self.runner):
            if runner is not None:
                runner.stop()
        self._background.close()
        self._log.close()

    @staticmethod
    def _relayed(entry: NodeEntry) -> NodeEntry:
        mine = [topic for _, topic, _, nodes in STREAMS.values() if entry.name in nodes]
        remappings = (*entry.remappings, *((t, f"{t}_relayed") for t in mine))
        if entry.name != "motion_node":
            return replace(entry, remappings=remappings)
        # As on a real robot: an arm that seems to jump is a fault.
        return replace(entry, remappings=remappings, parameters={**entry.parameters, "teleports": False})

    def _connect(self) -> None:
        node, subscribe = self._node, self._node.create_subscription
        for name, (kind, topic, profile, _) in STREAMS.items():
            out = node.create_publisher(kind, f"{topic}_relayed", profile)
            subscribe(kind, topic, self._relay(name, kind, out), profile, raw=True)
        # Callbacks with a second parameter get the publication time, which rclpy's annotations do not say.
        timed: Any = subscribe
        timed(JointState, "joint_states", self._on_joints, qos.TF)
        timed(JointTrajectory, ARM_TOPIC, self._on_command, qos.TF)
        subscribe(MotionStatus, "motion_status", self._on_motion, qos.STREAM)
        subscribe(PolicyStatus, "policy_status", self._on_policy, qos.STREAM)
        subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self._clock = node.create_publisher(Clock, "/clock", qos.STREAM)
        self._button = node.create_publisher(Bool, "motion_node/stop", qos.LATCHED)
        self._goals = ActionClient(node, FollowInstruction, "follow_instruction")
        self._arm = node.create_client(SetBool, "motion_node/arm")
        self._reset = node.create_client(Trigger, "motion_node/reset")
        self._intruder: Any = None

    def _relay(self, name: str, kind: Any, out: Any) -> Callable[[Any], None]:
        def pass_on(raw: Any) -> None:
            change = self._changes.get(name)
            for message in [raw] if change is None else change(deserialize_message(raw, kind)):
                out.publish(message)

        return pass_on

    def _write(self, name: str, line: str) -> None:
        self._log.write(f"[{name}] {line}\n")
        if line.startswith("***"):
            self._say(f"runner: {line[4:]}")

    def _look_after(self) -> None:
        while not self._closing.wait(0.02):
            self.runner.poll()
            if self._recorder is not None:
                self._recorder.poll()

    # ---- what faults do, see fault_injection.Patient ----------------------------------------------------------------

    def pid(self, node: str) -> int:
        """Process id of a node."""
        recorder = {} if self._recorder is None else self._recorder.pids
        return {**self.runner.pids, **recorder}[node]

    def spoil(self, stream: str, change: Callable[[Any], list[Any]] | None) -> None:
        """Replace every message of a stream by a list of messages; None: pass them on again."""
        if change is None:
            self._changes.pop(stream, None)
        else:
            self._changes[stream] = change

    def set_clock(self, offset_s: float) -> None:
        """Publish one time that is off by this much."""
        self._clock.publish(Clock(clock=time_message(max(self.now_ns + round(offset_s * 1e9), 0))))

    def write_to_arm(self) -> None:
        """Have another node that publishes to the arm."""
        self._intruder = self._node.create_publisher(JointTrajectory, ARM_TOPIC, qos.COMMAND)

    def press_stop(self, pressed: bool) -> None:
        """The stop button."""
        self._button.publish(Bool(data=pressed))

    def wait(self, seconds: float) -> None:
        """Let real time pass."""
        time.sleep(seconds)

    def start_recorder(self) -> None:
        """Record into a new folder; returns when the recorder has begun."""
        folder = self._folder / f"run{time.time_ns()}"
        entries = bringup_nodes(BringupArguments(record=str(folder)))
        self._recorder = Runner([e for e in entries if e.name == "recorder_node"], output=self._write)
        self._recorder.start()
        deadline = time.monotonic() + 20.0
        while not any(folder.rglob("*.mcap")):
            if time.monotonic() > deadline:
                raise TimeoutError("the recorder does not begin")
            time.sleep(0.05)

    def undo(self) -> None:
        """Take away what a fault left."""
        self._changes.clear()
        if self._intruder is not None:
            self._node.destroy_publisher(self._intruder)
            self._intruder = None
        if self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            recorder.stop()

    # ---- what is asked and heard ----------------------------------------------------------------------------------

    def listens(self) -> bool:
        """Would an instruction be followed, and does the motion stage answer?"""
        return self._goals.server_is_ready() and self._arm.service_is_ready()

    def follow(self, instruction: str) -> None:
        """Have an instruction followed, whatever comes of it."""
        self._goals.send_goal_async(FollowInstruction.Goal(instruction=instruction, timeout=20.0))

    def arm(self, armed: bool) -> None:
        """Ask for it; the answer is in the state."""
        future = self._arm.call_async(SetBool.Request(data=armed))
        future.add_done_callback(lambda done: setattr(self, "answer", done.result().message))

    def reset(self) -> None:
        """Ask for a latched fault to be cleared, as a person does who has looked at the arm."""
        self._reset.call_async(Trigger.Request())

    def clear(self) -> None:
        """Listen anew."""
        self.heard = Heard()
        del self._stamps[:-50]

    def check(self) -> LimitChecker:
        """All commands heard, looked at by the checker."""
        checker, heard = LimitChecker(), sorted(self.heard.commands, key=lambda c: c[0])
        published = [at for at, _ in self._stamps]
        for at, message in heard:
            i = bisect_right(published, at) - 1
            now = self._stamps[max(i, 0)][1] * 1e-9
            points = message.points
            times = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in points]
            q, v = np.array([p.positions for p in points]), np.array([p.velocities for p in points])
            checker.command(now, times, q, v)
        return checker

    def _say(self, text: str) -> None:
        self.heard.said.add(re.sub(r"-?\d+(\.\d+)?", "#", text))

    def _on_joints(self, message: JointState, info: Any) -> None:
        self.now_ns = stamp_ns(message.header.stamp)
        self._stamps.append((info["source_timestamp"], self.now_ns))
        self.heard.speeds.append((self.now_ns * 1e-9, float(np.abs(message.velocity[:7]).max())))

    def _on_command(self, message: JointTrajectory, info: Any) -> None:
        self.heard.commands.append((info["source_timestamp"], message))

    def _on_motion(self, message: MotionStatus) -> None:
        self.state = message.state
        self._say(f"motion {STATES[message.state]}: {message.reason}")

    def _on_policy(self, message: PolicyStatus) -> None:
        if message.state in (PolicyStatus.STALLED, PolicyStatus.FAULT):
            self._say(f"policy STALLED: {message.reason}")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            # A node that was started again counts from the beginning, and does not name what it has not counted.
            for key in [key for key in self.counters if key.startswith(f"{status.name}.")]:
                self.counters[key] = 0
            for value in status.values:
                if value.value.isdigit():
                    self.counters[f"{status.name}.{value.key}"] = int(value.value)
            if status.level != b"\x00":
                self._say(f"{status.name}: {status.message}")
