"""The whole graph, for real: whichever node is killed while the arm moves, the arm stops, says why, and recovers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from rclpy.node import Node
from sensor_msgs.msg import JointState
from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.domain import claimed_domain
from spatial_vla.bringup.node_list import bringup_nodes
from spatial_vla.bringup.runner import Runner
from spatial_vla.nodes import qos
from spatial_vla.nodes.background_executor import BackgroundExecutor
from spatial_vla.nodes.episode_client import EpisodeClient, NoAnswer
from spatial_vla_interfaces.msg import MotionStatus

pytestmark = pytest.mark.slow  # restarts a dozen nodes and measures them: wants the machine for itself
STOPPED_WITHIN = 0.2  # s of simulated time
AT_REST = 0.01  # rad/s
MOVING = 0.1  # rad/s
PATIENCE = 60.0  # s of real time for anything that has no other bound


class Watcher:
    """Listens to the arm and to what the motion stage says about itself."""

    def __init__(self) -> None:
        self._background = BackgroundExecutor("watcher")
        self._node = Node("watcher", context=self._background.context)
        self.speeds: list[tuple[float, float]] = []  # simulated time [s], fastest arm joint [rad/s]
        self.said: list[tuple[int, str]] = []
        self._node.create_subscription(JointState, "joint_states", self._on_joints, qos.SENSOR_IN)
        self._node.create_subscription(MotionStatus, "motion_status", self._on_motion, qos.STREAM)
        self._background.spin(self._node)

    def close(self) -> None:
        self._background.close()

    def _on_joints(self, message: JointState) -> None:
        stamp = message.header.stamp
        self.speeds.append((stamp.sec + stamp.nanosec * 1e-9, float(np.abs(message.velocity[:7]).max())))

    def _on_motion(self, message: MotionStatus) -> None:
        self.said.append((message.state, message.reason))


class Graph:
    """A bring-up that restarts what dies, looked after by a thread."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("w")
        self.runner = Runner(bringup_nodes(BringupArguments(use_respawn=True)), output=self._write)
        self._ended = threading.Event()
        self.runner.start()
        self._thread = threading.Thread(target=self._look_after)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.runner.stop()
        self._log.close()

    def _write(self, name: str, line: str) -> None:
        self._log.write(f"[{name}] {line}\n")

    def _look_after(self) -> None:
        while not self._ended.wait(0.05):
            self.runner.poll()


def until(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain for {what}"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    with claimed_domain():
        graph = Graph(tmp_path_factory.mktemp("graph") / "nodes.log")
        yield graph
        graph.close()


@pytest.fixture
def client(graph: Graph) -> Iterator[EpisodeClient]:
    with EpisodeClient() as client:
        until(lambda: not client.missing(sim=True), "the graph")
        yield client


@pytest.fixture
def watcher(graph: Graph) -> Iterator[Watcher]:
    watcher = Watcher()
    yield watcher
    watcher.close()


def set_in_motion(client: EpisodeClient, watcher: Watcher, seed: int) -> threading.Thread:
    """Give an instruction and return when the arm moves."""
    until(lambda: bool(watcher.said), "the motion stage to be heard")
    scene = client.reset(seed, "touch")
    until(lambda: watcher.said[-1][0] == MotionStatus.IDLE, "an arm at rest")

    def follow() -> None:
        with suppress(NoAnswer):
            client.follow(scene.instruction, 15.0)

    thread = threading.Thread(target=follow, daemon=True)
    watcher.speeds.clear()
    thread.start()
    until(lambda: watcher.said[-1][0] == MotionStatus.RUNNING, "the motion to begin")
    until(lambda: bool(watcher.speeds) and watcher.speeds[-1][1] > MOVING, "the arm to move")
    return thread


def seconds_to_rest(watcher: Watcher, since: float) -> float:
    """Simulated time from ``since`` until the arm last moved within the half second after it."""
    until(lambda: watcher.speeds[-1][0] > since + 0.5, "half a second of joint states")
    moving = [t for t, speed in list(watcher.speeds) if since < t <= since + 0.5 and speed > AT_REST]
    return max(moving, default=since) - since


@pytest.mark.parametrize(
    "name",
    [
        "encoder_node",
        "decoder_node",
        "instruction_node",
        "robot_state_publisher",
        "visualizer_node",
        "motion_node",
    ],
)
def test_killing_a_node_stops_the_arm_says_why_and_restarting_it_recovers(
    graph: Graph, client: EpisodeClient, watcher: Watcher, name: str
) -> None:
    set_in_motion(client, watcher, seed=21)
    watcher.said.clear()
    pid = graph.runner.pids[name]
    since = watcher.speeds[-1][0]
    os.kill(pid, signal.SIGKILL)
    assert seconds_to_rest(watcher, since) <= STOPPED_WITHIN
    if name != "motion_node":  # which cannot say so any more; the runner does
        assert any(state == MotionStatus.HOLDING and name in reason for state, reason in watcher.said), (
            watcher.said
        )
    until(lambda: graph.runner.pids.get(name, pid) != pid, f"{name} to be restarted")
    until(
        lambda: watcher.said and watcher.said[-1][0] in (MotionStatus.IDLE, MotionStatus.RUNNING),
        f"motion to be possible again after the loss of {name}",
    )
    until(lambda: not client.missing(sim=True), "the graph to be whole again")
    set_in_motion(client, watcher, seed=22)


def test_the_arm_stands_still_while_the_simulation_is_gone_and_works_again_after(
    graph: Graph, client: EpisodeClient, watcher: Watcher
) -> None:
    set_in_motion(client, watcher, seed=23)
    pid = graph.runner.pids["sim_node"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: graph.runner.pids.get("sim_node", pid) != pid, "sim_node to be restarted")
    until(lambda: not client.missing(sim=True), "the graph to be whole again")
    until(
        lambda: watcher.said and watcher.said[-1][0] in (MotionStatus.IDLE, MotionStatus.RUNNING),
        "motion to be possible again",
    )
    set_in_motion(client, watcher, seed=24)
