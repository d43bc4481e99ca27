"""Installation with ROS 2 from PyPI: a virtual environment, pinned wheels, our interface wheel, our packages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from prerequisites import interface_wheel_cached, require, require_wheel_platform

ACTIVATE = """\
# Made by ./setup. Source it: the programs of this checkout come first, and no sourced ROS 2 gets between them.
unset PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
. '{root}/.venv/bin/activate'
"""
FOREIGN_VARIABLES = ("PYTHONPATH", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")


def install(root: Path, dev: bool) -> None:
    """Install into ``root/.venv``; what is there already is kept."""
    require_wheel_platform()
    require(compiler=not interface_wheel_cached())
    python = create_environment(root)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["-c", str(root / "requirements" / "constraints.txt")]
    # Building our packages here rather than in isolation spares pip a download for each of them.
    run("build tools", [*pip, "setuptools", "wheel"])
    run("ROS 2 and the packages" + (" for development" if dev else ""), [*pip, *_packages(root, dev)])
    builder = [str(python), str(root / "ros_ws" / "build_interfaces.py"), *(["--moveit"] if dev else [])]
    if subprocess.run([*builder, "--missing"], check=True, capture_output=True, env=_environment()).stdout:
        require(compiler=True)
        run("interface generators", [*pip, "-r", str(root / "requirements" / "interfaces.txt")])
    run("interfaces", builder)
    (root / ".setup" / "activate").write_text(ACTIVATE.format(root=root))


def _packages(root: Path, dev: bool) -> list[str]:
    source = root / "ros_ws" / "src"
    extras = "ros,report,moveit" if dev else "ros,report"
    editable = [f"{source / 'spatial_vla'}[{extras}]", str(source / "spatial_vla_sim")]
    requirements = []
    if dev:
        editable.append(f"{root / 'models'}[export]")
        requirements = ["-r", str(root / "requirements" / "dev.txt")]
    # Older pips would otherwise run `setup.py develop`, which puts the programs where setup.cfg tells ros2 to look.
    return [
        "--no-build-isolation",
        "--use-pep517",
        *(part for path in editable for part in ("-e", path)),
        *requirements,
    ]


def create_environment(root: Path, *options: str) -> Path:
    """Make ``root/.venv`` unless there is a working one; returns its interpreter."""
    python = root / ".venv" / "bin" / "python"
    works = python.exists() and subprocess.run(
        [python, "-m", "pip", "--version"], check=False, capture_output=True
    )
    if not works or works.returncode:
        run("virtual environment", [sys.executable, "-m", "venv", "--clear", *options, str(root / ".venv")])
    return python


def run(step: str, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Run one step, saying what it is and how long it took.

    Raises:
        SystemExit: the command failed; its output is on the terminal.
    """
    print(f"setup: {step} ...", end="", flush=True)
    started = time.monotonic()
    done = subprocess.run(
        command,
        check=False,
        env=environment or _environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(f" {time.monotonic() - started:.0f} s", flush=True)
    if done.returncode:
        raise SystemExit(
            f"{done.stdout}\nsetup: this failed: {' '.join(command)}\n       Mend it and run ./setup again."
        )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
