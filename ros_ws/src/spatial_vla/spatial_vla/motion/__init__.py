"""From action chunks to safe joint commands: gate, reference, safety filter, back-end, state machine. No ROS."""

from .backend import BackendUnavailable, Capabilities, MotionBackend, StreamResult
from .command import JointCommand, TrajectoryPoint
from .controller import MotionController
from .gate import GateSettings, Verdict
from .limits import Box, CartesianLimits, IncompleteLimits, JointLimits, MotionLimits, Obstacle, Scaling
from .robot_model import RobotModel
from .settings import MotionSettings
from .status import ControllerStatus
from .supervisor import MotionState

__all__ = [
    "BackendUnavailable",
    "Box",
    "Capabilities",
    "CartesianLimits",
    "ControllerStatus",
    "GateSettings",
    "IncompleteLimits",
    "JointCommand",
    "JointLimits",
    "MotionBackend",
    "MotionController",
    "MotionLimits",
    "MotionSettings",
    "MotionState",
    "Obstacle",
    "RobotModel",
    "Scaling",
    "StreamResult",
    "TrajectoryPoint",
    "Verdict",
]
