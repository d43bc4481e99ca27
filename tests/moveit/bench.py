"""Mock hardware and what drives it, as the bring-up starts them, for suites over the real packages."""

import threading
import time

import numpy as np
from spatial_vla.actions import ActionChunk
from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.node_list import bringup_nodes
from spatial_vla.motion.panda import panda_limits, panda_model

PATIENCE = 60.0


class Bench:
    """A bring-up with mock hardware, and a node that watches and sends chunks."""

    def __init__(self, backend, armed=True):
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
        motion.parameters.update(watched_nodes=[""], dry_run=False, require_deadman=False, arm_on_start=armed)
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
