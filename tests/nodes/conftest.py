"""Nodes as real processes on a DDS domain of their own, and a driver that plays the rest of the robot.

Time is simulated: the driver is the clock, so that what is stale is decided by stamps and not by how busy the machine
is.
"""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from spatial_vla.description import ARM_JOINTS, FINGER_JOINTS
from spatial_vla.geometry import SE3, PinholeCamera
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import header, time_message, transform_message
from spatial_vla.nodes.images import image_from_array, info_from_camera
from spatial_vla_interfaces.msg import ActionChunk, ActionGrid, FeatureMap, PolicyStatus
from tf2_msgs.msg import TFMessage

MS = 1_000_000
PATIENCE = 90.0  # [s] a busy machine may take to start a process or to deliver a message
CAMERA_FRAME = "external_camera_optical_frame"
CAMERA = PinholeCamera(224, 224, 300.0, 300.0, 111.5, 111.5)  # 41 degrees, as in training
WORLD_FROM_CAMERA = SE3(np.diag([1.0, -1.0, -1.0]), np.array([0.5, 0.0, 1.0]))
_domains = itertools.count(os.getpid())


class Graph:
    """Processes and a driver node that see each other and nobody else."""

    def __init__(self):
        self.domain = 1 + next(_domains) % 100
        self.environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(self.domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "PYTHONUNBUFFERED": "1",
        }
        self.processes = {}
        self.received = defaultdict(list)
        self.context = Context()
        rclpy.init(context=self.context, domain_id=self.domain)
        self.node = Node("driver", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.clock = self.node.create_publisher(Clock, "/clock", 1)
        self.now_ns = 10_000 * MS
        self._publishers = {}
        self._diagnostics = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)

    def start(self, name, *parameters, sim_time=True):
        """Start a node as a process of its own group; ``parameters`` as ``name:=value``."""
        command = [sys.executable, "-c", f"from spatial_vla.nodes.{name} import main; main()", "--ros-args"]
        for parameter in (f"use_sim_time:={str(sim_time).lower()}", *parameters):
            command += ["-p", parameter]
        self.processes[name] = subprocess.Popen(
            command,
            env=self.environment,
            start_new_session=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return self.processes[name]

    def signal(self, name, number):
        os.killpg(self.processes[name].pid, number)

    def until(self, condition, what="", timeout=PATIENCE):
        """Spin until the condition holds, and return its value."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            for name, process in self.processes.items():
                if process.poll() not in (None, -signal.SIGKILL):
                    raise AssertionError(
                        f"{name} ended with {process.returncode}:\n{process.communicate()[0]}"
                    )
            assert time.monotonic() < deadline, (
                f"{what or 'it'} did not happen; diagnostics: {self._diagnostics}"
            )
            self.executor.spin_once(timeout_sec=0.02)
        return value

    def spin(self, seconds):
        """Give messages time that should *not* have an effect."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def subscribe(self, message_type, topic, profile=qos.STREAM):
        self.node.create_subscription(message_type, topic, self.received[topic].append, profile)

    def publish(self, topic, message, profile=qos.SENSOR_OUT):
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(type(message), topic, profile)
        self._publishers[topic].publish(message)

    def offer(self, topic, message_type, profile=qos.SENSOR_OUT):
        """Create a publisher ahead of time and wait for its first subscriber."""
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(message_type, topic, profile)
        self.until(lambda: self._publishers[topic].get_subscription_count() > 0, f"a subscriber of {topic}")

    def counter(self, node, name):
        return self._diagnostics.get(node, (Counter(), ""))[0][name]

    def reason(self, node):
        return self._diagnostics.get(node, (Counter(), ""))[1]

    def counted(self, node, name, more_than):
        self.until(lambda: self.counter(node, name) > more_than, f"{name} of {node} > {more_than}")

    def close(self):
        for name, process in self.processes.items():
            if process.poll() is None:
                self.signal(name, signal.SIGCONT)
                self.signal(name, signal.SIGKILL)
            process.communicate()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def _on_diagnostics(self, message):
        for status in message.status:
            counts = Counter({v.key: int(v.value) for v in status.values if v.value.isdigit()})
            self._diagnostics[status.name] = (counts, status.message)


class Robot(Graph):
    """Plays clock, joints and camera."""

    def mount_camera(self):
        """Latch world -> camera; everything else of /tf comes from robot_state_publisher."""
        stamped = TransformStamped(header=header(0, "world"), child_frame_id=CAMERA_FRAME)
        stamped.transform = transform_message(WORLD_FROM_CAMERA)
        self.publish("/tf_static", TFMessage(transforms=[stamped]), qos.LATCHED)

    def tick(self, milliseconds=100):
        """Let simulated time pass, with joint states at its end."""
        self.now_ns += milliseconds * MS
        self.clock.publish(Clock(clock=time_message(self.now_ns)))
        joints = JointState(header=header(self.now_ns, ""), name=[*ARM_JOINTS, *FINGER_JOINTS])
        joints.position = [0.0, -0.5, 0.0, -2.0, 0.0, 1.5, 0.8, 0.04, 0.04]
        self.publish("joint_states", joints)

    def show(
        self, ahead_ms=0, only=("camera_info", "depth", "image"), frame=CAMERA_FRAME, spoil=lambda _: None
    ):
        """Publish one camera frame, or parts of one; ``spoil`` may change the CameraInfo. Returns the stamp."""
        head = header(self.now_ns + round(ahead_ms * MS), frame)
        info = info_from_camera(CAMERA, head)
        spoil(info)
        messages = {
            "camera_info": info,
            "depth": image_from_array(np.full((224, 224), 0.9, np.float32), head),
            "image": image_from_array(np.full((224, 224, 3), 128, np.uint8), head),
        }
        for name in only:
            self.publish(f"camera/external/{name}", messages[name])
        return self.now_ns + round(ahead_ms * MS)

    def ready(self):
        for name, kind in (("camera_info", CameraInfo), ("image", Image), ("depth", Image)):
            self.offer(f"camera/external/{name}", kind)
        self.offer("joint_states", JointState)

    def start_policy(self):
        """Encoder and decoder at work, and what they say received."""
        self.start("robot_state_publisher")
        for name in ("encoder_node", "decoder_node"):
            self.start(name, "reliable_camera:=true")  # as in simulation
        for kind, topic in (
            (FeatureMap, "features"),
            (ActionChunk, "action_chunk"),
            (PolicyStatus, "policy_status"),
        ):
            self.subscribe(kind, topic)
        self.subscribe(ActionGrid, "action_grid", qos.LATCHED)
        self.mount_camera()
        self.ready()
        self.frame_until("features")

    def frame_until(self, topic, **show):
        """Keep time and camera running until another message comes on ``topic``; returns it."""
        before = len(self.received[topic])

        def arrived():
            self.tick()
            self.show(**show)
            self.spin(0.1)
            return len(self.received[topic]) > before

        self.until(arrived, f"a message on {topic}")
        return self.received[topic][-1]


@pytest.fixture
def graph():
    graph = Graph()
    yield graph
    graph.close()


@pytest.fixture(scope="module")
def robot():
    robot = Robot()
    yield robot
    robot.close()


@pytest.fixture
def robot_graph():
    robot = Robot()
    yield robot
    robot.close()
