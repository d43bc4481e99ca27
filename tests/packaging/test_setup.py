"""./setup decides once where ROS 2 comes from, refuses to mix, and names what is missing."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bootstrap_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bootstrap"))


def test_without_a_distribution_the_mode_is_wheel():
    from mode import decide_mode

    assert decide_mode("auto", None, {}) == "wheel"
    assert decide_mode("auto", "wheel", {}) == "wheel"


def test_a_usable_distribution_is_taken(monkeypatch):
    import mode

    monkeypatch.setattr(mode, "_imports_rclpy", lambda: True)
    assert mode.decide_mode("auto", None, {"ROS_DISTRO": "jazzy"}) == "ros"


def test_half_a_distribution_is_refused(monkeypatch):
    import mode

    monkeypatch.setattr(mode, "_imports_rclpy", lambda: False)
    with pytest.raises(SystemExit, match=r"source /opt/ros/jazzy/setup\.bash"):
        mode.decide_mode("auto", None, {"ROS_DISTRO": "jazzy"})


@pytest.mark.parametrize(
    ("requested", "recorded", "environment"),
    [
        ("auto", "wheel", {"ROS_DISTRO": "jazzy"}),
        ("auto", "ros", {}),
        ("wheel", None, {"ROS_DISTRO": "jazzy"}),
        ("ros", None, {}),
    ],
)
def test_the_two_are_never_mixed(requested, recorded, environment):
    from mode import decide_mode

    with pytest.raises(SystemExit, match=r"setup: .*(shell|source)"):
        decide_mode(requested, recorded, environment)


def test_missing_prerequisites_come_with_one_apt_command(monkeypatch):
    import prerequisites

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "ensurepip" else found(n))
    monkeypatch.setattr(prerequisites.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match=r"sudo apt-get install -y python3\S*-venv g\+\+ python3-colcon"):
        prerequisites.require(compiler=True, colcon=True)


def test_machines_without_wheels_are_told_so(monkeypatch):
    import prerequisites

    monkeypatch.setattr(prerequisites.platform, "machine", lambda: "aarch64")
    with pytest.raises(SystemExit, match="Install ROS 2 Jazzy"):
        prerequisites.require_wheel_platform()


def test_the_hash_changes_with_a_message_and_not_with_a_source_file(tmp_path):
    from state import FILES, FOLDERS, digest

    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    for file in FILES:
        (tmp_path / file).write_text("")
    before = digest(tmp_path)
    module = tmp_path / "ros_ws/src/spatial_vla/spatial_vla/module.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1")
    assert digest(tmp_path) == before
    (tmp_path / "ros_ws/src/spatial_vla_interfaces/A.msg").write_text("bool a")
    assert digest(tmp_path) != before


def test_a_second_call_does_nothing(tmp_path):
    from state import State, digest

    root = tmp_path / "checkout"
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for name in ("setup", "bootstrap", "requirements"):
        (root / name).symlink_to(ROOT / name)
    for name in ("ros_ws", "models"):
        (root / name).symlink_to(ROOT / name)
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python").symlink_to(sys.executable)
    (root / ".setup").mkdir()
    # The script finds its checkout through its own path, so it is copied, not linked.
    (root / "bootstrap").unlink()
    copy(ROOT / "bootstrap", root / "bootstrap")
    (root / "setup").unlink()
    (root / "setup").write_bytes((ROOT / "setup").read_bytes())
    (root / "setup").chmod(0o755)
    State("wheel", True, digest(root)).write(root)
    environment = {name: value for name, value in os.environ.items() if name != "ROS_DISTRO"}
    for arguments in ([], ["--dev"]):
        done = subprocess.run(
            [str(root / "setup"), *arguments], capture_output=True, text=True, check=False, env=environment
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def copy(source, target):
    target.mkdir()
    for file in source.glob("*.py"):
        (target / file.name).write_bytes(file.read_bytes())


def test_constraints_pin_everything_exactly_and_name_no_host():
    text = (ROOT / "requirements/constraints.txt").read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    assert "torch==2.13.0" in pins
    assert any(line.startswith("ros-jazzy-rclpy==") for line in pins)
    assert not [line for line in pins if line.startswith(("torchvision", "nvidia"))]


def test_on_a_distribution_pip_is_asked_for_what_is_not_ros_and_not_ours():
    import distribution

    pytest.importorskip("setuptools", reason="needs the development tools: ./setup --dev")
    needed = distribution._requirements(Path(sys.executable), ROOT / "ros_ws/src/spatial_vla", ("report",))
    names = {re.match(r"[\w-]+", requirement).group().lower() for requirement in needed}
    assert {"onnxruntime", "pin", "daqp", "tyro", "rosbags"} <= names
    assert not {name for name in names if name.startswith(("ros-", "spatial"))} and "pytest" not in names
