"""The images cannot be built in a test; every script that they run can be run, and every path they name exists."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
IMAGES = sorted(DOCKER.glob("*.Dockerfile"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A stand-in for /opt/spatial_vla: real scripts, real weights, a ROS that only says that it was sourced."""
    root = tmp_path / "root"
    (root / ".setup").mkdir(parents=True)
    for name in ("docker", "export", "ros_ws"):
        (root / name).symlink_to(ROOT / name)
    (root / ".setup" / "activate").write_text("export SOURCED=$SOURCED,workspace\n")
    (tmp_path / "setup.bash").write_text("export SOURCED=ros\n")
    return root


def run(home: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    values = {"SPATIAL_VLA_ROOT": str(home), "ROS_SETUP": str(home.parent / "setup.bash"), **environment}
    command = [str(DOCKER / script), *arguments]
    return subprocess.run(command, env={**os.environ, **values}, capture_output=True, text=True, check=False)


def stand_in(folder: Path, code: str) -> str:
    """A PATH whose python3 writes down how it was called."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "python3"
    program.write_text(f"#!/usr/bin/env bash\n{code}\n")
    program.chmod(0o755)
    return f"{folder / 'bin'}:{os.environ['PATH']}"


def test_entrypoint_sources_everything_and_becomes_the_command(home: Path) -> None:
    done = run(home, "entrypoint.sh", "bash", "-c", "echo $SOURCED; exit 7")
    assert (done.stdout.strip(), done.returncode) == ("ros,workspace", 7), done.stderr


def test_entrypoint_stops_where_ros_is_missing(home: Path) -> None:
    done = run(home, "entrypoint.sh", "echo", "started", ROS_SETUP="/nowhere/setup.bash")
    assert done.returncode != 0 and "started" not in done.stdout


BUILDS = 'echo "$2" >> "$LOG"; touch "${2%.onnx}.engine" "${2%.onnx}.engine.json"'


def test_engines_are_built_once_and_again_when_the_policy_changed(home: Path, tmp_path: Path) -> None:
    path, log, folder = stand_in(tmp_path, BUILDS), tmp_path / "log", tmp_path / "bundle"
    for _ in range(2):
        done = run(home, "build_engines.sh", str(folder), PATH=path, LOG=str(log))
        assert done.returncode == 0, done.stderr
    built = [f"{folder}/{stage}.onnx" for stage in ("encoder", "decoder")]
    assert log.read_text().split() == built
    (folder / "manifest.json").write_text("another policy")
    run(home, "build_engines.sh", str(folder), PATH=path, LOG=str(log))
    assert log.read_text().split() == 2 * built


def test_a_build_that_fails_stops_the_container(home: Path, tmp_path: Path) -> None:
    path = stand_in(tmp_path, "exit 2")
    environment = {"PATH": path, "BUILD_ENGINES": "1", "ENGINES": str(tmp_path / "bundle")}
    done = run(home, "entrypoint.sh", "echo", "started", **environment)
    assert done.returncode == 2 and "started" not in done.stdout


def test_without_a_folder_the_usage_is_told(home: Path) -> None:
    assert "usage: build_engines.sh FOLDER" in run(home, "build_engines.sh").stderr


def test_options_that_scripts_use_exist() -> None:
    text = (ROOT / "export" / "to_trt.py").read_text()
    for option in re.findall(r"to_trt\.py.* (--[a-z-]+)", (DOCKER / "build_engines.sh").read_text()):
        assert f'"{option}"' in text


@pytest.mark.parametrize("image", IMAGES, ids=lambda p: p.stem)
def test_images_run_as_nobody_special_in_two_stages_from_pinned_packages(image: Path) -> None:
    text = image.read_text()
    assert len(re.findall(r"^FROM", text, re.M)) == 2
    last = text[text.rindex("\nFROM") :]
    assert re.search(r"^USER [1-9]\d*$", last, re.M)
    assert "latest" not in text
    for package, pin in re.findall(r'"([a-z-]+)==([\d.]+)"', text):
        assert f"{package}=={pin}" in (ROOT / "requirements" / "constraints.txt").read_text()
    for path in re.findall(r"/opt/spatial_vla/(docker/[\w.]+)", text):
        assert os.access(ROOT / path, os.X_OK)


def test_compose_names_what_is_there() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert (ROOT / services["robot"]["build"]["dockerfile"]).is_file()
    assert (ROOT / services["rviz"]["command"][-1].removeprefix("/opt/spatial_vla/")).is_file()
