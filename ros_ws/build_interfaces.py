"""Build our interface packages into wheels against the ROS 2 wheels of this Python environment, and install them.

    .venv/bin/python ros_ws/build_interfaces.py [--moveit]

A wheel is kept in ``$XDG_CACHE_HOME/spatial_vla/interfaces`` (``~/.cache`` by default) under a hash of everything that
goes into it, so that it is compiled once per machine. Under a full ROS 2 colcon builds the packages instead, and this
script is not used. It needs the standard library, and the build tools of ``requirements/interfaces.txt`` in the
environment, but only if a wheel is missing.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROS_WS = Path(__file__).resolve().parent
INCLUDE_FIX = ROS_WS / "cmake" / "existing_includes_only.cmake"
PACKAGES = ("tf2_msgs", "vision_msgs", "spatial_vla_interfaces")
# What it takes to talk to a move_group; each is compiled against those before it.
MOVEIT_PACKAGES = ("object_recognition_msgs", "octomap_msgs", "moveit_msgs")
# What the generated code is compiled against or by; another version of one of these means another wheel.
ABI_DISTRIBUTIONS = (
    "ros-rclpy",
    "ros-rosidl-generator-py",
    "ros-rosidl-runtime-c",
    "ros-fastcdr",
    "ros-sensor-msgs",
)


@dataclass(frozen=True)
class Interfaces:
    """One interface package: its sources, and the name of the wheel they make in this environment."""

    source: Path
    name: str
    version: str
    requires: tuple[str, ...]
    digest: str

    @property
    def tag(self) -> str:
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        return f"{python}-{python}-{re.sub(r'[-.]', '_', sysconfig.get_platform())}"

    @property
    def wheel_version(self) -> str:
        """The version with the hash in it, so that pip sees that changed definitions are another wheel."""
        return f"{self.version}+{self.digest}"

    @property
    def wheel_name(self) -> str:
        return f"{self.name}-{self.wheel_version}-{self.tag}.whl"


def read_package(source: Path) -> Interfaces:
    """Read name, version and dependencies from package.xml and hash everything the wheel depends on."""
    manifest = (source / "package.xml").read_text()
    version = re.search(r"<version>(.+?)</version>", manifest)
    if version is None:
        raise SystemExit(f"{source / 'package.xml'} has no <version>")
    depends = re.findall(r"<depend>(.+?)</depend>", manifest)
    requires = tuple(_distribution(name) for name in depends)
    # The generated code of a package that we build includes headers of those that it depends on.
    ours = [source.parent / name for name in depends if (source.parent / name).is_dir()]
    return Interfaces(source, source.name, version.group(1), requires, _digest([source, *ours]))


def _distribution(package: str) -> str:
    """Return the PyPI name of a ROS package; the lowest-level ones exist only without the distro in the name."""
    if package in MOVEIT_PACKAGES:
        return package
    name = package.replace("_", "-")
    installed = {distribution.name for distribution in metadata.distributions(name=f"ros-jazzy-{name}")}
    return f"ros-jazzy-{name}" if installed else f"ros-{name}"


def _digest(sources: Sequence[Path]) -> str:
    digest = hashlib.sha256(sys.implementation.cache_tag.encode())
    for name in ABI_DISTRIBUTIONS:
        digest.update(f"{name}=={metadata.version(name)}\n".encode())
    files = [sorted(p for p in source.rglob("*") if p.is_file()) for source in sources]
    for path in (Path(__file__), INCLUDE_FIX, *itertools.chain(*files)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def cache_directory() -> Path:
    """Return the folder of built wheels, created if missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache / "spatial_vla" / "interfaces"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def build(package: Interfaces, wheel: Path) -> None:
    """Compile ``package`` into a staging folder and zip that to ``wheel``.

    Raises:
        SystemExit: a build tool is missing or the compilation fails; the message holds the way out or the log.
    """
    if shutil.which("c++") is None and shutil.which("g++") is None:
        raise SystemExit("The interface package needs a C++ compiler: sudo apt-get install -y g++")
    with tempfile.TemporaryDirectory(prefix=f"{package.name}-") as scratch:
        staging = Path(scratch) / "install"
        _compile(package.source, Path(scratch) / "build", staging)
        unfinished = wheel.with_suffix(f".{os.getpid()}.tmp")
        _write_wheel(package, staging, unfinished)
        unfinished.replace(wheel)


