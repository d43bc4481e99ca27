"""Dependencies point one way: core <- nodes, core <- spatial_models <- export, core <- spatial_vla_sim."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "ros_ws/src/spatial_vla/spatial_vla"
SIM = ROOT / "ros_ws/src/spatial_vla_sim/spatial_vla_sim"
MODELS = ROOT / "models/spatial_models"

TORCH = {"torch", "torchvision", "lightning", "pytorch_lightning", "hydra", "omegaconf", "transformers"}
ROS = {
    *(
        "rclpy",
        "rcl_interfaces",
        "builtin_interfaces",
        "std_msgs",
        "std_srvs",
        "sensor_msgs",
        "geometry_msgs",
    ),
    *(
        "trajectory_msgs",
        "visualization_msgs",
        "diagnostic_msgs",
        "lifecycle_msgs",
        "nav_msgs",
        "rosgraph_msgs",
    ),
    *("tf2_msgs", "tf2_ros", "vision_msgs", "moveit_msgs", "spatial_vla_interfaces", "launch", "launch_ros"),
}
OURS = {"spatial_vla", "spatial_vla_sim", "spatial_models"}
ABSENT_FROM_WHEELS = {"cv_bridge", "message_filters", "sensor_msgs_py", "rosbag2_py", "control_msgs"}
# In these a ROS import is the point.
ROS_FOLDERS = (CORE / "nodes", CORE / "tf")
# These run under another interpreter, in Meta-World's own environment, and nothing of ours imports them.
METAWORLD_FILES = {"worker.py", "ray_picture.py"}
# The nodes of the simulation, and what converts its messages.
SIM_ROS_FILES = {"sim_node.py", "messages.py", "camera_publisher.py", "commands.py"}


def imports(path):
    """Yield (top-level module, full name, line number) of every absolute import in a file, also of guarded ones."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], node.module, node.lineno


def offences(files, forbidden):
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for top, name, line in imports(path)
        if top in forbidden
    ]


def sources(folder, *, without=()):
    files = [
        path for path in sorted(folder.rglob("*.py")) if not any(root in path.parents for root in without)
    ]
    # A link inside the package leads to the launch files.
    return [path for path in files if (CORE / "launch") not in path.parents]


def test_there_is_something_to_check():
    assert len(sources(CORE)) > 20
    assert ROS_FOLDERS[0].is_dir()


@pytest.mark.parametrize("folder", [CORE, SIM], ids=["spatial_vla", "spatial_vla_sim"])
def test_what_runs_on_the_robot_or_simulates_it_needs_no_torch(folder):
    assert not offences(sources(folder), TORCH | {"spatial_models"})


def test_only_nodes_and_the_transform_seam_know_ros():
    assert not offences(sources(CORE, without=ROS_FOLDERS), ROS)


def test_the_core_knows_nothing_built_on_it():
    assert not offences(sources(CORE), OURS - {"spatial_vla"})


def test_the_core_does_not_need_mujoco():
    assert not offences(sources(CORE), {"mujoco"})


def test_what_the_simulation_computes_needs_no_ros():
    files = [path for path in sources(SIM) if path.name not in SIM_ROS_FILES]
    assert not offences(files, ROS)


def test_the_core_and_the_simulation_load_neither_ros_nor_torch():
    modules = ["spatial_vla.geometry", "spatial_vla.actions", "spatial_vla.policy", "spatial_vla.motion"]
    modules += ["spatial_vla.viz", "spatial_vla_sim.world", "spatial_vla_sim.referee"]
    code = f"import sys, {', '.join(modules)}; print([m for m in ('rclpy', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.skipif(not MODELS.is_dir(), reason="no models in this installation")
def test_training_needs_no_ros_and_no_simulation():
    elsewhere = {MODELS / "spa/evaluation/metaworld" / name for name in METAWORLD_FILES}
    ours = [path for path in sources(MODELS) if path not in elsewhere]
    assert not offences(ours, ROS | {"mujoco", "metaworld", "spatial_vla_sim"})
    nodes = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources(MODELS)
        for _, name, line in imports(path)
        if name.startswith("spatial_vla.nodes")
    ]
    assert not nodes


@pytest.mark.parametrize("folder", [CORE, SIM, MODELS], ids=lambda folder: folder.name)
def test_nothing_needs_what_the_ros_wheels_lack(folder):
    assert not offences(sources(folder), ABSENT_FROM_WHEELS)


def test_nodes_stay_thin():
    long = {path.name: len(path.read_text().splitlines()) for path in sources(CORE / "nodes")}
    assert not {name: lines for name, lines in long.items() if lines > 220}


def test_every_file_is_of_a_size_one_can_read():
    files = [path for folder in (CORE, SIM, MODELS) for path in sources(folder)]
    assert not {str(p): n for p in files if (n := len(p.read_text().splitlines())) > 400}
