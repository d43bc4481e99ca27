"""Links are kept apart: a target that would fold the arm into itself is refused, and the arm stops before it."""

import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from spatial_vla.description import ARM_JOINTS, BASE_FRAME, TCP_FRAME, panda_urdf
from spatial_vla.motion import Box, MotionState, RobotModel
from spatial_vla.motion.guard import OutputGuard
from spatial_vla.motion.panda import panda_limits
from spatial_vla.motion.self_collision import SelfCollision

from .rig import HOME, assert_within_limits, steps

#: The hand folded back at the base: inside every joint limit and, with the boxes opened, inside the workspace.
FOLDED = np.array([0.0, -1.5, 0.0, -2.9, 0.0, 1.0, 0.785])


def wide_open(**parts):
    """Limits whose boxes do not get in the way."""
    everywhere = Box((-1.5, -1.5, -1.5), (1.5, 1.5, 1.5))
    return panda_limits(workspace=everywhere, body_box=everywhere, **parts)


def surface(urdf, model, q):
    """Points on the shapes of each link in the base frame, from the URDF's text and forward kinematics alone."""
    import pinocchio as pin

    points = {}
    for link in ElementTree.fromstring(urdf).findall("link"):
        for i, collision in enumerate(link.findall("collision")):
            origin = collision.find("origin")
            turn = pin.rpy.rpyToMatrix(*map(float, origin.get("rpy", "0 0 0").split()))
            move = np.array(list(map(float, origin.get("xyz", "0 0 0").split())))
            box, cylinder = collision.find("geometry/box"), collision.find("geometry/cylinder")
            if box is not None:
                half = np.array(list(map(float, box.get("size").split()))) / 2
                grid = np.array(list(itertools.product(np.linspace(-1, 1, 9), repeat=3)))
                local = grid * half
            else:
                radius, length = float(cylinder.get("radius")), float(cylinder.get("length"))
                angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
                local = np.array(
                    [
                        (r * np.cos(a), r * np.sin(a), z)
                        for r in (radius / 2, radius)
                        for a in angle
                        for z in np.linspace(-length / 2, length / 2, 13)
                    ]
                )
            frame = link.get("name")
            pose = frame_pose(model, q, frame)
            points[f"{frame}_{i}"] = pose.apply(local @ turn.T + move)
    return points


def frame_pose(model, q, frame):
    return RobotModel(panda_urdf(), ARM_JOINTS, BASE_FRAME, frame).forward(q)


@pytest.fixture(scope="module")
def collision(model):
    return SelfCollision(model, 0.01)


def test_ordinary_poses_are_free(collision, model):
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert collision.touching(HOME + rng.normal(0.0, 0.15, 7)) is None


def test_the_folded_arm_touches_itself_by_an_independent_measure(collision, model):
    """Clouds of points on the shapes: where coal says touching they are close, where it says free they are not."""
    a, b = collision.touching(FOLDED)
    points = surface(panda_urdf(), model, FOLDED)
    distance = np.linalg.norm(points[a][:, None] - points[b][None], axis=2).min()
    assert distance < 0.035, (a, b, distance)
    points = surface(panda_urdf(), model, HOME)
    for a, b in collision.pairs:
        if "finger" not in a + b:  # they are checked open, the points are on closed ones
            assert np.linalg.norm(points[a][:, None] - points[b][None], axis=2).min() > 0.01, (a, b)


def test_neighbours_and_approximations_are_not_checked(collision):
    for a, b in collision.pairs:
        assert a.rsplit("_", 1)[0] != b.rsplit("_", 1)[0]
        assert {a.rsplit("_", 1)[0], b.rsplit("_", 1)[0]} not in (
            {"panda_link2", "panda_link3"},
            {"panda_link5", "panda_link6"},
            {"panda_hand", "panda_leftfinger"},
        )
    assert len(collision.pairs) > 100


def fold(rig):
    """Pull the hand towards the base, down and backwards, for a few seconds."""
    rig.arm()
    for i in range(500):
        if i % 20 == 0:
            rig.chunk(steps(-0.05, 0.0, -0.03))
        rig.tick()


def nearest(rig, collision):
    """The first sample of the arm's way at which links touch; None if there is none."""
    return next((i for i, q in enumerate(rig.positions) if collision.touching(q)), None)


def test_a_target_inside_the_robot_is_refused_and_the_arm_stops_before_it(make_rig, model):
    rig = make_rig(wide_open())
    fold(rig)
    touch = SelfCollision(model, 0.0)
    assert nearest(rig, touch) is None
    assert "self-collision" in rig.reason and rig.state is not MotionState.FAULT
    assert_within_limits(rig)
    # It is free to go elsewhere from there.
    before = rig.tcp().translation
    rig.run([0.05, 0, 0.02, 0, 0, 0], 2.0)
    assert np.linalg.norm(rig.tcp().translation - before) > 0.1
    assert nearest(rig, touch) is None


def test_without_the_check_the_same_target_folds_the_arm_into_itself(make_rig, model):
    rig = make_rig(wide_open(self_clearance=-1.0))
    fold(rig)
    assert nearest(rig, SelfCollision(model, 0.0)) is not None


def test_arming_in_self_collision_is_refused(make_rig):
    verdict = make_rig(wide_open()).controller.arm(FOLDED, 0)
    assert not verdict and "self-collision" in verdict.reason


def test_a_robot_without_collision_shapes_is_not_called_checked(model):
    root = ElementTree.fromstring(panda_urdf())
    for link in root.findall("link"):
        for collision in link.findall("collision"):
            link.remove(collision)
    bare = RobotModel(ElementTree.tostring(root, "unicode"), ARM_JOINTS, BASE_FRAME, TCP_FRAME)
    with pytest.raises(ValueError, match="no collision shapes"):
        OutputGuard(panda_limits(), bare)
    assert not OutputGuard(panda_limits(self_clearance=-1.0), bare).checks_collisions
