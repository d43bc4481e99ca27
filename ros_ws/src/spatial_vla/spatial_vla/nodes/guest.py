"""Being in a running graph for a while, in its time and with its quality of service."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy

from ..calibration import CalibrationError
from .calibration_capture import CalibrationCapture

#: How long topics may take to be discovered, and how much later than the camera's the clock's may be [s, real time].
DISCOVERY, LATER = 10.0, 1.0


@contextmanager
def capture_node(
    camera: str, base_frame: str, gripper_frame: str, namespace: str = ""
) -> Iterator[CalibrationCapture]:
    """The node of a calibration session, spun by a thread of its own.

    It takes the graph's time, simulated or real, and images as the camera offers them.

    Raises:
        CalibrationError: it could not join.
    """
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    executor = SingleThreadedExecutor(context=context)
    try:
        # It stays until the end: with a context's last node all that has been discovered is forgotten.
        scout = Node("calibration_capture_scout", context=context, namespace=namespace)
        simulated, reliable = _looked_around(scout, camera)
        values = {
            "camera": camera,
            "base_frame": base_frame,
            "gripper_frame": gripper_frame,
            "reliable_camera": reliable,
            "use_sim_time": simulated,
        }
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = CalibrationCapture(context=context, namespace=namespace, parameter_overrides=overrides)
        node.get_logger().set_level(LoggingSeverity.ERROR)  # what goes on being wrong is said in the end
        for step in (node.trigger_configure, node.trigger_activate):
            if step() is not TransitionCallbackReturn.SUCCESS:
                raise CalibrationError("the session could not join the graph; the log above says why")
        executor.add_node(node)
        thread = threading.Thread(target=_spin, args=(executor,), name="calibration_capture", daemon=True)
        thread.start()
        try:
            yield node
        finally:
            time.sleep(0.1)  # what was published last is still on its way
    finally:
        executor.shutdown(timeout_sec=2.0)
        rclpy.try_shutdown(context=context)


def _spin(executor: SingleThreadedExecutor) -> None:
    with suppress(ExternalShutdownException):
        executor.spin()


def _looked_around(node: Node, camera: str) -> tuple[bool, bool]:
    """Whether somebody makes the time, and whether all the camera's images are sent reliably."""
    deadline = time.monotonic() + DISCOVERY
    # If none turns up, what there is instead is said when no image comes.
    while not (found := node.get_publishers_info_by_topic(f"{camera}/image")):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    time.sleep(LATER)
    reliable = all(info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in found)
    return node.count_publishers("/clock") > 0, reliable
