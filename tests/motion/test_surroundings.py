"""Table, obstacles and singularities: the arm stays away from them whatever it is asked for."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spatial_vla.motion import Box, Obstacle
from spatial_vla.motion.guard import OutputGuard
from spatial_vla.motion.panda import panda_limits
from spatial_vla.motion.scene_collision import SceneCollision
from spatial_vla.motion.singularity import SingularityBarrier, smallest_singular_value
from spatial_vla_sim.joint_path import JointPath

from .rig import HOME, assert_within_limits

DEEP = Box((0.1, -0.7, -0.4), (0.9, 0.7, 1.0))
WIDE = Box((-0.9, -0.9, -0.5), (1.0, 0.9, 1.4))


def lowest(model, q):
    """Height of the lowest corner of hand and fingers, from their sizes as the URDF has them."""
    corners = [(x, y, z) for x in (-0.025, 0.025) for y in (-0.095, 0.095) for z in (0.0, 0.058)]
    corners += [(x, y, 0.1124) for x in (-0.01, 0.01) for y in (-0.06, 0.06)]
    hand = model.forward(q)
    offset = hand.translation - 0.1034 * hand.rotation[:, 2]
    return min((hand.rotation @ np.array(c) + offset)[2] for c in corners)


def press_down(rig):
    rig.arm()
    rig.run([0, 0, -0.06, 0, 0.1, 0], 3.5)
    heights = [lowest(rig.model, q) for q in rig.positions[::10]]
    assert min(heights) > 0.095, min(heights)
    return rig


def test_the_arm_does_not_go_into_the_table(make_rig, monkeypatch):
    limits = panda_limits(workspace=DEEP, body_box=WIDE, obstacles=(Obstacle.table(0.1),))
    rig = press_down(make_rig(limits))
    assert "table" in rig.reason or rig.controller.status().at_rest
    assert_within_limits(rig)
    monkeypatch.setattr(OutputGuard, "scene_collision", lambda *_: "")
    with pytest.raises(AssertionError):
        press_down(make_rig(limits))


def reach_for(rig, box):
    rig.arm()
    rig.run([0, 0.06, 0, 0, 0, 0], 2.5)
    scene = SceneCollision(rig.model, (box,), 0.0)
    assert all(scene.touching(q) is None for q in rig.positions[::10])


def test_the_arm_does_not_go_into_an_obstacle(make_rig, monkeypatch):
    box = Obstacle("box", (0.45, 0.45, 0.3), (0.4, 0.2, 0.8))
    limits = panda_limits(obstacles=(box,))
    reach_for(make_rig(limits), box)
    monkeypatch.setattr(OutputGuard, "scene_collision", lambda *_: "")
    with pytest.raises(AssertionError):
        reach_for(make_rig(limits), box)


def test_an_arm_that_touches_something_is_not_armed_and_the_obstacle_is_named(make_rig):
    tcp = make_rig().model.forward(HOME).translation
    rig = make_rig(panda_limits(obstacles=(Obstacle("post", tuple(tcp), (0.1, 0.1, 0.1)),)))
    rig.measure()
    verdict = rig.controller.arm(HOME, rig.now_ns)
    assert not verdict and "post" in verdict.reason


@pytest.mark.parametrize("size", [(0.1, 0.0, 0.1), (0.1, -1.0, 0.1), (np.nan, 1.0, 1.0)])
def test_an_obstacle_without_a_size_is_refused(size):
    with pytest.raises(ValueError, match="three positive sizes"):
        Obstacle("box", (0.0, 0.0, 0.0), size)


def stretch(rig):
    """Reach for a point that is too far away."""
    rig.arm()
    rig.run([0.06, 0.0, 0.03, 0, 0, 0], 4.0)
    least = min(smallest_singular_value(rig.model, q) for q in rig.positions[::10])
    assert least >= rig.limits.singularity - 1e-3, least
    return rig


CLOSE = {"singularity": 0.04, "workspace": WIDE, "body_box": WIDE}
#: Where the guard alone held the arm for good: every way on led a little deeper at first.
HELD = np.array([0.7, -0.55, -0.28, -3.01, 1.71, 3.29, 0.25])


def test_the_arm_does_not_go_into_a_singularity_and_comes_out_again(make_rig):
    rig = stretch(make_rig(panda_limits(**CLOSE)))
    before = rig.tcp().translation[0]
    rig.run([-0.05, 0, -0.02, 0, 0, 0], 1.5)
    assert rig.tcp().translation[0] < before - 0.1
    assert_within_limits(rig)


def test_the_guard_alone_keeps_the_arm_out_of_singularities(make_rig, monkeypatch):
    monkeypatch.setattr(SingularityBarrier, "near", lambda *_: False)
    stretch(make_rig(panda_limits(**CLOSE)))
    monkeypatch.setattr(OutputGuard, "singular", lambda *_: "")
    with pytest.raises(AssertionError):
        stretch(make_rig(panda_limits(**CLOSE)))


def test_the_arm_is_not_held_for_good_at_a_singularity(make_rig):
    rig = make_rig(panda_limits(workspace=WIDE, body_box=WIDE))
    rig.path = JointPath.holding(HELD)
    rig.arm()
    home, tcp = rig.model.forward(HOME), rig.tcp()
    turn = Rotation.from_matrix(home.rotation @ tcp.rotation.T).as_rotvec()
    rig.run(np.concatenate((home.translation - tcp.translation, turn)) / 15, 3.0)
    assert np.abs(rig.measured()[0] - HELD).max() > 0.3
    assert_within_limits(rig)
