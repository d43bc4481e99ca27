"""The motion node as a process; the driver plays the clock, the arm and the nodes that are watched.

Time is simulated at half speed at most, and waits for the node's commands while it streams them.
"""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from spatial_vla.actions import ActionChunk
from spatial_vla.description import ARM_JOINTS, FINGER_JOINTS
from spatial_vla.motion.panda import panda_limits, panda_model
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import chunk_message, header, time_message
from spatial_vla_interfaces.msg import ActionChunk as ActionChunkMessage
from spatial_vla_interfaces.msg import MotionStatus
from spatial_vla_sim.commands import arm_points
from spatial_vla_sim.joint_path import JointPath
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

HOME = np.array([0.0, -0.6, 0.0, -2.4, 0.0, 1.8, 0.785])
ARM_TOPIC = "panda_arm_controller/joint_trajectory"
TICK_NS = 10_000_000
ENCODER = """
import rclpy
from rclpy.node import Node
from spatial_vla.nodes.liveliness import announce
rclpy.init()
node = Node("encoder_node")
lease = announce(node)
rclpy.spin(node)
"""


class Arm:
    """An ideal arm on the graph: follows trajectories, says where it is, and keeps the time."""

    def __init__(self, graph):
        self.graph = graph
        self.path = JointPath.holding(HOME)
        self.chunk_id = 0
        self.silent = True
        graph.subscribe(JointTrajectory, ARM_TOPIC, qos.COMMAND)
        graph.subscribe(JointTrajectory, "panda_hand_controller/joint_trajectory", qos.COMMAND)
        graph.subscribe(MotionStatus, "motion_status")
        graph.subscribe(DiagnosticArray, "/diagnostics", 50)

    @property
    def commands(self):
        return self.graph.received[ARM_TOPIC]

    @property
    def status(self):
        told = self.graph.received["motion_status"]
        return told[-1] if told else MotionStatus(state=255)

    def desired(self):
        q, dq = self.path.sample(np.array([self.graph.now_ns * 1e-9]))
        return q[0], dq[0]

    def measured(self):
        return self.desired()

    def tick(self):
        """One period of time passes; a command sent for it is followed from its time on."""
        start, before = time.monotonic(), len(self.commands)
        self.graph.now_ns += TICK_NS
        q, dq = self.measured()
        message = JointState(
            header=header(self.graph.now_ns, ""), name=[*FINGER_JOINTS, *reversed(ARM_JOINTS)]
        )
        message.position = [0.04, 0.04, *q[::-1].tolist()]
        message.velocity = [0.0, 0.0, *dq[::-1].tolist()]
        self.graph.publish("joint_states", message)
        self.graph.clock.publish(Clock(clock=time_message(self.graph.now_ns)))
        patience = 0.02 if self.silent else 3.0  # a busy machine must not pass for a late one
        while time.monotonic() - start < patience and len(self.commands) == before:
            self.graph.executor.spin_once(timeout_sec=0.002)
        self.graph.spin(max(0.0, start + 0.02 - time.monotonic()))
        self.silent = len(self.commands) == before
        for command in self.commands[before:]:
            now = self.graph.now_ns * 1e-9
            self.path = self.path.replaced(now, now, arm_points(command)[0])

    def until(self, condition, what):
        def met():
            self.tick()
            return condition()

        return self.graph.until(met, f"{what} (status {self.status})")

    def reaches(self, state, reason=""):
        self.until(
            lambda: self.status.state == state and reason in self.status.reason, f"state {state} {reason!r}"
        )

    def send(self, delta, frame="panda_link0", age_ms=40, opening=1.0, dt=0.2):
        self.chunk_id += 1
        deltas = np.tile(np.pad(np.array(delta, float), (0, 6 - len(delta))), (4, 1))
        stamp = self.graph.now_ns - age_ms * 1_000_000
        chunk = ActionChunk(stamp, dt, frame, deltas, np.full(4, opening), self.chunk_id)
        self.graph.publish("action_chunk", chunk_message(chunk), qos.STREAM)

    def run(self, delta, ticks=50):
        """Stream chunks; the arm is moving at the end."""
        for i in range(ticks):
            if i % 20 == 0:
                self.send(delta)
            self.tick()
        assert self.speed() > 0.1, (self.status, self.graph.reason("motion_node"))

    def speed(self):
        return float(np.abs(self.desired()[1]).max())

    def ticks_to_rest(self):
        for count in range(100):
            if self.speed() == 0.0:
                return count
            self.tick()
        raise AssertionError(f"still moving: {self.status}")

    def call(self, kind, service, request):
        client = self.graph.node.create_client(kind, service)
        self.graph.until(client.service_is_ready, service)
        future = client.call_async(request)
        self.until(future.done, f"an answer of {service}")
        return future.result()


