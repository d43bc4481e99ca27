"""The arms whose description ships: names, URDF, and the limits that URDF cannot hold."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml


@dataclass(frozen=True)
class Robot:
    """One arm with its hand; every name begins with the robot's.

    Attributes:
        name: prefix of links, joints and controllers.
        limits_file: file of acceleration and jerk limits in ``urdf/``.
    """

    name: str
    limits_file: str

    @property
    def joints(self) -> tuple[str, ...]:
        """The arm's joints, from the base on."""
        return tuple(f"{self.name}_joint{i}" for i in range(1, 8))

    @property
    def fingers(self) -> tuple[str, str]:
        """The hand's joints; the second mimics the first."""
        return f"{self.name}_finger_joint1", f"{self.name}_finger_joint2"

    @property
    def base_frame(self) -> str:
        """Frame of chunks and limits."""
        return f"{self.name}_link0"

    @property
    def tcp_frame(self) -> str:
        """Frame between the finger tips."""
        return f"{self.name}_tcp"

    @property
    def body_frames(self) -> tuple[str, str]:
        """Elbow and flange."""
        return f"{self.name}_link4", f"{self.name}_link8"

    def urdf(self) -> str:
        """URDF text."""
        return _read(f"{self.name}.urdf")

    def limits(self) -> dict[str, Any]:
        """``joint_limits``: joint name -> MoveIt-style entry; ``velocity_by_position``, where there are such limits."""
        return yaml.safe_load(_read(self.limits_file))


ROBOTS = {
    "panda": Robot("panda", "joint_limits.yaml"),
    "fr3": Robot("fr3", "fr3_joint_limits.yaml"),
}


def robot(name: str) -> Robot:
    """The arm of that name. Raises ValueError for an unknown one."""
    if name not in ROBOTS:
        raise ValueError(f"robot is {name!r}; descriptions that ship are {sorted(ROBOTS)}")
    return ROBOTS[name]


def _read(name: str) -> str:
    return (resources.files("spatial_vla") / "urdf" / name).read_text(encoding="utf-8")
