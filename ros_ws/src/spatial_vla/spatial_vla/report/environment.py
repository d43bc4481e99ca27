"""What a run was made with: versions and device. Numbers without these say little."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = (
    *("spatial_vla", "spatial_vla_sim", "ros-jazzy-rclpy", "numpy", "opencv-python-headless", "onnxruntime"),
    *("pin", "mujoco-core"),
)


def versions() -> dict[str, str]:
    """Version of Python, of the ROS distribution and of every package of ``PACKAGES`` that is installed."""
    found = {"python": platform.python_version(), "ros": os.environ.get("ROS_DISTRO", "jazzy (wheels)")}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def device() -> dict[str, str]:
    """Processor, number of usable cores, memory and system."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.platform(terse=True),
    }


def _field(path: str, name: str) -> str:
    """Value of the first "name : value" line of a /proc file; empty where there is none (ARM has no model name)."""
    if not Path(path).exists():
        return ""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