def start_encoder(graph):
    process = subprocess.Popen([sys.executable, "-c", ENCODER], env=graph.environment, start_new_session=True)
    graph.processes["encoder"] = process


def start_motion(graph, *parameters):
    graph.start("motion_node", "arm_on_start:=true", *parameters)
    graph.offer("joint_states", JointState)
    graph.offer("action_chunk", ActionChunkMessage, qos.STREAM)


@pytest.fixture(scope="module")
def arm(robot):
    """An armed arm on a graph with nobody to watch."""
    arm = Arm(robot)
    start_motion(robot, "watched_nodes:=['']", "freezes_allowed:=1")
    arm.reaches(MotionStatus.IDLE)
    return arm


def test_moves_as_chunks_say_in_commands_that_end_at_rest(arm):
    model, first = panda_model(), len(arm.commands)
    start = model.forward(arm.desired()[0]).translation
    arm.send((0.0, 0.03, 0.0), opening=0.0)
    arm.until(lambda: arm.status.state == MotionStatus.RUNNING, "running")
    assert arm.status.image_to_command_ms >= 40.0
    assert arm.status.chunk_id == arm.chunk_id
    arm.reaches(MotionStatus.IDLE)
    assert arm.status.at_rest
    moved = model.forward(arm.desired()[0]).translation - start
    np.testing.assert_allclose(moved, [0.0, 0.12, 0.0], atol=3e-3)
    limits = panda_limits()
    for command in arm.commands[first:]:
        assert list(command.joint_names) == list(ARM_JOINTS)
        assert command.header.stamp.sec == command.header.stamp.nanosec == 0
        assert not np.any(command.points[-1].velocities)
        for point in command.points:
            assert np.all(np.abs(point.velocities) <= limits.velocity + 1e-9)
    hand = arm.graph.received["panda_hand_controller/joint_trajectory"]
    assert [list(message.points[0].positions) for message in hand] == [[0.0]]


@pytest.mark.parametrize(
    ("spoil", "counter"),
    [
        (lambda m: setattr(m, "deltas", m.deltas[:-1]), "chunk_refused"),
        (lambda m: setattr(m, "rotation_form", 7), "chunk_refused"),
        (lambda m: setattr(m.header, "frame_id", "panda_tcp"), "chunks_refused"),
        (lambda m: m.deltas.__setitem__(0, float("nan")), "chunks_refused"),
    ],
)
def test_bad_chunks_are_counted_and_do_not_move_the_arm(arm, spoil, counter):
    before, where = arm.graph.counter("motion_node", counter), arm.desired()[0]
    deltas = np.full((4, 6), 0.01)
    chunk = ActionChunk(arm.graph.now_ns, 0.2, "panda_link0", deltas, np.ones(4), 10_000)
    message = chunk_message(chunk)
    spoil(message)
    arm.graph.publish("action_chunk", message, qos.STREAM)
    arm.until(lambda: arm.graph.counter("motion_node", counter) > before, counter)
    np.testing.assert_allclose(arm.desired()[0], where, atol=1e-3)


