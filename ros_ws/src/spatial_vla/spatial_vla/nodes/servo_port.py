"""A running MoveIt Servo node, as :class:`~spatial_vla.motion.servo.ServoPort` wants it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from numpy.typing import NDArray
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import SetBool

from ..motion import BackendUnavailable, MotionLimits

TWIST = 1  # ServoCommandType.Request.TWIST
WAIT_SECONDS = 1.0
#: Servo goes on with a twist for so long; no longer than this [s] after the last one may it move.
COMMAND_TIMEOUT, LONGEST_TIMEOUT = "moveit_servo.incoming_command_timeout", 0.2
#: Servo parameter -> the value without which the twists that we send mean something else.
REQUIRED = {"moveit_servo.command_in_type": "speed_units"}
SCALES = ("moveit_servo.scale.linear", "moveit_servo.scale.rotational")


def moveit_interfaces() -> tuple[type[Any], type[Any]]:
    """ServoStatus and ServoCommandType. Raises BackendUnavailable where MoveIt is not installed."""
    try:
        from moveit_msgs.msg import ServoStatus
        from moveit_msgs.srv import ServoCommandType
    except ImportError as error:
        raise BackendUnavailable(
            f"MoveIt's messages are not installed ({error}); on a full ROS 2: apt install ros-$ROS_DISTRO-moveit"
        ) from error
    return ServoStatus, ServoCommandType


class ServoNodePort:
    """Publishes twists to Servo and hears its status. :meth:`start` blocks; nothing else does."""

    def __init__(self, node: Node, servo: str, frame: str) -> None:
        """``servo``: name of the Servo node; ``frame``: the frame that twists are given in.

        Raises:
            BackendUnavailable: MoveIt's messages are not installed.
        """
        self._node, self._servo, self._frame = node, servo, frame
        status, self._command_type = moveit_interfaces()
        self._twists = node.create_publisher(TwistStamped, f"{servo}/delta_twist_cmds", 1)
        self._pauses = node.create_client(SetBool, f"{servo}/pause_servo")
        self._listener = node.create_subscription(status, f"{servo}/status", self._on_status, 10)
        self._code, self._heard = -1, -np.inf

    def start(self, limits: MotionLimits) -> None:
        """Have Servo take twists, and see that it reads them as we mean them.

        Raises:
            BackendUnavailable: a service does not answer, Servo refuses twists, or its parameters do not fit.
        """
        helper = rclpy.create_node("servo_setup", context=self._node.context, use_global_arguments=False)
        try:
            request = self._command_type.Request(command_type=TWIST)
            answer = self._call(helper, self._command_type, "switch_command_type", request)
            if not answer.success:
                raise BackendUnavailable(f"{self._servo} refuses to take twists (switch_command_type)")
            self._check_parameters(helper, limits)
        finally:
            helper.destroy_node()

    def _check_parameters(self, helper: Node, limits: MotionLimits) -> None:
        request = GetParameters.Request(names=[*REQUIRED, *SCALES, COMMAND_TIMEOUT])
        values = self._call(helper, GetParameters, "get_parameters", request).values
        for (name, wanted), value in zip(REQUIRED.items(), values, strict=False):
            if value.string_value != wanted:
                raise BackendUnavailable(
                    f"{self._servo}: {name} is {value.string_value!r}; it must be {wanted!r}"
                )
        allowed = (limits.cartesian.speed, limits.cartesian.angular_speed)
        timeout = values[-1].double_value
        if not 0.0 < timeout <= LONGEST_TIMEOUT:
            raise BackendUnavailable(
                f"{self._servo}: {COMMAND_TIMEOUT} is {timeout}; it must be positive and at most {LONGEST_TIMEOUT} s, "
                "or the arm goes on for as long when nobody commands it"
            )
        for name, value, limit in zip(SCALES, values[len(REQUIRED) : -1], allowed, strict=True):
            if not 0.0 < value.double_value <= 1.5 * limit:
                raise BackendUnavailable(
                    f"{self._servo}: {name} is {value.double_value}; it must be positive and at most 1.5 times our "
                    f"own limit, {limit}"
                )

    def _call(self, helper: Node, kind: type[Any], name: str, request: Any) -> Any:
        client = helper.create_client(kind, f"{self._servo}/{name}")
        if not client.wait_for_service(WAIT_SECONDS):
            raise BackendUnavailable(f"service {client.srv_name} does not answer; is Servo running?")
        executor = SingleThreadedExecutor(context=self._node.context)
        future = client.call_async(request)
        executor.add_node(helper)
        executor.spin_until_future_complete(future, WAIT_SECONDS)
        executor.remove_node(helper)
        if not future.done() or future.result() is None:
            raise BackendUnavailable(f"service {client.srv_name} did not answer within {WAIT_SECONDS} s")
        return future.result()

    def send(self, twist: NDArray[np.float64]) -> None:
        """Publish a twist, stamped with the time of now: Servo takes older ones for stale."""
        message = TwistStamped()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = self._frame
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = map(float, twist)
        self._twists.publish(message)

    def pause(self, paused: bool) -> None:
        """Ask Servo to pause or to go on; the answer is not waited for."""
        self._pauses.call_async(SetBool.Request(data=paused))

    def status(self) -> tuple[int, float]:
        """Newest status code and its age [s], by a clock that nobody sets."""
        return self._code, time.monotonic() - self._heard

    def _on_status(self, message: Any) -> None:
        self._code, self._heard = int(message.code), time.monotonic()

    @property
    def topic(self) -> str:
        """Where the twists go."""
        return self._twists.topic_name

    def close(self) -> None:
        """Release publisher, subscription and client."""
        self._node.destroy_publisher(self._twists)
        self._node.destroy_subscription(self._listener)
        self._node.destroy_client(self._pauses)
