"""Where the nodes' programs are, and the environment they run in, with ROS 2 from wheels or from a distribution."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from ..nodes.middleware import VARIABLES, middleware_settings

# A sourced distribution in these would be mixed with the wheels; the last one is the wheels' own marker "libraries are
# set up", which must not reach an interpreter of another environment.
FOREIGN_VARIABLES = ("PYTHONPATH", "AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")


def uses_wheels() -> bool:
    """Return whether this interpreter has ROS 2 from PyPI rather than from a distribution."""
    try:
        metadata.distribution("ros-rclpy")
    except metadata.PackageNotFoundError:
        return False
    return True


def default_domain_id() -> int:
    """Return the DDS domain used when none is set: the user's own, so that two on one machine do not meet."""
    return 10 + os.getuid() % 90


def node_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for node processes, made from ``environment`` (default: this process's).

    With wheels it is cut off from any sourced distribution and gets a DDS domain of its own that stays on this
    machine, unless ROS_DOMAIN_ID or ROS_AUTOMATIC_DISCOVERY_RANGE say otherwise. A distribution's is kept as it is.
    What Fast DDS is told is in :mod:`~spatial_vla.nodes.middleware`.
    """
    result = dict(os.environ if environment is None else environment)
    result["PYTHONUNBUFFERED"] = "1"
    # One small matrix product a tick gains nothing from threads, and threads of many nodes fight for the cores.
    result.setdefault("OMP_NUM_THREADS", "1")
    result.setdefault("OPENBLAS_NUM_THREADS", "1")
    if uses_wheels():
        for variable in FOREIGN_VARIABLES:
            result.pop(variable, None)
        result["AMENT_PREFIX_PATH"] = sys.prefix
        result.setdefault("ROS_DOMAIN_ID", str(default_domain_id()))
        result.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    result.update(middleware_settings(result))
    return result


def join_graph() -> None:
    """Put this process into the DDS domain of the nodes that the runner starts. Call before ``rclpy.init``."""
    environment = node_environment()
    for variable in ("ROS_DOMAIN_ID", *VARIABLES):
        if variable in environment:
            os.environ[variable] = environment[variable]


def find_executable(package: str, executable: str) -> Path:
    """Return the program ``executable`` of the ROS package ``package``.

    Raises:
        FileNotFoundError: it is nowhere; the message names the places and the way out.
    """
    # Not resolved: the interpreter of a virtual environment is a link out of it.
    folders = [Path(sys.executable).parent]
    if not uses_wheels():
        prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
        folders = [Path(prefix) / "lib" / package for prefix in prefixes] + folders
    for folder in folders:
        if (folder / executable).is_file():
            return folder / executable
    if found := shutil.which(executable):
        return Path(found)
    places = ", ".join(map(str, folders))
    raise FileNotFoundError(
        f"no program {executable!r} of package {package!r} in {places} or on PATH; run ./setup"
    )