def test_an_arm_that_runs_out_of_chunks_stops_and_says_so(arm):
    before = arm.graph.counter("motion_node", "starved")
    for delta in ((0.0, -0.02), (0.0, 0.0)):  # a policy that wants rest last does not starve the arm
        arm.send((0.0, 0.02))
        arm.until(lambda: arm.status.state == MotionStatus.RUNNING, "running")
        arm.send(delta)
        arm.reaches(MotionStatus.IDLE)
        arm.until(lambda: arm.graph.counter("motion_node", "starved") == before + 1, "hunger")


def test_a_time_that_lay_back_between_two_ticks_stops_the_arm_too(arm):
    """As of a second publisher on /clock: by the next tick the time is right again."""
    arm.reaches(MotionStatus.IDLE)
    arm.run((0.0, 0.03))
    for offset_ns in (-5_000_000_000, 0):
        arm.graph.clock.publish(Clock(clock=time_message(arm.graph.now_ns + offset_ns)))
        arm.graph.spin(0.1)  # of two times at once the node hears the newer alone
    arm.until(lambda: arm.graph.counter("motion_node", "holds") > 0, "the stop to be counted")
    assert any("time jumped back by 5.0" in m.reason for m in arm.graph.received["motion_status"])
    arm.reaches(MotionStatus.IDLE)


def test_disarm_stops_and_a_second_writer_keeps_it_disarmed(arm):
    arm.run((0.0, -0.05))
    assert arm.call(SetBool, "motion_node/arm", SetBool.Request(data=False)).success
    assert arm.ticks_to_rest() <= 20
    arm.reaches(MotionStatus.DISARMED)
    intruder = arm.graph.node.create_publisher(JointTrajectory, ARM_TOPIC, qos.COMMAND)
    arm.until(lambda: arm.graph.node.count_publishers(ARM_TOPIC) == 2, "the intruder")

    def refused():
        answer = arm.call(SetBool, "motion_node/arm", SetBool.Request(data=True))
        return "" if answer.success else answer.message

    assert "driver" in refused()
    arm.graph.node.destroy_publisher(intruder)
    twin = Node("motion_node", context=arm.graph.context)  # as of a second bring-up
    intruder = twin.create_publisher(JointTrajectory, ARM_TOPIC, qos.COMMAND)
    arm.until(lambda: arm.graph.node.count_publishers(ARM_TOPIC) == 2, "the twin")
    arm.until(lambda: "another motion_node" in refused(), "the twin to be known by its name")
    twin.destroy_publisher(intruder)
    twin.destroy_node()
    arm.until(lambda: refused() == "", "arming without the intruder")
    arm.reaches(MotionStatus.IDLE)


def test_an_arm_that_is_blocked_lets_go_and_faults_when_it_happens_again_and_again(arm):
    """Whatever is commanded, the arm reports the same place: something holds it."""
    arm.run((0.05,), 30)
    q = arm.desired()[0]
    arm.measured = lambda: (q, np.zeros(7))
    seen = set()

    def faulted():
        arm.tick_count = getattr(arm, "tick_count", 0) + 1
        if arm.tick_count % 20 == 0:
            arm.send((0.05,))
        seen.add(arm.status.state)
        return arm.status.state == MotionStatus.FAULT

    arm.until(faulted, "a fault")
    assert "does not follow" in arm.status.reason and MotionStatus.HOLDING in seen
    for _ in range(80):
        arm.tick()
    np.testing.assert_allclose(arm.desired()[0], q, atol=5e-3)  # it does not press
    arm.measured, arm.path = arm.desired, JointPath.holding(q)
    assert arm.call(Trigger, "motion_node/reset", Trigger.Request()).success
    arm.reaches(MotionStatus.IDLE)


