"""Installation on a full ROS 2: colcon builds the packages; pip supplies only what the distribution does not have."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from prerequisites import require
from wheels import create_environment, run

ACTIVATE = """\
# Made by ./setup. Source it, with the ROS 2 distribution sourced before.
. '{root}/.venv/bin/activate'
. '{root}/ros_ws/install/local_setup.bash'
export PATH='{root}/ros_ws/install/spatial_vla/lib/spatial_vla':"$PATH"
"""
# Names, not versions: the distribution decides about numpy and its like.
READ_REQUIREMENTS = """
import os, sys
from email.parser import Parser
from setuptools import build_meta
source, scratch = sys.argv[1:]  # setuptools changes sys.argv
os.chdir(source)
folder = build_meta.prepare_metadata_for_build_wheel(scratch)
for line in Parser().parse(open(os.path.join(scratch, folder, 'METADATA'))).get_all('Requires-Dist', []):
    print('requires:' + line)
"""


def install(root: Path, dev: bool) -> None:
    """Install pip's part into ``root/.venv`` on top of the system's packages, then build the workspace."""
    require(compiler=True, colcon=True)
    python = create_environment(root, "--system-site-packages")
    environment = _environment(root)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    source = root / "ros_ws" / "src"
    run("build tools", [*pip, "setuptools<80", "wheel"], environment)
    needed = _requirements(python, source / "spatial_vla", ("report",))
    needed += _requirements(python, source / "spatial_vla_sim", ())
    if dev:
        needed += [
            *_requirements(python, root / "models", ("export",)),
            "-r",
            str(root / "requirements" / "dev.txt"),
        ]
    run("what the distribution does not have", [*pip, *needed], environment)
    if dev:
        run(
            "spatial_models",
            [*pip, "--no-deps", "--no-build-isolation", "-e", str(root / "models")],
            environment,
        )
    build_workspace(root)
    (root / ".setup" / "activate").write_text(ACTIVATE.format(root=root))


def build_workspace(root: Path) -> None:
    """Let colcon bring ros_ws/install up to date with the sources, which takes seconds when little has changed."""
    # Only ros_ws/src: colcon would crawl the virtual environment and build what it finds there. No --symlink-install:
    # the programs it makes name colcon's interpreter, those of a plain one take the virtual environment's.
    workspace = [f"--{option}={root / 'ros_ws' / folder}" for option, folder in _BASES.items()]
    command = ["colcon", f"--log-base={root / 'ros_ws' / 'log'}", "build", *workspace]
    run("colcon build", command, _environment(root))


def _environment(root: Path) -> dict[str, str]:
    return dict(os.environ) | {"PATH": f"{root / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}


_BASES = {"base-paths": "src", "build-base": "build", "install-base": "install"}


def _requirements(python: Path, package: Path, extras: tuple[str, ...]) -> list[str]:
    """Return what ``package`` needs from pip, without our own packages."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(python), "-c", READ_REQUIREMENTS, str(package), scratch]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    requirements = []
    for line in lines:
        if not line.startswith("requires:"):
            continue
        requirement, _, marker = line.removeprefix("requires:").partition(";")
        wanted = not marker or any(f'"{extra}"' in marker or f"'{extra}'" in marker for extra in extras)
        if wanted and not requirement.startswith(("spatial_vla", "spatial-vla")):
            requirements.append(requirement.strip())
    return requirements
