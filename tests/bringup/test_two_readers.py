"""launch/bringup.launch.py and our runner start the same processes from the one node list."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from spatial_vla.bringup.arguments import BringupArguments, described_arguments
from spatial_vla.bringup.command import node_command
from spatial_vla.bringup.node_list import NodeEntry, all_nodes, bringup_nodes

ROOT = Path(__file__).parents[2]
VARIANTS = [
    {},
    {"namespace": "left", "log_level": "debug", "use_respawn": "true"},
    {"sim": "false", "use_sim_time": "false", "visualize": "false", "use_robot_state_pub": "false"},
    {"rviz": "true", "autostart": "false"},
    {"sim": "false", "backend": "servo", "robot": "fr3", "mock_hardware": "true"},
    {"sim": "false", "backend": "plan", "dry_run": "false"},
    {"scene_plane": "0.3 0.85 -0.35 0.35 0.0"},
]


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def standin(monkeypatch):
    module = load(Path(__file__).with_name("launch_standin.py"), "launch_standin")
    module.install(monkeypatch)
    return module


@pytest.fixture
def launch_file(standin):
    return load(ROOT / "launch/bringup.launch.py", "bringup_launch")


def visit(launch_file, standin, given):
    context = standin.LaunchContext()
    context.launch_configurations.update(given)
    actions = []
    for entity in launch_file.generate_launch_description().entities:
        actions += entity.visit(context)
    return actions


def program(package, executable):
    return f"/opt/{package}/{executable}"


@pytest.mark.parametrize("given", VARIANTS, ids=str)
def test_same_command_lines(launch_file, standin, given):
    entries = bringup_nodes(BringupArguments.from_strings(given))
    ours = [node_command(entry, program(entry.package, entry.executable)) for entry in entries]
    theirs = [action.command(program) for action in visit(launch_file, standin, given)]
    assert ours == theirs
    assert ours


def test_same_command_line_with_every_feature_of_an_entry(launch_file, tmp_path):
    files = (tmp_path / "a.yaml", tmp_path / "b.yaml")
    for file in files:
        file.write_text("/**:\n  ros__parameters:\n    a: 1\n")
    entry = NodeEntry(
        package="package",
        executable="program",
        name="name",
        namespace="/one/two",
        arguments=("-d", "file with space"),
        parameter_files=files,
        parameters={"flag": True, "count": 3, "rate": 0.5, "text": "it's: a text", "number_like": "1"},
        remappings=(("image", "/camera/image"), ("a", "b")),
        log_level="warn",
    )
    assert node_command(entry, program("package", "program")) == launch_file.action(entry).command(program)


def test_launch_ends_with_a_required_node_unless_it_is_restarted(launch_file):
    entry = NodeEntry(package="package", executable="program", name="name")
    assert launch_file.action(entry).on_exit is not None
    assert launch_file.action(replace(entry, required=False)).on_exit is None
    restarted = launch_file.action(replace(entry, respawn=True))
    assert restarted.respawn and restarted.on_exit is None


def test_every_argument_is_declared_and_explained(launch_file, standin):
    declared = [e for e in launch_file.generate_launch_description().entities if hasattr(e, "default_value")]
    assert {d.name for d in declared} == {argument.name for argument in described_arguments()}
    assert all(d.description for d in declared)


def test_wrong_arguments_are_refused(launch_file, standin):
    with pytest.raises(RuntimeError, match="sim"):
        visit(launch_file, standin, {"sim": "maybe"})
    with pytest.raises(ValueError, match="simm"):
        BringupArguments.from_strings({"simm": "true"})
    with pytest.raises(ValueError, match="true or false"):
        BringupArguments.from_strings({"sim": "yes"})
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        bringup_nodes(BringupArguments(params_file="nowhere.yaml"))


@pytest.mark.parametrize("sim", [True, False])
def test_only_a_simulated_arm_arms_itself(sim):
    (motion,) = [entry for entry in bringup_nodes(BringupArguments(sim=sim)) if entry.name == "motion_node"]
    assert motion.parameters["arm_on_start"] is sim
    # A real one only shows what it would do, and wants a deadman switch.
    assert motion.parameters["dry_run"] is not sim and motion.parameters["require_deadman"] is not sim


def test_conditions_select_nodes():
    names = {entry.name for entry in bringup_nodes(BringupArguments(sim=False))}
    assert "sim_node" not in names and "motion_node" in names
    assert len({entry.name for entry in all_nodes(BringupArguments())}) == len(all_nodes(BringupArguments()))


@pytest.mark.skipif(importlib.util.find_spec("launch_ros") is None, reason="needs a full ROS 2 (launch_ros)")
def test_the_real_launch_accepts_the_file():
    launch = pytest.importorskip("launch")
    context = launch.LaunchContext()
    module = load(ROOT / "launch/bringup.launch.py", "bringup_launch_real")
    description = module.generate_launch_description()
    actions = []
    for entity in description.entities:
        actions += entity.visit(context) or []
    assert len(actions) == len(bringup_nodes(BringupArguments()))
    assert "launch_ros" in sys.modules