def test_killing_a_watched_node_stops_the_arm_and_restarting_it_recovers(graph):
    arm = Arm(graph)
    start_motion(graph, "watched_nodes:=[encoder_node]", "watched_once_seen:=[visualizer_node]")
    arm.reaches(MotionStatus.HOLDING, "waiting for encoder_node")
    start_encoder(graph)
    arm.reaches(MotionStatus.IDLE)
    arm.run((0.0, 0.05))
    graph.signal("encoder", signal.SIGKILL)
    assert arm.ticks_to_rest() <= 20, "200 ms of simulated time"
    arm.reaches(MotionStatus.HOLDING, "encoder_node died")
    start_encoder(graph)
    arm.reaches(MotionStatus.IDLE)
    arm.chunk_id = 0
    arm.run((0.0, -0.05))


def test_killing_the_motion_node_stops_the_arm(graph):
    arm = Arm(graph)
    start_motion(graph, "watched_nodes:=['']")
    arm.reaches(MotionStatus.IDLE)
    arm.run((0.05,))
    graph.signal("motion_node", signal.SIGKILL)
    assert arm.ticks_to_rest() <= 16


def under_way(arm):
    """In the middle of one chunk that lasts for four seconds."""
    arm.reaches(MotionStatus.IDLE)
    arm.send((0.05,), dt=1.0)
    for _ in range(120):
        arm.tick()
    assert arm.speed() > 0.05, (arm.status, arm.graph.reason("motion_node"))
    arm.silent = True  # with jtc_ik there is one command per chunk


def test_deactivating_the_motion_node_stops_a_trajectory_that_would_last(graph):
    arm = Arm(graph)
    start_motion(graph, "watched_nodes:=['']", "backend:=jtc_ik")
    under_way(arm)
    client = graph.node.create_client(ChangeState, "motion_node/change_state")
    graph.until(client.service_is_ready, "service change_state")
    transition = Transition(id=Transition.TRANSITION_DEACTIVATE)
    future = client.call_async(ChangeState.Request(transition=transition))
    arm.until(future.done, "the transition")
    assert arm.ticks_to_rest() <= 25
    assert arm.status.state == MotionStatus.DISARMED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_the_motion_node_stops_a_trajectory_that_would_last(graph, number):
    arm = Arm(graph)
    start_motion(graph, "watched_nodes:=['']", "backend:=jtc_ik")
    under_way(arm)
    graph.signal("motion_node", number)
    assert arm.ticks_to_rest() <= 40
    assert arm.status.state == MotionStatus.DISARMED


def test_the_watchdog_stops_what_a_motion_node_that_was_killed_has_left_running(graph):
    arm = Arm(graph)
    start_motion(graph, "watched_nodes:=['']", "backend:=jtc_ik")
    graph.start("watchdog_node")
    graph.until(lambda: graph.node.count_publishers(ARM_TOPIC) == 2, "the watchdog")
    under_way(arm)
    graph.signal("motion_node", signal.SIGKILL)
    assert arm.ticks_to_rest() <= 90
    graph.counted("watchdog_node", "stops", 0)
    assert graph.counter("watchdog_node", "stops") == 1


def test_a_dry_run_commands_nobody_and_still_shows_the_motion(graph):
    arm = Arm(graph)
    graph.subscribe(JointTrajectory, "motion_node/dry_run/arm", qos.COMMAND)
    start_motion(graph, "watched_nodes:=['']", "dry_run:=true")
    arm.reaches(MotionStatus.IDLE)
    arm.send((0.0, 0.03))
    arm.until(lambda: arm.status.state == MotionStatus.RUNNING, "running")
    arm.reaches(MotionStatus.IDLE)
    shown = graph.received["motion_node/dry_run/arm"]
    assert np.abs(np.array(shown[-1].points[-1].positions) - HOME).max() > 0.05
    assert not arm.commands and graph.node.count_publishers(ARM_TOPIC) == 0
    np.testing.assert_array_equal(arm.desired()[0], HOME)


def test_a_bad_parameter_is_refused_in_words(graph):
    output = (process := graph.start("motion_node", "tcp_frame:=tool")).communicate(timeout=90)[0]
    assert process.returncode == 3 and "no frame 'tool'" in output and "Traceback" not in output, output
