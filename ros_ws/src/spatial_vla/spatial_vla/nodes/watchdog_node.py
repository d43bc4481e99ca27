"""Stops the arm if it still moves when ``motion_node`` has fallen silent: a process of its own, with no other task."""

from __future__ import annotations

from typing import ClassVar

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from spatial_vla_interfaces.msg import MotionStatus
from trajectory_msgs.msg import JointTrajectory

from ..motion.measurement import JointReading
from ..motion.watchdog import Watchdog
from . import qos
from .motion_messages import JointStateReader, arm_trajectory
from .motion_parameters import PARAMETERS, joint_limits_from
from .run import main_of
from .spatial_node import SpatialNode

#: What it has in common with motion_node.
SHARED = ("robot", "robot_description", "joint_limits_file", "joints", "arm_topic")


class WatchdogNode(SpatialNode):
    """The ROS side of :class:`~spatial_vla.motion.watchdog.Watchdog`."""

    default_name = "watchdog_node"
    parameters: ClassVar = tuple(row for row in PARAMETERS if row.name in SHARED)

    def setup(self) -> None:
        """Read the limits, and listen."""
        limits = joint_limits_from(self.value)
        self._joints = limits.joints.names
        self._watchdog, self._reader = Watchdog(limits), JointStateReader(self._joints)
        self._arm = self.publish_on(JointTrajectory, self.value("arm_topic"), qos.COMMAND)
        self.listen(MotionStatus, "motion_status", self._on_status, qos.STREAM)
        self.listen(JointState, "joint_states", self._on_joint_state, qos.SENSOR_IN)

    def _on_status(self, message: MotionStatus) -> None:
        self._watchdog.on_status(message.at_rest)
        self.diagnostics.set(DiagnosticStatus.OK, "motion_node is heard")

    def _on_joint_state(self, message: JointState) -> None:
        read = self._reader.read(message)
        if read is None:
            return
        q, dq, stamp_ns = read
        points = self._watchdog.on_joint_state(JointReading(stamp_ns, q, dq))
        if points:
            self._arm.publish(arm_trajectory(self._joints, points))
            reason = "the arm moved although motion_node was silent: stopped"
            self.refuse("stops", reason)
            self.diagnostics.set(DiagnosticStatus.ERROR, reason)


def main() -> None:
    """Entry point."""
    main_of(WatchdogNode)
