"""The back-end contract against the real MoveIt, Servo and ros2_control: `make test-moveit`, on a full ROS 2.

Mock hardware moves; motion_node, servo_node or moveit_py drive it. The clauses are those of
docs/reference/motion_backends.md; the strict fakes of the other suites stand for what is run here.
"""

import threading
import time

import numpy as np
import pytest
from spatial_vla.actions import ActionChunk
from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.node_list import bringup_nodes
from spatial_vla.motion.panda import panda_limits, panda_model

pytestmark = pytest.mark.moveit
pytest.importorskip(
    "moveit_msgs", reason="needs a full ROS 2 with MoveIt: apt install ros-$ROS_DISTRO-moveit"
)
PATIENCE = 60.0


class Bench:
    """A bring-up with mock hardware, and a node that watches and sends chunks."""

    def __init__(self, backend):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from sensor_msgs.msg import JointState
        from spatial_vla.bringup.runner import Runner
        from spatial_vla.nodes import qos
        from spatial_vla_interfaces.msg import ActionChunk as ChunkMessage
        from spatial_vla_interfaces.msg import MotionStatus

        arguments = BringupArguments(
            sim=False, use_sim_time=False, mock_hardware=True, backend=backend, visualize=False
        )
        keep = {
            "motion_node",
            "robot_state_publisher",
            "controller_manager",
            "spawner",
            "servo_node",
            "move_group",
        }
        entries = [entry for entry in bringup_nodes(arguments) if entry.name in keep]
        motion = next(entry for entry in entries if entry.name == "motion_node")
        # Nobody decides here, so nobody is watched; and mock hardware may move.
        motion.parameters.update(watched_nodes=[""], dry_run=False, require_deadman=False, arm_on_start=True)
        self.runner = Runner(entries)
        self.runner.start()
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node("bench", context=self.context)
        self.stamps, self.positions, self.said = [], [], []
        self.node.create_subscription(JointState, "joint_states", self._on_joints, qos.SENSOR_IN)
        self.node.create_subscription(MotionStatus, "motion_status", self.said.append, qos.STREAM)
        self.chunks = self.node.create_publisher(ChunkMessage, "action_chunk", qos.STREAM)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        threading.Thread(target=self.executor.spin, daemon=True).start()
        self.number = 0
        self.model, self.limits = panda_model(), panda_limits()

    def close(self):
        self.executor.shutdown(timeout_sec=1.0)
        self.context.try_shutdown()
        self.runner.stop()

    def _on_joints(self, message):
        table = dict(zip(message.name, message.position, strict=True))
        stamp = message.header.stamp
        self.stamps.append(stamp.sec + stamp.nanosec * 1e-9)
        self.positions.append([table[joint] for joint in self.limits.joints.names])

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}; status {self.said[-1:]}"
            assert self.runner.poll() is None
            time.sleep(0.01)

    def send(self, delta):
        from spatial_vla.nodes.conversions import chunk_message

        self.number += 1
        deltas = np.tile(np.pad(np.array(delta, float), (0, 6 - len(delta))), (4, 1))
        now = self.node.get_clock().now().nanoseconds
        self.chunks.publish(
            chunk_message(ActionChunk(now, 0.2, "panda_link0", deltas, np.ones(4), self.number))
        )

    def run(self, delta, seconds):
        for _ in range(round(seconds / 0.2)):
            self.send(delta)
            time.sleep(0.2)

    def tcp(self):
        return self.model.forward(np.array(self.positions[-1])).translation


@pytest.fixture(scope="module", params=["servo", "embedded", "jtc_ik"])
def bench(request):
    bench = Bench(request.param)
    bench.until(lambda: bench.said and bench.said[-1].state == 1, "an armed arm")
    yield bench
    bench.close()


def test_7_chunks_are_followed(bench):
    start = bench.tcp()
    bench.run((0.0, 0.02), 2.0)
    time.sleep(1.0)
    assert bench.tcp()[1] - start[1] == pytest.approx(0.2, abs=0.05)


def test_5_silence_means_rest(bench):
    bench.run((0.0, -0.03), 1.0)
    time.sleep(1.2)
    before = np.array(bench.positions[-1])
    time.sleep(0.5)
    np.testing.assert_allclose(bench.positions[-1], before, atol=2e-3)


def test_3_limits_hold_whatever_is_asked_for(bench):
    first = len(bench.positions)
    for delta in ((0.06, 0.06, -0.06), (-0.06, 0.0, 0.06), (float("nan"),), (1e9,)):
        bench.run(delta, 1.0)
    time.sleep(1.0)
    q, t = np.array(bench.positions[first:]), np.array(bench.stamps[first:])
    assert np.all(q > bench.limits.lower - 1e-3) and np.all(q < bench.limits.upper + 1e-3)
    speeds = np.abs(np.diff(q, axis=0) / np.maximum(np.diff(t), 1e-3)[:, None])
    assert np.all(np.quantile(speeds, 0.99, axis=0) <= 1.05 * bench.limits.joints.velocity)


def test_a_planned_move_arrives_and_can_be_stopped():
    """moveit_py in its own process, with the parameters that the bring-up uses."""
    from spatial_vla.bringup.moveit import moveit_configuration
    from spatial_vla.description import robot
    from spatial_vla.nodes.moveit_process import MoveItProcess

    bench = Bench("plan")
    try:
        bench.until(lambda: bool(bench.positions), "joint states")
        planner = MoveItProcess("panda_arm", moveit_configuration(robot("panda"), False))
        goal = np.array(bench.positions[-1]) + np.array([0.3, 0, 0, 0, 0, 0, 0.2])
        plan = planner.plan(goal, 0.2, 0.2)
        assert plan is not None and planner.execute(plan)
        bench.until(lambda: np.allclose(bench.positions[-1], goal, atol=0.01), "the goal")
        back = planner.plan(goal - 0.5, 0.1, 0.1)
        assert back is not None
        threading.Timer(0.5, planner.stop).start()
        assert not planner.execute(back)
        planner.close()
    finally:
        bench.close()
