"""The robot descriptions that ship with the package: URDF text and the limits that URDF cannot hold."""

from __future__ import annotations

from typing import Any

from .robots import ROBOTS, Robot, robot

__all__ = [
    "ARM_JOINTS",
    "BASE_FRAME",
    "FINGER_JOINTS",
    "FINGER_TRAVEL",
    "ROBOTS",
    "Robot",
    "TCP_FRAME",
    "joint_limits",
    "panda_urdf",
    "robot",
]

PANDA = ROBOTS["panda"]
ARM_JOINTS = PANDA.joints
FINGER_JOINTS = PANDA.fingers
BASE_FRAME = PANDA.base_frame
TCP_FRAME = PANDA.tcp_frame
#: Largest position of one finger [m]; the opening is twice that.
FINGER_TRAVEL = 0.04


def panda_urdf() -> str:
    """URDF of the Panda with hand and wrist camera (the expanded ``urdf/panda.urdf.xacro``)."""
    return PANDA.urdf()


def joint_limits() -> dict[str, dict[str, Any]]:
    """The Panda's: joint name -> MoveIt-style entry with ``max_velocity``, ``max_acceleration``, ``max_jerk``."""
    return PANDA.limits()["joint_limits"]
