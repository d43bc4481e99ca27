"""The files of MoveIt and ros2_control, as far as they can be judged without MoveIt: names exist, values fit."""

from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.mock_hardware import PLUGIN, with_mock_hardware
from spatial_vla.bringup.moveit import controllers, moveit_nodes, semantic, start_positions
from spatial_vla.bringup.node_list import bringup_nodes, package_file
from spatial_vla.description import ROBOTS
from spatial_vla.motion import MotionLimits, RobotModel
from spatial_vla.motion.guard import OutputGuard
from spatial_vla.motion.self_collision import SelfCollision
from spatial_vla.motion.stop_ramp import JointMotion, StopPlanner

SCHEMA = yaml.safe_load(Path(__file__).with_name("moveit_schema.yaml").read_text())
TYPES = {"str": str, "bool": bool, "int": int, "float": float}


@pytest.fixture(params=ROBOTS.values(), ids=list(ROBOTS))
def arm(request):
    return request.param


def parameters(arm, file):
    """ "a.b.c" -> value; a section for one node is prefixed by the node's name."""
    flat = {}

    def flatten(prefix, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                flatten(f"{prefix}.{key}" if prefix else key, inner)
        else:
            flat[prefix] = value

    text = package_file(f"launch/config/moveit/{arm.name}/{file}").read_text()
    for node, section in yaml.safe_load(text).items():
        assert node.startswith("/**") and list(section) == ["ros__parameters"], node
        flatten(node.removeprefix("/**").strip("/"), section["ros__parameters"])
    return flat


def names(arm):
    """Names by kind that a file may use."""
    srdf, urdf = ElementTree.fromstring(semantic(arm)), ElementTree.fromstring(arm.urdf())
    planners = [
        p.split(".")[2] for p in parameters(arm, "move_group.yaml") if p.startswith("ompl.planner_configs.")
    ]
    return {
        "group": {g.attrib["name"] for g in srdf.findall("group")},
        "joint": {j.attrib["name"] for j in urdf.findall("joint") if j.get("type") != "fixed"},
        "link": {link.attrib["name"] for link in urdf.findall("link")},
        "controller": set(controllers(arm)),
        "pipeline": {"ompl", "pilz_industrial_motion_planner"},
        "planner": set(planners),
    }


def rule(schema, path, known):
    """The schema's entry for a parameter; names in angle brackets match the known ones."""
    parts = path.split(".")
    for pattern, entry in schema.items():
        wanted = pattern.split(".")
        if len(wanted) == len(parts) and all(
            part in known[want[1:-1]] if want.startswith("<") else want == part
            for want, part in zip(wanted, parts, strict=True)
        ):
            return entry
    return None


def fits(entry, value, known):
    kind = entry["type"]
    if kind.startswith("list["):
        inner = {**entry, "type": kind[5:-1]}
        return isinstance(value, list) and value != [] and all(fits(inner, item, known) for item in value)
    return (
        type(value) is TYPES[kind]
        and value in entry.get("choices", [value])
        and ("low" not in entry or entry["low"] <= value <= entry["high"])
        and ("kind" not in entry or value in known[entry["kind"]])
    )


@pytest.mark.parametrize("file", list(SCHEMA))
def test_every_parameter_is_known_and_its_value_fits(arm, file):
    known = names(arm)
    for path, value in parameters(arm, file).items():
        entry = rule(SCHEMA[file], path, known)
        assert entry is not None, f"{file}: {path} is no parameter, or names something that does not exist"
        assert fits(entry, value, known), f"{file}: {path} is {value!r}, expected {entry}"


def test_a_name_or_type_that_is_wrong_is_noticed(arm):
    known = names(arm)
    assert rule(SCHEMA["servo.yaml"], "moveit_servo.move_group", known) is None
    assert (
        rule(SCHEMA["model.yaml"], "robot_description_planning.joint_limits.joint9.max_velocity", known)
        is None
    )
    assert not fits({"type": "float"}, 1, known) and not fits({"type": "str", "kind": "group"}, "arm", known)


def test_srdf_names_exist_and_chains_hold(arm):
    srdf, known = ElementTree.fromstring(semantic(arm)), names(arm)
    assert srdf.get("name") == ElementTree.fromstring(arm.urdf()).get("name") == arm.name
    for element in srdf.iter():
        for attribute in ("link", "link1", "link2", "base_link", "tip_link", "parent_link"):
            assert element.get(attribute, arm.base_frame) in known["link"], element.attrib
        for attribute in ("group", "parent_group"):
            assert element.get(attribute, f"{arm.name}_arm") in known["group"], element.attrib
        if element.tag in ("joint", "passive_joint"):
            assert element.get("name") in known["joint"], element.attrib
    chain = srdf.find(f"group[@name='{arm.name}_arm']/chain")
    model = RobotModel(arm.urdf(), arm.joints, chain.get("base_link"), chain.get("tip_link"))
    assert chain.get("tip_link") == arm.tcp_frame and model.joints == arm.joints
    assert start_positions(arm).keys() == {*arm.joints, arm.fingers[0]}


def test_named_states_are_inside_the_limits_and_free_of_collisions(arm):
    limits = arm.limits()
    motion = MotionLimits.from_urdf(
        arm.urdf(),
        limits["joint_limits"],
        arm.joints,
        limits.get("velocity_by_position"),
        body_frames=arm.body_frames,
    )
    model = RobotModel(arm.urdf(), arm.joints, arm.base_frame, arm.tcp_frame)
    state = JointMotion.at_rest(np.array([start_positions(arm)[joint] for joint in arm.joints]))
    assert OutputGuard(motion, model).violation(state, StopPlanner(motion).plan(state)) == ""


def test_moveit_checks_every_pair_of_links_that_we_check(arm):
    srdf = ElementTree.fromstring(semantic(arm))
    off = {frozenset((d.get("link1"), d.get("link2"))) for d in srdf.findall("disable_collisions")}
    collision = SelfCollision(RobotModel(arm.urdf(), arm.joints, arm.base_frame, arm.tcp_frame), 0.01)
    ours = {frozenset(shape.rsplit("_", 1)[0] for shape in pair) for pair in collision.pairs}
    assert not ours & off
    links = {link for pair in ours | off for link in pair}
    assert ours | off == {frozenset(pair) for pair in combinations(links, 2)}


def test_moveit_may_do_no_more_than_the_robot_can(arm):
    given, own = parameters(arm, "model.yaml"), arm.limits()["joint_limits"]
    for joint, limit in own.items():
        prefix = f"robot_description_planning.joint_limits.{joint}"
        for kind in ("velocity", "acceleration"):
            assert given[f"{prefix}.has_{kind}_limits"]
            assert given[f"{prefix}.max_{kind}"] <= limit[f"max_{kind}"]
        if joint in arm.joints:
            assert given[f"{prefix}.max_jerk"] <= limit["max_jerk"]


def test_topics_and_groups_agree_between_the_files(arm):
    servo, group = parameters(arm, "servo.yaml"), parameters(arm, "move_group.yaml")
    hardware = parameters(arm, "controllers.yaml")
    arm_controller, hand_controller = controllers(arm)
    assert servo["moveit_servo.command_out_topic"] == f"/{arm_controller}/joint_trajectory"
    assert servo["planning_group_name"] == servo["moveit_servo.move_group_name"] == f"{arm.name}_arm"
    assert servo["update_period"] == servo["moveit_servo.publish_period"]
    assert servo["moveit_servo.publish_period"] <= servo["moveit_servo.max_expected_latency"] / 3
    assert (
        servo["moveit_servo.lower_singularity_threshold"]
        < servo["moveit_servo.hard_stop_singularity_threshold"]
    )
    assert hardware[
        f"{arm_controller}.allow_nonzero_velocity_at_trajectory_end"
    ]  # Servo's do not end at rest
    assert hardware[f"{arm_controller}.interpolate_from_desired_state"]
    for controller, joints in ((arm_controller, list(arm.joints)), (hand_controller, [arm.fingers[0]])):
        assert hardware[f"{controller}.joints"] == joints
        assert group[f"moveit_simple_controller_manager.{controller}.joints"] == joints
    assert group["planning_pipelines.pipeline_names"] == ["ompl", "pilz_industrial_motion_planner"]
    for pipeline in group["planning_pipelines.pipeline_names"]:
        assert group[f"{pipeline}.planning_plugins"][0].startswith(pipeline[:4])
    time = "default_planning_response_adapters/AddTimeOptimalParameterization"
    assert time in group["ompl.response_adapters"]  # OMPL plans have no times; Pilz's have
    assert time not in group["pilz_industrial_motion_planner.response_adapters"]


def test_motion_node_speaks_to_the_controllers_of_its_robot(arm):
    entries = {e.name: e for e in bringup_nodes(BringupArguments(sim=False, robot=arm.name))}
    values = {}
    for file in entries["motion_node"].parameter_files:
        values |= yaml.safe_load(file.read_text()).get("/**/motion_node", {}).get("ros__parameters", {})
    assert values.get("robot", "panda") == arm.name
    assert (
        values.get("arm_topic", "panda_arm_controller/joint_trajectory")
        == f"{controllers(arm)[0]}/joint_trajectory"
    )
    assert tuple(values.get("joints", ROBOTS["panda"].joints)) == arm.joints


def test_the_two_arms_are_configured_alike():
    """Apart from names and numbers of joint limits, one arm's files are the other's."""
    for file in (*(f for f in SCHEMA if f != "model.yaml"), "{}.srdf"):
        texts = [
            package_file(f"launch/config/moveit/{name}/{file.format(name)}").read_text().replace(name, "arm")
            for name in ROBOTS
        ]
        assert texts[0] == texts[1], file


def test_mock_hardware_has_every_joint_once(arm):
    start = start_positions(arm)
    system = ElementTree.fromstring(with_mock_hardware(arm.urdf(), start)).find("ros2_control")
    assert system.findtext("hardware/plugin") == PLUGIN
    joints = {j.attrib["name"]: j for j in system.findall("joint")}
    assert joints.keys() == {*arm.joints, *arm.fingers}
    for name, joint in joints.items():
        commanded = [i.get("name") for i in joint.findall("command_interface")]
        assert commanded == ([] if name == arm.fingers[1] else ["position"])
        assert {i.get("name") for i in joint.findall("state_interface")} == {"position", "velocity"}
        assert float(joint.findtext("state_interface/param")) == start.get(name, 0.0)
    with pytest.raises(ValueError, match="elbow"):
        with_mock_hardware(arm.urdf(), {"elbow": 1.0})


@pytest.mark.parametrize(
    ("given", "programs"),
    [
        ({"backend": "embedded"}, set()),
        ({"backend": "jtc_ik"}, set()),
        ({"backend": "servo"}, {"servo_node"}),
        ({"backend": "plan", "robot": "fr3"}, {"move_group"}),
        ({"backend": "servo", "mock_hardware": True}, {"servo_node", "ros2_control_node", "spawner"}),
    ],
)
def test_a_back_end_starts_what_it_needs(given, programs):
    arguments = BringupArguments(sim=False, **given)
    entries = [entry for entry in moveit_nodes(arguments) if entry.condition]
    assert {entry.executable for entry in entries} == programs
    assert all(file.is_file() for entry in entries for file in entry.parameter_files)
    motion = next(e for e in bringup_nodes(arguments) if e.name == "motion_node")
    assert motion.parameters["backend"] == given["backend"]


@pytest.mark.parametrize(
    "given",
    [
        {"backend": "servo"},
        {"robot": "fr3"},
        {"mock_hardware": True},
        {"robot": "ur5"},
        {"backend": "moveit"},
    ],
)
def test_combinations_that_cannot_work_are_refused(given):
    with pytest.raises(ValueError, match=r"sim:=false|must be one of"):
        BringupArguments(**given)
