"""Joint positions to link transforms, straight from URDF: parent and child only, no chains, no dynamics."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import cos, sin, sqrt

from .pose import Pose, Quaternion, Vector, compose, multiply

TURNING, SLIDING, FIXED = ("revolute", "continuous"), ("prismatic",), ("fixed",)


class DescriptionError(ValueError):
    """The URDF cannot be used; the text says where and why."""


@dataclass(frozen=True)
class Joint:
    """A joint between two links.

    Attributes:
        origin: pose of the joint in the parent link at position 0.
        axis: unit vector in the joint's frame.
        mimic: leading joint, multiplier and offset, or None.
    """

    name: str
    kind: str
    parent: str
    child: str
    origin: Pose
    axis: Vector
    mimic: tuple[str, float, float] | None

    def pose(self, position: float) -> Pose:
        """Pose of the child link in the parent link at a position [rad or m]."""
        x, y, z = self.axis
        if self.kind in SLIDING:
            return compose(
                self.origin, Pose((x * position, y * position, z * position), (0.0, 0.0, 0.0, 1.0))
            )
        s, c = sin(0.5 * position), cos(0.5 * position)
        return compose(self.origin, Pose((0.0, 0.0, 0.0), (x * s, y * s, z * s, c)))


class KinematicTree:
    """The joints of a robot description.

    Args:
        urdf: the text of the description.

    Raises:
        DescriptionError: not URDF, a joint of an unsupported kind, or links that do not form one tree.
    """

    def __init__(self, urdf: str) -> None:
        try:
            root = ElementTree.fromstring(urdf)
        except ElementTree.ParseError as error:
            raise DescriptionError(
                f"robot description is not XML ({error}); expected the text of a URDF"
            ) from error
        if root.tag != "robot":
            raise DescriptionError(
                f"robot description has root <{root.tag}>; expected <robot>; expand xacro first"
            )
        joints = [_joint(element) for element in root.findall("joint")]
        _check_tree({link.get("name", "") for link in root.findall("link")}, joints)
        self.fixed = [joint for joint in joints if joint.kind in FIXED]
        self._moving = {joint.name: joint for joint in joints if joint.kind not in FIXED}
        self._followers: dict[str, list[Joint]] = {}
        for joint in self._moving.values():
            if joint.mimic:
                self._followers.setdefault(joint.mimic[0], []).append(joint)

    def moving(self, positions: Mapping[str, float]) -> Iterable[tuple[Joint, Pose]]:
        """Joints whose position is given or follows from one that is, with the pose of child in parent.

        A mimic joint always follows its leader, whatever position is given for it. Unknown names are ignored.
        """
        for name, position in positions.items():
            joint = self._moving.get(name)
            if joint is None:
                continue
            if joint.mimic is None or joint.mimic[0] not in positions:
                yield joint, joint.pose(position)
            for follower in self._followers.get(name, ()):
                _, multiplier, offset = follower.mimic or ("", 1.0, 0.0)
                yield follower, follower.pose(multiplier * position + offset)


def _joint(element: ElementTree.Element) -> Joint:
    name, kind = element.get("name", ""), element.get("type", "")
    if kind not in (*TURNING, *SLIDING, *FIXED):
        supported = ", ".join((*TURNING, *SLIDING, *FIXED))
        raise DescriptionError(f"joint '{name}' is of type '{kind}'; supported: {supported}")
    origin, mimic = element.find("origin"), element.find("mimic")
    return Joint(
        name=name,
        kind=kind,
        parent=_link(element, "parent"),
        child=_link(element, "child"),
        origin=Pose(_vector(origin, "xyz", "0 0 0"), _from_fixed_rpy(*_vector(origin, "rpy", "0 0 0"))),
        axis=_unit(_vector(element.find("axis"), "xyz", "1 0 0"), name),
        mimic=None
        if mimic is None
        else (mimic.get("joint", ""), float(mimic.get("multiplier", 1.0)), float(mimic.get("offset", 0.0))),
    )


def _link(joint: ElementTree.Element, role: str) -> str:
    element = joint.find(role)
    if element is None:
        raise DescriptionError(f"joint '{joint.get('name')}' has no <{role}>")
    return element.get("link", "")


def _vector(element: ElementTree.Element | None, attribute: str, default: str) -> Vector:
    text = default if element is None else element.get(attribute, default)
    x, y, z = map(float, text.split())
    return x, y, z


def _unit(axis: Vector, joint: str) -> Vector:
    x, y, z = axis
    norm = sqrt(x * x + y * y + z * z)
    if norm == 0.0:
        raise DescriptionError(f"joint '{joint}' has a zero axis")
    return x / norm, y / norm, z / norm


def _from_fixed_rpy(roll: float, pitch: float, yaw: float) -> Quaternion:
    """Rotation about the fixed axes x, then y, then z."""
    about_x = (sin(roll / 2), 0.0, 0.0, cos(roll / 2))
    about_y = (0.0, sin(pitch / 2), 0.0, cos(pitch / 2))
    about_z = (0.0, 0.0, sin(yaw / 2), cos(yaw / 2))
    return multiply(about_z, multiply(about_y, about_x))


def _check_tree(links: set[str], joints: list[Joint]) -> None:
    children = [joint.child for joint in joints]
    for joint in joints:
        for link in (joint.parent, joint.child):
            if link not in links:
                raise DescriptionError(f"joint '{joint.name}' names link '{link}', which is not there")
        if children.count(joint.child) > 1:
            raise DescriptionError(f"link '{joint.child}' has more than one parent joint")
    roots = links - set(children)
    if len(roots) != 1:
        raise DescriptionError(f"robot description has {len(roots)} root links {sorted(roots)}; expected one")
