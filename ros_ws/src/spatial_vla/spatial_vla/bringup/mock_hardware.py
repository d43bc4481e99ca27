"""A robot that does at once what it is told: ros2_control's mock hardware, added to a URDF."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

PLUGIN = "mock_components/GenericSystem"


def with_mock_hardware(urdf: str, start: Mapping[str, float]) -> str:
    """The URDF with a ``ros2_control`` element for every joint that moves by itself.

    Args:
        urdf: URDF text.
        start: joint name -> position at start [rad or m]; 0 for joints that are not named.

    Raises:
        ValueError: ``start`` names a joint that the URDF does not have.
    """
    robot = ElementTree.fromstring(urdf)
    joints = [joint for joint in robot.findall("joint") if joint.get("type") not in ("fixed", None)]
    names = [joint.get("name", "") for joint in joints]
    if unknown := sorted(set(start) - set(names)):
        raise ValueError(f"no joints {unknown} in the URDF; it has {names}")
    system = ElementTree.SubElement(robot, "ros2_control", name=f"{robot.get('name')}_mock", type="system")
    hardware = ElementTree.SubElement(system, "hardware")
    ElementTree.SubElement(hardware, "plugin").text = PLUGIN
    # Velocities are worked out from the commanded positions; otherwise they would stay zero.
    ElementTree.SubElement(hardware, "param", name="calculate_dynamics").text = "true"
    for joint, name in zip(joints, names, strict=True):
        entry = ElementTree.SubElement(system, "joint", name=name)
        if joint.find("mimic") is None:
            ElementTree.SubElement(entry, "command_interface", name="position")
        position = ElementTree.SubElement(entry, "state_interface", name="position")
        ElementTree.SubElement(position, "param", name="initial_value").text = str(start.get(name, 0.0))
        ElementTree.SubElement(entry, "state_interface", name="velocity")
    return ElementTree.tostring(robot, encoding="unicode")
