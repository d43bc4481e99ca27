"""The simulated world as a ROS 2 node: what a robot with two RGB-D cameras offers, plus ``/clock`` and ``sim/``.

One thread steps the physics and publishes; a second renders frozen copies of the state, and physics waits for it only
when the next picture is due before the last is out. The executor's thread takes commands and resets.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.logging import get_logger
from rclpy.parameter import Parameter
from rclpy.utilities import ok, try_shutdown
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import time_message
from spatial_vla.nodes.lean_node import LeanNode
from spatial_vla.nodes.parameters import NodeParameter
from spatial_vla.nodes.run import EXIT_OK, EXIT_REFUSED
from spatial_vla.realtime import come_first
from spatial_vla_interfaces.msg import SimState
from spatial_vla_interfaces.srv import ResetScene
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

from . import commands, messages
from .calibration_board import CalibrationBoard
from .camera_publisher import CameraPublisher, mount_transforms
from .pacer import Pacer
from .scene import sample_scene
from .view import EXTERNAL_CAMERA, WRIST_CAMERA, View
from .world import World

#: Period of /clock and joint_states [s]; the others' periods are in ticks of it.
TICK = 0.01
STATE_TICKS = 10
CAMERA_TICKS = {EXTERNAL_CAMERA: 10, WRIST_CAMERA: 20}

PARAMETERS = (
    NodeParameter("seed", 0, "Scene at start.", 0, 2**62),
    NodeParameter("task", "", "Task at start: touch, point or pick; empty: drawn from the seed."),
    NodeParameter("camera_size", 224, "Image width and height [px].", 32, 1024),
    NodeParameter(
        "calibration_board",
        "",
        "Shows the board of `spatial-vla calibrate board`: table or gripper; empty: none.",
    ),
    NodeParameter(
        "realtime_priority",
        10,
        "Real-time priority to ask the system for, 1 to 99; 0: none. It makes the others' time.",
        0,
        99,
    ),
    NodeParameter(
        "real_time_factor",
        1.0,
        "Simulated seconds per second, at most; a machine that cannot keep up is slower and never catches up.",
        0.05,
        1.0,
        read_only=False,
    ),
)


class SimNode(LeanNode):
    """Steps a ``World`` at no more than real time; see the module's text."""

    def __init__(self) -> None:
        super().__init__("sim_node")
        self._declare_parameters()
        self._create_endpoints()
        place = self._value("calibration_board")
        self._world = World(self._value("camera_size"), CalibrationBoard.at(place) if place else None)
        self._lock = threading.Lock()
        self._rejected = 0
        self._renderer = ThreadPoolExecutor(1, "render")
        self._pictures: Future[None] = self._renderer.submit(lambda: None)
        self._lay_out(self._value("seed"), self._value("task"))
        self._stopping = threading.Event()
        self._physics = ThreadPoolExecutor(1, "physics").submit(self._run)
        self._physics.add_done_callback(lambda _: try_shutdown())

    def close(self) -> None:
        """Stop the threads and destroy the node.

        Raises:
            Exception: what ended the physics thread, if anything but this call did.
        """
        self._stopping.set()
        try:
            self._physics.result()
        finally:
            self._renderer.shutdown()
            self.destroy_node()

    def _declare_parameters(self) -> None:
        for row in PARAMETERS:
            self.declare_parameter(row.name, row.default, row.descriptor())
        self._factor: float = self._value("real_time_factor")
        self.add_post_set_parameters_callback(self._on_parameters)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _on_parameters(self, _: list[Parameter]) -> None:
        self._factor = self._value("real_time_factor")

    def _create_endpoints(self) -> None:
        self._clock = self.create_publisher(Clock, "/clock", qos.STREAM)
        self._joints = self.create_publisher(JointState, "joint_states", qos.SENSOR_OUT)
        self._mounts = self.create_publisher(TFMessage, "/tf_static", qos.LATCHED)
        self._state = self.create_publisher(SimState, "sim/state", qos.STREAM)
        self._cameras = {name: CameraPublisher(self, name) for name in CAMERA_TICKS}
        self.create_subscription(
            JointTrajectory, "panda_arm_controller/joint_trajectory", self._on_arm, qos.COMMAND
        )
        self.create_subscription(
            JointTrajectory, "panda_hand_controller/joint_trajectory", self._on_hand, qos.COMMAND
        )
        self.create_service(ResetScene, "sim/reset", self._on_reset)

    def _on_arm(self, message: JointTrajectory) -> None:
        try:
            points, start_ns = commands.arm_points(message)
            with self._lock:
                self._world.set_arm_command(points, start_ns)
        except ValueError as error:
            self._reject("arm", error)

    def _on_hand(self, message: JointTrajectory) -> None:
        try:
            position = commands.finger_position(message)
            with self._lock:
                self._world.set_gripper(position)
        except ValueError as error:
            self._reject("hand", error)

    def _reject(self, which: str, error: ValueError) -> None:
        self._rejected += 1
        text = f"{which} trajectory rejected ({self._rejected} rejected so far): {error}"
        self.get_logger().warning(text, throttle_duration_sec=1.0)

    def _on_reset(self, request: ResetScene.Request, response: ResetScene.Response) -> ResetScene.Response:
        try:
            response.stamp = time_message(self._lay_out(request.seed, request.task))
        except ValueError as error:
            response.message = str(error)
            return response
        scene = self._world.scene
        response.success, response.instruction = True, scene.instruction
        response.target, response.verb = scene.target.name, scene.task.verb
        return response

    def _lay_out(self, seed: int, task: str) -> int:
        """Reset the world and return its time [ns]; pictures of the old scene are all out by then."""
        scene = sample_scene(seed, task)
        with self._lock:
            self._pictures.result()
            self._world.reset(scene)
            stamp_ns = self._world.time_ns
            self._mounts.publish(mount_transforms(EXTERNAL_CAMERA, scene.world_from_camera, stamp_ns))
        names = ", ".join(item.name for item in scene.objects)
        self.get_logger().info(f"scene {seed}: {scene.instruction!r} among {names}")
        return stamp_ns

    def _run(self) -> None:
        # The renderer, too: it holds the interpreter's lock.
        come_first(self._value("realtime_priority"), self.get_logger().info)
        pacer, tick = Pacer(TICK), 0
        try:
            while not self._stopping.is_set():
                tick += 1
                with self._lock:
                    self._world.step(TICK)
                    self._publish(tick)
                pacer.wait(self._factor)
        except Exception:
            # An interrupt invalidates the publishers at once, maybe in the middle of a tick; that is no failure.
            if ok():
                raise

    def _publish(self, tick: int) -> None:
        stamp_ns = self._world.time_ns
        self._clock.publish(Clock(clock=time_message(stamp_ns)))
        self._joints.publish(messages.joint_state(self._world, stamp_ns))
        if tick % STATE_TICKS == 0:
            self._state.publish(messages.sim_state(self._world, stamp_ns))
        due = [c for c, ticks in CAMERA_TICKS.items() if tick % ticks == 0]
        for camera in due:
            if not self._cameras[camera].has_listeners:
                self._cameras[camera].publish_info(self._world.view().cameras[camera], stamp_ns)
        due = [camera for camera in due if self._cameras[camera].has_listeners]
        if due:
            self._pictures.result()
            self._pictures = self._renderer.submit(self._render, due, self._world.view().frozen(), stamp_ns)

    def _render(self, cameras: list[str], view: View, stamp_ns: int) -> None:
        for camera in cameras:
            self._cameras[camera].publish(view.render(camera), stamp_ns)


def main() -> int:
    """Run the node until it is told to stop. Exit code 3: a parameter makes no sense; the log says which."""
    node = None
    try:
        rclpy.init()
        node = SimNode()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ParameterException, ValueError) as error:
        get_logger("sim_node").fatal(str(error))
        return EXIT_REFUSED
    finally:
        if node is not None:
            node.close()
        try_shutdown()
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
