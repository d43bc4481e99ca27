"""What pip cannot install, and the command that does."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

WHEEL_PYTHONS = ((3, 11), (3, 14))
"""First and last Python version that the pinned wheels support."""


def require_wheel_platform() -> None:
    """Raise SystemExit, naming the way out, if there are no ROS 2 wheels for this machine."""
    machine = f"{platform.system()} {platform.machine()}"
    if machine != "Linux x86_64":
        raise SystemExit(
            f"setup: there are no ROS 2 wheels for {machine}. Install ROS 2 Jazzy or newer (a package or a container), "
            "source it, and run ./setup again."
        )
    first, last = WHEEL_PYTHONS
    if not first <= sys.version_info[:2] <= last:
        raise SystemExit(
            f"setup: Python {platform.python_version()} is too {'old' if sys.version_info[:2] < first else 'new'}; "
            f"{first[0]}.{first[1]} to {last[0]}.{last[1]} will do. Name one: PYTHON=python3.12 ./setup"
        )


def require(*, compiler: bool, colcon: bool = False) -> None:
    """Raise SystemExit with one apt command for everything that is missing."""
    missing = []
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        missing.append(_venv_package())
    if compiler and not (shutil.which("c++") or shutil.which("g++")):
        missing.append("g++")
    if colcon and not shutil.which("colcon"):
        missing.append("python3-colcon-common-extensions")
    if missing:
        raise SystemExit(
            f"setup: missing {', '.join(missing)}. Install with:\n\n    sudo apt-get install -y {' '.join(missing)}\n\n"
            "and run ./setup again."
        )


def _venv_package() -> str:
    # Distributions name the package after the version; their default Python has a plain alias.
    default = Path(sys.executable).resolve() == Path("/usr/bin/python3").resolve()
    return "python3-venv" if default else f"python3.{sys.version_info[1]}-venv"


def interface_wheel_cached() -> bool:
    """Return whether the cache holds an interface wheel for this Python, so that a compiler may not be needed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spatial_vla" / "interfaces"
    return any(cache.glob(f"spatial_vla_interfaces-*-cp3{sys.version_info[1]}-*.whl"))
