"""Our packages as pip wheels carry what the nodes read at run time, and the core installs without torch or ROS."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "ros_ws/src"
pytest.importorskip("wheel", reason="needs the development tools: ./setup --dev")


def build(source, into):
    # A copy, links followed: building leaves folders behind.
    copy = into / "source"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "build"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(into), str(copy)], check=True, capture_output=True)
    (wheel,) = into.glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    return build(SOURCES / "spatial_vla", tmp_path_factory.mktemp("core"))


def read(wheel, ending):
    (name,) = [name for name in wheel.namelist() if name.endswith(ending)]
    return wheel.read(name).decode()


def test_run_time_files_are_package_data(core):
    names = set(core.namelist())
    assert "spatial_vla/urdf/panda.urdf" in names
    assert "spatial_vla/launch/config/spatial_vla.yaml" in names
    assert "spatial_vla/launch/bringup.launch.py" in names
    weights = SOURCES / "spatial_vla/spatial_vla/policy/weights"
    for file in (path for path in weights.rglob("*") if path.is_file()):
        assert f"spatial_vla/policy/weights/{file.relative_to(weights)}" in names


def test_package_data_is_the_top_level_original_not_a_copy(core):
    for folder in ("urdf", "launch"):
        link = SOURCES / "spatial_vla/spatial_vla" / folder
        assert link.is_symlink() and link.resolve() == ROOT / folder
    assert core.read("spatial_vla/urdf/panda.urdf") == (ROOT / "urdf/panda.urdf").read_bytes()


def test_ros_tools_find_the_share_folder(core):
    names = {name.partition(".data/data/")[2] for name in core.namelist()}
    assert "share/ament_index/resource_index/packages/spatial_vla" in names
    assert {
        "share/spatial_vla/package.xml",
        "share/spatial_vla/launch/bringup.launch.py",
        "share/spatial_vla/config/spatial_vla.yaml",
        "share/spatial_vla/urdf/panda.urdf",
    } <= names


def test_the_core_requires_neither_torch_nor_ros(core):
    needed = [line for line in read(core, "/METADATA").splitlines() if line.startswith("Requires-Dist")]
    always = [line for line in needed if "extra ==" not in line]
    assert always and not any(
        word in line.lower() for line in always for word in ("torch", "ros-", "lightning")
    )
    assert any("ros-jazzy-rclpy[fastrtps]" in line and "extra ==" in line for line in needed)


def test_every_console_script_leads_to_a_main(core):
    lines = [line for line in read(core, "/entry_points.txt").splitlines() if "=" in line]
    files = set(core.namelist())
    for line in lines:
        module = line.split("=")[1].strip().split(":")[0].replace(".", "/")
        assert f"{module}.py" in files or f"{module}/__init__.py" in files, line


def test_the_simulation_package_is_complete(tmp_path):
    wheel = build(SOURCES / "spatial_vla_sim", tmp_path)
    assert "spatial_vla_sim/sim_node.py" in wheel.namelist()
    assert "sim_node = spatial_vla_sim.sim_node:main" in read(wheel, "/entry_points.txt")
