"""The checked-in URDFs are the expanded xacros, and their limits are complete."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from spatial_vla.description import ROBOTS

URDF = Path(__file__).parents[2] / "urdf"
robots = pytest.mark.parametrize("robot", ROBOTS.values(), ids=list(ROBOTS))


def _canonical(xml: str) -> str:
    return ElementTree.canonicalize(xml, strip_text=True)


@robots
def test_urdf_is_the_expanded_xacro(robot) -> None:
    xacro = pytest.importorskip("xacro")
    expanded = xacro.process_file(str(URDF / f"{robot.name}.urdf.xacro")).toxml()
    assert _canonical(expanded) == _canonical(robot.urdf()), (
        f"run: cd urdf; xacrodoc {robot.name}.urdf.xacro -o {robot.name}.urdf"
    )


@robots
def test_every_actuated_joint_has_all_limits(robot) -> None:
    joints = {j.attrib["name"]: j for j in ElementTree.fromstring(robot.urdf()).iter("joint")}
    joints = {name: joint for name, joint in joints.items() if joint.get("type") != "fixed"}
    assert set(joints) == {*robot.joints, *robot.fingers}
    assert set(robot.limits()["joint_limits"]) == set(joints)
    for name, limits in robot.limits()["joint_limits"].items():
        limit = joints[name].find("limit")
        assert limit is not None and limit.attrib.keys() >= {"lower", "upper", "velocity", "effort"}
        assert float(limit.attrib["velocity"]) == limits["max_velocity"]
        assert limits["max_acceleration"] > 0.0


@robots
def test_shapes_are_primitive(robot) -> None:
    """No meshes: rviz, MoveIt, Pinocchio and MuJoCo show the same robot with nothing to download."""
    assert not list(ElementTree.fromstring(robot.urdf()).iter("mesh"))


def test_both_arms_have_the_same_kinematics() -> None:
    def origins(robot):
        tree = ElementTree.fromstring(robot.urdf())
        return {
            j.attrib["name"].replace(robot.name, ""): [
                float(x) for k in ("xyz", "rpy") for x in j.find("origin").get(k, "0 0 0").split()
            ]
            for j in tree.findall("joint")
        }

    first, second = (origins(robot) for robot in ROBOTS.values())
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name])


def test_the_frames_of_a_robot_exist() -> None:
    for robot in ROBOTS.values():
        links = {link.attrib["name"] for link in ElementTree.fromstring(robot.urdf()).findall("link")}
        assert {robot.base_frame, robot.tcp_frame, *robot.body_frames} <= links
