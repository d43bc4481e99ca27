"""Checks of the installation: each returns what it found and, if something is missing, the command that gets it."""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from spatial_vla.bringup.environment import uses_wheels
from spatial_vla.realtime import WAY_OUT, request_realtime

Status = Literal["ok", "absent", "missing"]
INTERFACES = ("spatial_vla_interfaces", "tf2_msgs", "vision_msgs")
RECEIVE_BUFFER = Path("/proc/sys/net/core/rmem_max")
#: What nodes/fastdds.xml asks for [bytes].
WANTED_BUFFER = 4 << 20
NVIDIA_QUERY = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")


@dataclass(frozen=True)
class Check:
    """One finding: ``ok``, ``absent`` (optional and not there) or ``missing`` (needed and not there)."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def installation_checks() -> list[Check]:
    """Run every check that needs no running node."""
    return [
        _system(),
        _mode(),
        _no_mixture(),
        _interfaces(),
        _distribution("onnxruntime", _onnx_providers),
        _distribution("mujoco-core", optional="pip install -e ros_ws/src/spatial_vla_sim"),
        _distribution("pin"),
        _distribution("daqp"),
        _distribution("torch", optional="./setup --dev (for training only)"),
        _gl(),
        _realtime(),
        _socket_buffers(),
        _gpu(),
        _compiler(),
        _weights(),
    ]


def _system() -> Check:
    cores = len(os.sched_getaffinity(0))
    found = (
        f"Python {platform.python_version()} in {sys.prefix}, {platform.platform(terse=True)}, {cores} cores"
    )
    return Check("system", "ok", found)


def _mode() -> Check:
    if uses_wheels():
        return Check("ROS 2", "ok", f"Jazzy from wheels, rclpy {metadata.version('ros-rclpy')}")
    if importlib.util.find_spec("rclpy") is not None:
        return Check("ROS 2", "ok", f"{os.environ.get('ROS_DISTRO', 'unnamed')}, installed distribution")
    return Check("ROS 2", "missing", "no rclpy", "./setup")


def _no_mixture() -> Check:
    distro = os.environ.get("ROS_DISTRO")
    if uses_wheels() and distro:
        found = f"ROS 2 {distro} is sourced in this shell on top of the wheels"
        return Check("one ROS 2", "missing", found, "open a shell in which no setup.bash is sourced")
    return Check("one ROS 2", "ok", "nothing is mixed")


def _interfaces() -> Check:
    try:
        for name in INTERFACES:
            importlib.import_module(f"{name}.msg")
    except ImportError as error:
        return Check("interfaces", "missing", str(error), "./setup")
    try:
        return Check("interfaces", "ok", metadata.version("spatial_vla_interfaces"))
    except metadata.PackageNotFoundError:
        return Check("interfaces", "ok", "from the workspace")


def _distribution(name: str, detail: object = None, optional: str = "") -> Check:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, "absent" if optional else "missing", "not installed", optional or "./setup")
    return Check(name, "ok", version + (f", {detail()}" if callable(detail) else ""))


def _onnx_providers() -> str:
    import onnxruntime

    return ", ".join(name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers())


def _gl() -> Check:
    libraries = [name for name in ("OSMesa", "EGL") if ctypes.util.find_library(name)]
    if libraries:
        return Check("GL", "ok", ", ".join(libraries))
    found = "no OSMesa, no EGL; the simulated cameras cast rays instead"
    return Check("GL", "absent", found, "sudo apt-get install -y --no-install-recommends libosmesa6")


def _realtime() -> Check:
    """Asked in a thread of its own, which takes the priority with it."""
    with ThreadPoolExecutor(1) as thread:
        refused = thread.submit(request_realtime, 1, (0,)).result()
    if refused:
        return Check("real-time priority", "absent", "refused; the control loop takes its turn", WAY_OUT)
    return Check("real-time priority", "ok", "the control loop comes first")


def _socket_buffers() -> Check:
    granted = int(RECEIVE_BUFFER.read_text())
    if granted >= WANTED_BUFFER:
        return Check("socket buffers", "ok", f"{granted >> 10} KiB")
    found = f"{granted >> 10} KiB at most; images may be lost while nodes come and go"
    return Check("socket buffers", "absent", found, f"sudo sysctl -w net.core.rmem_max={WANTED_BUFFER}")


def _gpu() -> Check:
    if shutil.which("nvidia-smi") is None:
        return Check("GPU", "absent", "no nvidia-smi; inference runs on the CPU")
    done = subprocess.run(NVIDIA_QUERY, check=False, capture_output=True, text=True, timeout=20)
    if done.returncode:
        return Check("GPU", "absent", (done.stdout + done.stderr).strip().splitlines()[0])
    return Check("GPU", "ok", "; ".join(done.stdout.strip().splitlines()))


def _compiler() -> Check:
    if compiler := shutil.which("c++") or shutil.which("g++"):
        return Check("C++ compiler", "ok", compiler)
    found = "none; needed only to build the interfaces anew"
    return Check("C++ compiler", "absent", found, "sudo apt-get install -y g++")


def _weights() -> Check:
    try:
        from spatial_vla.policy import Decoder, Encoder, default_bundle

        bundle = default_bundle()
        names = (f"{kind.__name__} {kind(bundle).manifest.hash[:12]}" for kind in (Encoder, Decoder))
        return Check("weights", "ok", f"{', '.join(names)} in {bundle}")
    except Exception as error:  # Whatever is wrong with the weights is the finding.
        return Check("weights", "missing", f"{type(error).__name__}: {error}", "git pull, then ./setup")
