"""The checked-in URDF is the expanded xacro, and its limits are complete."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from spatial_vla.description import ARM_JOINTS, FINGER_JOINTS, joint_limits, panda_urdf

XACRO = Path(__file__).parents[2] / "urdf" / "panda.urdf.xacro"


def _canonical(xml: str) -> str:
    return ElementTree.canonicalize(xml, strip_text=True)


def test_urdf_is_the_expanded_xacro() -> None:
    xacrodoc = pytest.importorskip("xacrodoc")
    expanded = xacrodoc.XacroDoc.from_file(str(XACRO)).to_urdf_string()
    assert _canonical(expanded) == _canonical(panda_urdf()), (
        "run: xacrodoc urdf/panda.urdf.xacro -o urdf/panda.urdf"
    )


def test_every_actuated_joint_has_all_limits() -> None:
    joints = {j.attrib["name"]: j for j in ElementTree.fromstring(panda_urdf()).iter("joint")}
    joints = {name: joint for name, joint in joints.items() if joint.get("type") != "fixed"}
    assert set(joints) == {*ARM_JOINTS, *FINGER_JOINTS}
    for name, limits in joint_limits().items():
        limit = joints[name].find("limit")
        assert limit is not None and limit.attrib.keys() >= {"lower", "upper", "velocity", "effort"}
        assert float(limit.attrib["velocity"]) == limits["max_velocity"]
        assert limits["max_acceleration"] > 0.0


def test_shapes_are_primitive() -> None:
    """No meshes: rviz, MoveIt, Pinocchio and MuJoCo show the same robot with nothing to download."""
    assert not list(ElementTree.fromstring(panda_urdf()).iter("mesh"))
