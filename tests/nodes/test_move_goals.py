"""What ``~/move_to`` accepts, and where that leads: poses are reached in whatever frame they are given."""

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TransformStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from spatial_vla.description import ARM_JOINTS
from spatial_vla.geometry import SE3
from spatial_vla.motion.panda import panda_limits, panda_model
from spatial_vla.motion.planning import PlanBackend, PlanRefused
from spatial_vla.nodes.conversions import header, pose_message, transform_message
from spatial_vla.nodes.move_goals import MoveGoals
from spatial_vla.tf import Buffer
from spatial_vla_interfaces.srv import MoveTo

HOME = np.array([0.0, -0.6, 0.0, -2.4, 0.0, 1.8, 0.785])
MODEL, LIMITS = panda_model(), panda_limits()
BACKEND = PlanBackend(panda_model(), LIMITS, None)
SHELF = SE3.from_quaternion((0.6, -0.2, 0.3), (0.0, 0.0, 0.6, 0.8))


@pytest.fixture(scope="module")
def goals():
    buffer = Buffer()
    stamped = TransformStamped(header=header(0, "panda_link0"), child_frame_id="shelf")
    stamped.transform = transform_message(SHELF)
    buffer.set_transform_static(stamped, "test")
    return MoveGoals(ARM_JOINTS, "panda_link0", buffer, BACKEND)


def posed(pose, frame="panda_link0"):
    return MoveTo.Request(pose=PoseStamped(header=header(0, frame), pose=pose_message(pose)))


def test_joints_that_are_not_named_stay(goals):
    request = MoveTo.Request(joints=["panda_joint7", "panda_joint1"], positions=[0.5, -0.1])
    np.testing.assert_array_equal(goals.read(request)(HOME), [-0.1, *HOME[1:6], 0.5])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_poses_that_the_arm_can_take_are_reached_within_the_limits(goals, seed, on_shelf):
    rng = np.random.default_rng(seed)
    wanted = MODEL.forward(np.clip(HOME + rng.uniform(-0.35, 0.35, 7), LIMITS.lower, LIMITS.upper))
    if not LIMITS.workspace.contains(wanted.translation[None]):
        return
    request = posed(SHELF.inverse() @ wanted, "shelf") if on_shelf else posed(wanted)
    try:
        q = goals.read(request)(HOME)
    except PlanRefused as error:  # the elbow or the links may be in the way of every solution
        assert "breaks a limit" in str(error)
        return
    reached = MODEL.forward(q)
    np.testing.assert_allclose(reached.translation, wanted.translation, atol=2e-4)
    np.testing.assert_allclose(reached.rotation, wanted.rotation, atol=2e-3)
    assert np.all(q >= LIMITS.lower) and np.all(q <= LIMITS.upper)
    assert not BACKEND._guard.self_collision(q) and not BACKEND._guard.outside_workspace(q)


def test_what_cannot_be_reached_says_by_how_much(goals):
    far = SE3(np.diag([1.0, -1.0, -1.0]), np.array([2.0, 0.0, 0.3]))
    with pytest.raises(PlanRefused, match=r"does not reach \[2.0, 0.0, 0.3\].* mm and .* degrees off"):
        goals.read(posed(far))(HOME)
    below = SE3(np.diag([1.0, -1.0, -1.0]), np.array([0.5, 0.0, -0.1]))
    with pytest.raises(PlanRefused, match=r"breaks a limit, the first: .*(workspace|panda)"):
        goals.read(posed(below))(HOME)


def spoilt(change, frame="panda_link0"):
    request = posed(SE3.identity(), frame)
    change(request.pose.pose)
    return request


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (MoveTo.Request(), "neither joints nor"),
        (
            MoveTo.Request(joints=["panda_joint1"], positions=[0.0], pose=posed(SE3.identity()).pose),
            "both joints and",
        ),
        (MoveTo.Request(joints=["panda_joint1"]), "1 joints and 0 positions"),
        (MoveTo.Request(positions=[1.0]), "0 joints and 1 positions"),
        (
            MoveTo.Request(joints=["elbow"], positions=[1.0]),
            r"unknown joints \['elbow'\]; there are .*panda_joint7",
        ),
        (MoveTo.Request(joints=["panda_joint1"] * 2, positions=[0.0, 1.0]), "twice"),
        (MoveTo.Request(joints=["panda_joint1"], positions=[float("nan")]), "finite"),
        (MoveTo.Request(joints=["panda_joint1"], positions=[float("inf")]), "finite"),
        (spoilt(lambda p: setattr(p.position, "x", float("nan"))), "position .* not finite"),
        (spoilt(lambda p: setattr(p.orientation, "w", float("nan"))), "length nan; it must have length 1"),
        (spoilt(lambda p: setattr(p.orientation, "w", 0.0)), "length 0; it must"),
        (spoilt(lambda p: setattr(p.orientation, "w", 1.005)), "length 1.005"),
        (posed(SE3.identity(), "attic"), "no transform from frame 'attic'.*panda_link0"),
    ],
)
def test_nonsense_is_refused_in_words(goals, request_, words):
    with pytest.raises(PlanRefused, match=words):
        goals.read(request_)
