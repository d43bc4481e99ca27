"""The robot description that ships with the package: URDF text and the limits that URDF cannot hold."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml

ARM_JOINTS = tuple(f"panda_joint{i}" for i in range(1, 8))
FINGER_JOINTS = ("panda_finger_joint1", "panda_finger_joint2")
BASE_FRAME = "panda_link0"
TCP_FRAME = "panda_tcp"
#: Largest position of one finger [m]; the opening is twice that.
FINGER_TRAVEL = 0.04


def panda_urdf() -> str:
    """URDF of the Panda with hand and wrist camera (the expanded ``urdf/panda.urdf.xacro``)."""
    return _read("panda.urdf")


def joint_limits() -> dict[str, dict[str, Any]]:
    """Joint name -> MoveIt-style entry with ``max_velocity``, ``max_acceleration``, ``max_jerk`` [rad or m, s]."""
    return yaml.safe_load(_read("joint_limits.yaml"))["joint_limits"]


def _read(name: str) -> str:
    return (resources.files("spatial_vla") / "urdf" / name).read_text(encoding="utf-8")
