"""The plan of views, on a rig whose truth is known: nothing but what the plan asked for is told to it."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spatial_vla.calibration import Board
from spatial_vla.calibration.variety import require_variety, variety
from spatial_vla.calibration.views import ENOUGH, Taken, ViewPlan, turned
from spatial_vla.geometry import SE3

BOARD = Board()


def pose(x, y, z, *degrees):
    return SE3(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix(), np.array([x, y, z]))


HOME = pose(0.4, 0.0, 0.4, 180.0, 0.0, 0.0)
ON_GRIPPER, IN_BASE = pose(0.07, 0.01, 0.02, 5.0, -12.0, 80.0), pose(0.32, -0.1, 0.0, 180.0, 0.0, 10.0)
BASE_FROM_CAMERA, GRIPPER_FROM_BOARD = (
    pose(1.2, 0.0, 0.6, -125.0, 0.0, 90.0),
    pose(0.05, -0.1, 0.1, 90.0, 5.0, 95.0),
)


def seen(setup, gripper):
    """camera_from_board, by going round the loop."""
    if setup == "eye-in-hand":
        return (gripper @ ON_GRIPPER).inverse() @ IN_BASE
    return BASE_FROM_CAMERA.inverse() @ gripper @ GRIPPER_FROM_BOARD


def samples(setup, count, visible=lambda view: True):
    taken = [Taken(HOME, seen(setup, HOME))]
    tried = 1
    for target in ViewPlan(setup, BOARD, taken).poses():
        if len(taken) == count:
            break
        tried += 1
        if visible(view := seen(setup, target)):
            taken.append(Taken(target, view))
    return taken, tried


@pytest.mark.parametrize("setup", ["eye-in-hand", "eye-to-hand"])
def test_the_views_are_different_and_the_board_stays_in_the_picture(setup):
    taken, tried = samples(setup, 15)
    assert len(taken) == tried == 15
    grippers = [one.base_from_gripper for one in taken]
    require_variety(grippers)
    largest, spread = variety(grippers)
    assert 40.0 < largest < 90.0 and spread > 0.5
    for i, one in enumerate(grippers):
        assert all(turned(one, other) >= 9.9 for other in grippers[:i])
    first = np.linalg.norm(taken[0].camera_from_board.translation)
    for one in taken[ENOUGH:]:
        x, y, z = one.camera_from_board.apply([[*np.array(BOARD.size) / 2.0, 0.0]])[0]
        assert 0.7 * first < z < 1.4 * first
        middle = taken[0].camera_from_board.apply([[*np.array(BOARD.size) / 2.0, 0.0]])[0]
        assert abs(x / z) <= 0.5 * abs(middle[0] / middle[2]) + 0.07
        assert abs(y / z) <= 0.5 * abs(middle[1] / middle[2]) + 0.07


def test_if_a_first_rotation_loses_the_board_the_opposite_one_is_tried():
    lost = []

    def visible(view):
        lost.append(len(lost) < 2)
        return not lost[-1]

    taken, tried = samples("eye-in-hand", 15, visible)
    assert len(taken) == 15 and tried == 17


def test_without_enough_first_views_the_plan_ends():
    taken, tried = samples("eye-in-hand", 15, lambda view: False)
    assert len(taken) == 1 and tried == 7


def test_a_plan_that_is_gone_on_with_asks_for_nothing_twice():
    before, _ = samples("eye-in-hand", 8)
    grippers = [one.base_from_gripper for one in before]
    target = next(iter(ViewPlan("eye-in-hand", BOARD, before).poses()))
    assert min(turned(target, one) for one in grippers) > 9.9
