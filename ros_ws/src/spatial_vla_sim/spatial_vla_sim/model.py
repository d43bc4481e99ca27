"""The MuJoCo model of a scene: the robot out of its URDF, a table, and the objects as free bodies."""

from __future__ import annotations

from functools import cache
from xml.etree import ElementTree

import mujoco
import numpy as np
from spatial_vla.description import ARM_JOINTS, FINGER_JOINTS, panda_urdf

from .calibration_board import CalibrationBoard
from .scene import ObjectSpec, Scene
from .shapes import PRIMITIVE, volume

#: Physics step [s]; ``STEP_NS`` is the same in nanoseconds.
STEP = 0.002
STEP_NS = 2_000_000

#: Geoms in this group are seen by cameras; group 0 holds the robot's collision shapes.
VISIBLE_GROUP = 1

#: Position servo gains of the arm, stiffness [Nm/rad] and damping [Nms/rad], and of a finger [N/m, Ns/m].
ARM_STIFFNESS = np.array([4500.0, 4500.0, 3500.0, 3500.0, 2000.0, 2000.0, 2000.0])
ARM_DAMPING = np.array([300.0, 300.0, 200.0, 200.0, 60.0, 60.0, 40.0])
FINGER_STIFFNESS, FINGER_DAMPING = 3000.0, 60.0
#: What one finger presses with at most [N]; more squeezes small objects out of the hand.
FINGER_FORCE = 20.0

OBJECT_DENSITY = 500.0
#: Collision classes (contype, conaffinity): the robot collides with table and objects, not with itself.
_ROBOT, _TABLE, _OBJECT = (2, 0), (0, 3), (1, 3)
_TABLE_RGBA, _FLOOR_RGBA = (0.66, 0.61, 0.55, 1.0), (0.36, 0.38, 0.41, 1.0)


def object_body(index: int) -> str:
    """Name of the body of the scene's object with this index."""
    return f"object{index}"


def build_model(scene: Scene, board: CalibrationBoard | None = None) -> mujoco.MjModel:
    """Compile the scene (about 1 ms), with a calibration board if there is one. Same scene, same model."""
    spec = build_spec(scene)
    if board is not None:
        board.add_to(spec, VISIBLE_GROUP)
    return spec.compile()


def build_spec(scene: Scene) -> mujoco.MjSpec:
    """The scene before compilation, for those who add to it."""
    spec = _robot_spec().copy()
    for index, item in enumerate(scene.objects):
        _add_object(spec, index, item)
    return spec


@cache
def _robot_spec() -> mujoco.MjSpec:
    """Robot, table and floor; compiled anew with the objects of every scene."""
    spec = mujoco.MjSpec.from_string(_urdf_with_visuals())
    spec.option.timestep = STEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    _tune_robot(spec)
    _add_actuators(spec)
    _add_static(spec, "table", (0.45, 0.0, -0.02), (0.85, 0.62, 0.02), _TABLE_RGBA)
    _add_static(spec, "floor", (0.0, 0.0, -0.77), (6.0, 6.0, 0.02), _FLOOR_RGBA)
    return spec


def _urdf_with_visuals() -> str:
    """The URDF with MuJoCo's extension tag: keep visual shapes, keep fixed links as bodies."""
    root = ElementTree.fromstring(panda_urdf())
    extension = ElementTree.SubElement(root, "mujoco")
    ElementTree.SubElement(extension, "compiler", discardvisual="false", fusestatic="false")
    return ElementTree.tostring(root, encoding="unicode")


def _tune_robot(spec: mujoco.MjSpec) -> None:
    for body in spec.bodies:
        body.gravcomp = 1.0
    for geom in spec.geoms:
        if geom.group != VISIBLE_GROUP:
            geom.contype, geom.conaffinity = _ROBOT
        if geom.parent.name in ("panda_leftfinger", "panda_rightfinger"):
            geom.condim = 6
            geom.friction = [1.2, 0.01, 0.001]
            geom.priority = 1
    for joint in spec.joints:
        joint.armature = 0.1 if joint.name in ARM_JOINTS else 0.01


def _add_actuators(spec: mujoco.MjSpec) -> None:
    """Servos whose force is stiffness * (control - position) - damping * velocity, limited as the URDF says."""
    gains = [*zip(ARM_JOINTS, ARM_STIFFNESS, ARM_DAMPING, strict=True)]
    gains += [(name, FINGER_STIFFNESS, FINGER_DAMPING) for name in FINGER_JOINTS]
    for name, stiffness, damping in gains:
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=float(stiffness), kv=float(damping))
        if name in FINGER_JOINTS:
            actuator.forcelimited, actuator.forcerange = 1, [-FINGER_FORCE, FINGER_FORCE]


def _add_static(spec: mujoco.MjSpec, name: str, centre: tuple, half_size: tuple, rgba: tuple) -> None:
    geom = spec.worldbody.add_geom(
        name=name, type=mujoco.mjtGeom.mjGEOM_BOX, pos=centre, size=half_size, rgba=rgba
    )
    geom.group = VISIBLE_GROUP
    geom.contype, geom.conaffinity = _TABLE


def _add_object(spec: mujoco.MjSpec, index: int, item: ObjectSpec) -> None:
    quaternion = item.pose.quaternion()
    body = spec.worldbody.add_body(name=object_body(index), pos=item.position, quat=np.roll(quaternion, 1))
    body.add_freejoint()
    geom = body.add_geom(
        type=_GEOM_TYPE[PRIMITIVE[item.shape]], size=[*item.size, 0.0, 0.0][:3], rgba=[*item.rgb, 1.0]
    )
    geom.group = VISIBLE_GROUP
    geom.contype, geom.conaffinity = _OBJECT
    geom.mass = OBJECT_DENSITY * volume(item.shape, item.size)
    # Rolling friction stands in for the slight flatness of real balls and cans, which come to rest.
    geom.condim = 6
    geom.friction = [0.9, 0.005, 0.002]


_GEOM_TYPE = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}
