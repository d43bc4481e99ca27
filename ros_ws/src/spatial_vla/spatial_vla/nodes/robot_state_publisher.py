"""The robot's links on /tf and /tf_static, from its description and its joint states.

For machines without the robot_state_publisher of a full ROS 2; topics and the first two parameters have the same names.
"""

from __future__ import annotations

from typing import Any, ClassVar

from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from ..description import panda_urdf
from ..tf import StaticTransformBroadcaster, TransformBroadcaster
from ..tf.kinematic_tree import Joint, KinematicTree
from ..tf.pose import Pose
from . import qos
from .conversions import stamp_ns
from .parameters import NodeParameter
from .run import main_of
from .spatial_node import SpatialNode

EARLY = (
    0.5  # share of a period by which a joint state may come early, so that stamps need not be exact multiples
)


class RobotStatePublisher(SpatialNode):
    """Publishes moving transforms with the stamps of the joint states, and the fixed ones once, latched."""

    default_name = "robot_state_publisher"
    parameters: ClassVar = (
        NodeParameter(
            "robot_description", "", "Text of the URDF; empty: the Panda that comes with the package."
        ),
        NodeParameter(
            "publish_frequency", 100.0, "Publish moving transforms at most this often [Hz].", 1.0, 1000.0
        ),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # For life: those of tf2_ros cannot be closed.
        self._moving = TransformBroadcaster(self)
        self._fixed = StaticTransformBroadcaster(self)

    def setup(self) -> None:
        """Read the description and publish what never changes."""
        urdf = self.value("robot_description") or panda_urdf()
        self._tree = KinematicTree(urdf)
        self._period_ns = 1e9 / self.value("publish_frequency")
        self._last_ns: dict[tuple[str, ...], int] = {}
        description = self.publish_on(String, "robot_description", qos.LATCHED)
        description.publish(String(data=urdf))
        now = self.get_clock().now().to_msg()
        self._fixed.sendTransform([_message(joint, joint.origin, now) for joint in self._tree.fixed])
        self.listen(JointState, "joint_states", self._on_joint_state, qos.SENSOR_IN)

    def _on_joint_state(self, message: JointState) -> None:
        if len(message.name) != len(message.position):
            self.refuse(
                "joint_states_refused",
                f"joint_states has {len(message.name)} names and {len(message.position)} positions; expected as many",
            )
            return
        if not self._due(message):
            return
        positions = dict(zip(message.name, message.position, strict=True))
        stamp = message.header.stamp
        self._moving.sendTransform(
            [_message(joint, pose, stamp) for joint, pose in self._tree.moving(positions)]
        )

    def _due(self, message: JointState) -> bool:
        """Whether it is time to publish again; arm and gripper may speak in messages of their own."""
        now_ns, who = stamp_ns(message.header.stamp), tuple(message.name)
        since_ns = now_ns - self._last_ns.get(who, -(1 << 62))
        if 0 <= since_ns < self._period_ns * (1.0 - EARLY):
            return False
        self._last_ns[who] = now_ns
        return True


def _message(joint: Joint, pose: Pose, stamp: Time) -> TransformStamped:
    message = TransformStamped(child_frame_id=joint.child)
    message.header.frame_id, message.header.stamp = joint.parent, stamp
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = pose.translation
    q.x, q.y, q.z, q.w = pose.rotation
    return message


def main() -> None:
    """Entry point."""
    main_of(RobotStatePublisher)