def _compile(source: Path, build_directory: Path, staging: Path) -> None:
    bin_directory = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    environment |= {
        "PATH": f"{bin_directory}{os.pathsep}{os.environ.get('PATH', '')}",
        "AMENT_PREFIX_PATH": sys.prefix,
        "CMAKE_PREFIX_PATH": sys.prefix,
    }
    # The bootstrapper of the ROS wheels sets this and would keep child interpreters from finding the libraries.
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    configure = [
        *(
            "cmake",
            "-S",
            str(source),
            "-B",
            str(build_directory),
            "-G",
            "Ninja",
            "-DCMAKE_BUILD_TYPE=Release",
        ),
        *(
            f"-DCMAKE_INSTALL_PREFIX={staging}",
            f"-DPython3_EXECUTABLE={sys.executable}",
            "-DBUILD_TESTING=OFF",
        ),
        f"-DCMAKE_PROJECT_INCLUDE={INCLUDE_FIX}",
    ]
    for command in (configure, ["cmake", "--build", str(build_directory), "--target", "install"]):
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            raise SystemExit(f"{done.stdout[-6000:]}\nBuilding {source.name} failed: {' '.join(command)}")


def _write_wheel(package: Interfaces, staging: Path, wheel: Path) -> None:
    stem = f"{package.name}-{package.wheel_version}"
    requires = "".join(f"Requires-Dist: {name}\n" for name in package.requires)
    entries = {name: path.read_bytes() for name, path in _members(staging, f"{stem}.data/data")}
    entries[f"{stem}.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {package.wheel_version}\n{requires}".encode()
    )
    entries[f"{stem}.dist-info/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: build_interfaces\nRoot-Is-Purelib: false\nTag: {package.tag}\n".encode()
    )
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{name},sha256={_record_hash(data)},{len(data)}" for name, data in entries.items()]
    entries[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def _members(staging: Path, data: str) -> Iterator[tuple[str, Path]]:
    """Yield (name in the wheel, file): Python modules to the root; libraries, headers and share to ``data``."""
    for path in sorted(p for p in staging.rglob("*") if p.is_file()):
        parts = path.relative_to(staging).parts
        packages = next(
            (i for i, part in enumerate(parts) if part in ("site-packages", "dist-packages")), None
        )
        if packages is not None:
            # The egg-info would make pip see the distribution twice.
            if not parts[packages + 1].endswith(".egg-info"):
                yield "/".join(parts[packages + 1 :]), path
        elif parts[0] in ("share", "include") or (parts[0] == "lib" and ".so" in path.name):
            yield "/".join((data, *parts)), path


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def main() -> None:
    """Build what the cache lacks, and install all interface packages into this environment."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--missing", action="store_true", help="list the wheels that would have to be compiled, and stop"
    )
    parser.add_argument(
        "--moveit", action="store_true", help="also the part of moveit_msgs that plans and moves"
    )
    arguments = parser.parse_args()
    names = PACKAGES + (MOVEIT_PACKAGES if arguments.moveit else ())
    packages = [read_package(ROS_WS / "src" / name) for name in names]
    wheels = [cache_directory() / package.wheel_name for package in packages]
    if arguments.missing:
        print("\n".join(str(wheel) for wheel in wheels if not wheel.exists()), end="")
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    for package, wheel in zip(packages, wheels, strict=True):
        if not wheel.exists():
            print(f"compiling {package.name} (once per machine, up to a minute) ...", flush=True)
            build(package, wheel)
        # At once: the next may be compiled against it.
        subprocess.run([*pip, str(wheel)], check=True)


if __name__ == "__main__":
    main()
