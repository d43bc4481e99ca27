"""Records a run: every topic of the graph that the report or a viewer needs, as an MCAP bag with run.json beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Path as PlanPath
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from spatial_vla_interfaces.msg import (
    ActionChunk,
    ActionGrid,
    FeatureMap,
    Instruction,
    MotionStatus,
    PolicyStatus,
    SimState,
)
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from ..report import RunRecorder
from . import qos
from .parameters import RELIABLE_CAMERA, NodeParameter
from .run import main_of
from .spatial_node import SpatialNode


class RecordedTopic(NamedTuple):
    """What to record: at most one message per ``period`` seconds, or every message if 0."""

    name: str
    message: type
    profile: QoSProfile = qos.STREAM
    period: float = 0.0


TOPICS = (
    RecordedTopic("camera/external/image", Image, qos.SENSOR_IN),
    RecordedTopic("camera/external/camera_info", CameraInfo, qos.SENSOR_IN),
    RecordedTopic("camera/external/depth", Image, qos.SENSOR_IN, 1.0),
    RecordedTopic("camera/wrist/image", Image, qos.SENSOR_IN, 0.5),
    RecordedTopic("/tf", TFMessage, qos.TF),
    RecordedTopic("/tf_static", TFMessage, qos.TF_STATIC),
    RecordedTopic("robot_description", String, qos.LATCHED),
    RecordedTopic("joint_states", JointState, qos.SENSOR_IN, 0.05),
    RecordedTopic("panda_arm_controller/joint_trajectory", JointTrajectory, period=0.1),
    RecordedTopic("instruction", Instruction, qos.LATCHED),
    RecordedTopic("features", FeatureMap, period=1.0),
    RecordedTopic("action_chunk", ActionChunk),
    RecordedTopic("action_grid", ActionGrid, qos.LATCHED),
    RecordedTopic("policy_status", PolicyStatus),
    RecordedTopic("motion_status", MotionStatus),
    RecordedTopic("sim/state", SimState),
    RecordedTopic("/diagnostics", DiagnosticArray),
    RecordedTopic("viz/feature_map", Image, period=0.5),
    RecordedTopic("viz/cloud", PointCloud2, period=1.0),
    RecordedTopic("viz/action_grid", MarkerArray),
    RecordedTopic("viz/plan", MarkerArray),
    RecordedTopic("viz/plan_path", PlanPath),
)


class RecorderNode(SpatialNode):
    """Writes serialised messages as they come, without decoding them."""

    default_name = "recorder_node"
    parameters: ClassVar = (
        NodeParameter("directory", "", "Folder to write the run into; must not hold one already."),
        RELIABLE_CAMERA,
    )

    def setup(self) -> None:
        """Open the bag and subscribe."""
        directory = self.value("directory")
        if not directory:
            raise ValueError("parameter 'directory' is empty; give the folder to write the run into")
        self._recorder: RunRecorder | None = RunRecorder(
            Path(directory).expanduser(), self.get_namespace().rstrip("/")
        )
        self._early: list[tuple[str, str, bytes]] = []
        for topic in TOPICS:
            self._subscribe(topic)

    def teardown(self) -> None:
        """Complete the run on disk."""
        recorder, self._recorder = getattr(self, "_recorder", None), None
        if recorder is not None:
            recorder.close()
            if self.context.ok():
                self.get_logger().info(f"run written to {recorder.directory}")

    def destroy_node(self) -> None:
        """End of the process: an interrupted run is complete, too."""
        self.teardown()
        super().destroy_node()

    def _subscribe(self, topic: RecordedTopic) -> None:
        name = self.resolve_topic_name(topic.name)
        callback = self._callback(name, _type_name(topic.message), round(topic.period * 1e9))
        sensor = qos.sensor_in(self.value("reliable_camera"))
        profile = sensor if topic.profile is qos.SENSOR_IN else topic.profile
        subscription = self.create_subscription(topic.message, name, callback, profile, raw=True)
        self.own(lambda: self.destroy_subscription(subscription))

    def _callback(self, name: str, message_type: str, period_ns: int) -> Callable[[Any], None]:
        due_ns = 0

        def record(data: bytes) -> None:
            nonlocal due_ns
            now = self.now_ns()
            if self.active and now >= due_ns:
                due_ns = now + period_ns
                self._record(name, message_type, now, data)

        return record

    def _record(self, name: str, message_type: str, now: int, data: bytes) -> None:
        if self._recorder is None:
            return
        if (
            now == 0
        ):  # Simulated time has not begun; what is latched arrives before the first tick of the clock.
            self._early.append((name, message_type, data))
            return
        while self._early:
            early, early_type, early_data = self._early.pop(0)
            self._recorder.record(early, early_type, now, early_data)
        self._recorder.record(name, message_type, now, data)


def _type_name(message: type) -> str:
    """Name in ROS of a generated message class, such as ``sensor_msgs/msg/Image``."""
    return f"{message.__module__.split('.', 1)[0]}/msg/{message.__name__}"


def main() -> None:
    """Entry point."""
    main_of(RecorderNode)
