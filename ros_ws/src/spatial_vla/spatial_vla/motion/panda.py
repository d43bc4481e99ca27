"""The motion stage for the robot description that ships with the package."""

from __future__ import annotations

from typing import Any

from ..description import ARM_JOINTS, BASE_FRAME, TCP_FRAME, joint_limits, panda_urdf
from .limits import MotionLimits
from .robot_model import RobotModel


def panda_model() -> RobotModel:
    """Kinematics of the Panda's arm, tool centre point between the finger tips."""
    return RobotModel(panda_urdf(), ARM_JOINTS, BASE_FRAME, TCP_FRAME)


def panda_limits(**parts: Any) -> MotionLimits:
    """Limits of the Panda's arm; ``parts`` are fields of :class:`MotionLimits` to set (scaling, workspace, ...)."""
    return MotionLimits.from_urdf(panda_urdf(), joint_limits(), ARM_JOINTS, **parts)
