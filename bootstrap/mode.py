"""Where ROS 2 comes from in this checkout: decided once, never mixed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping


def decide_mode(requested: str, recorded: str | None, environment: Mapping[str, str]) -> str:
    """Return "wheel" or "ros".

    Args:
        requested: "auto", "wheel" or "ros".
        recorded: what an earlier set-up of this checkout decided, or None.
        environment: of this process; ROS_DISTRO in it means that a distribution is sourced.

    Raises:
        SystemExit: the request or the environment contradicts the earlier decision, or a distribution is sourced that
            Python cannot use.
    """
    distro = environment.get("ROS_DISTRO")
    if requested == "ros" and not distro:
        raise SystemExit(
            "setup: --mode ros needs a sourced ROS 2, for example: source /opt/ros/jazzy/setup.bash"
        )
    if requested == "wheel" and distro:
        raise SystemExit(
            f"setup: --mode wheel in a shell where ROS 2 {distro} is sourced would mix the two; open a shell without it"
        )
    mode = "ros" if distro else "wheel"
    if recorded is not None and recorded != mode:
        raise SystemExit(_contradiction(recorded, distro))
    if mode == "ros" and not _imports_rclpy():
        raise SystemExit(
            f"setup: ROS_DISTRO={distro} is set, but python3 cannot import rclpy. Source the whole distribution "
            f"(source /opt/ros/{distro}/setup.bash, package ros-{distro}-ros-base), or unset ROS_DISTRO to take ROS 2 "
            "from wheels."
        )
    return mode


def _contradiction(recorded: str, distro: str | None) -> str:
    if recorded == "wheel":
        return (
            f"setup: this checkout has its ROS 2 from wheels, but ROS 2 {distro} is sourced in this shell, and the two "
            "must not mix. Open a shell without it, or start over with it: make clean && ./setup"
        )
    return (
        "setup: this checkout was built on a ROS 2 distribution, but none is sourced in this shell. Source it "
        "(source /opt/ros/jazzy/setup.bash), or start over with wheels: make clean && ./setup"
    )


def _imports_rclpy() -> bool:
    return subprocess.run(["python3", "-c", "import rclpy"], check=False, capture_output=True).returncode == 0
