"""The Cartesian filter: speed, acceleration and walls hold for any wish; a feasible wish is followed exactly."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from spatial_vla.geometry import SE3, matrix_to_rotvec, rotvec_to_matrix
from spatial_vla.motion import Box, CartesianLimits
from spatial_vla.motion.history import Setpoint
from spatial_vla.motion.safety import SafetyFilter

LIMITS = CartesianLimits()
BOX = Box((0.2, -0.3, 0.1), (0.6, 0.3, 0.5))
START = SE3(np.eye(3), np.array([0.4, 0.0, 0.3]))
DT = 0.01

wish = st.tuples(
    st.tuples(*[st.floats(-2.0, 2.0)] * 3).map(np.array),
    st.tuples(*[st.floats(-1.8, 1.8)] * 3).map(np.array),
    st.tuples(*[st.floats(-3.0, 3.0)] * 6).map(np.array),
)


def make_filter(start=START):
    safety = SafetyFilter(LIMITS, BOX)
    safety.anchor(Setpoint.at_rest(start))
    return safety


@settings(max_examples=60)
@given(st.lists(wish, min_size=1, max_size=8))
def test_speed_and_acceleration_hold_for_any_wish(wishes):
    safety, last = make_filter(), Setpoint.at_rest(START)
    for position, turn, twist in wishes:
        for _ in range(15):
            now = safety.step(Setpoint(SE3(rotvec_to_matrix(turn), position), twist), DT)
            moved = (now.pose.translation - last.pose.translation) / DT
            turned = matrix_to_rotvec(now.pose.rotation @ last.pose.rotation.T) / DT
            np.testing.assert_allclose(np.concatenate((moved, turned)), now.twist, atol=1e-6)
            assert np.linalg.norm(moved) <= LIMITS.speed * (1 + 1e-9)
            assert np.linalg.norm(turned) <= LIMITS.angular_speed * (1 + 1e-6)
            change = (now.twist - last.twist) / DT
            assert np.linalg.norm(change[:3]) <= LIMITS.acceleration * (1 + 1e-6)
            assert np.linalg.norm(change[3:]) <= LIMITS.angular_acceleration * (1 + 1e-6)
            last = now


@settings(max_examples=60)
@given(st.lists(wish, min_size=1, max_size=8))
def test_walls_hold_for_any_wish(wishes):
    """Steering hard along a wall may spend the acceleration that braking counted on: millimetres, not more."""
    safety = make_filter()
    for position, turn, twist in wishes:
        for _ in range(40):
            now = safety.step(Setpoint(SE3(rotvec_to_matrix(turn), position), twist), DT)
            assert BOX.contains(now.pose.translation, 0.008)


def test_a_feasible_motion_is_followed_exactly():
    safety = make_filter()
    for k in range(1, 200):
        t = k * DT
        position = START.translation + np.array([0.1 * np.sin(2 * t), 0.05 * (1 - np.cos(2 * t)), 0])
        velocity = np.array([0.2 * np.cos(2 * t), 0.1 * np.sin(2 * t), 0, 0, 0, 0.5])
        wanted = Setpoint(SE3(rotvec_to_matrix([0, 0, 0.5 * t]), position), velocity)
        now = safety.step(wanted, DT)
        if t > 0.3:
            np.testing.assert_allclose(now.pose.translation, position, atol=2e-4)
            np.testing.assert_allclose(now.pose.rotation, wanted.pose.rotation, atol=2e-4)


def test_catching_up_does_not_overshoot():
    safety = make_filter()
    target = Setpoint.at_rest(SE3(rotvec_to_matrix([0, 0, 1.0]), START.translation + np.array([0.15, 0, 0])))
    for _ in range(150):
        now = safety.step(target, DT)
        assert now.pose.translation[0] <= 0.55 + 1e-9
        assert matrix_to_rotvec(now.pose.rotation)[2] <= 1.0 + 1e-9
    np.testing.assert_allclose(now.pose.translation, target.pose.translation, atol=1e-6)
    np.testing.assert_allclose(now.pose.rotation, target.pose.rotation, atol=1e-6)


def test_a_wish_that_rushes_at_a_wall_is_braked_before_it():
    """Up to the wall the wish is inside the box and near, so nothing but the wall's own law could brake in time."""
    speed = LIMITS.speed
    for axis in range(3):
        for sign, wall in ((1.0, BOX.upper[axis]), (-1.0, BOX.lower[axis])):
            safety, farthest = make_filter(), -np.inf
            for k in range(1, 300):
                position = START.translation.copy()
                position[axis] += sign * speed * k * DT
                inside = sign * (wall - position[axis]) > 0.0
                position[axis] = position[axis] if inside else wall
                twist = np.zeros(6)
                twist[axis] = sign * speed  # it wants through
                now = safety.step(Setpoint(SE3(np.eye(3), position), twist), DT)
                farthest = max(farthest, sign * (now.pose.translation[axis] - wall))
            assert farthest < 1e-3, (axis, sign, farthest)


def test_a_wish_outside_the_box_leads_to_the_nearest_point_of_the_wall():
    safety = make_filter()
    for _ in range(300):
        now = safety.step(Setpoint.at_rest(SE3(np.eye(3), np.array([0.5, 0.9, 0.3]))), DT)
    np.testing.assert_allclose(now.pose.translation, [0.5, 0.3, 0.3], atol=1e-4)


def test_the_command_does_not_run_ahead_of_joints_that_cannot_follow():
    safety = make_filter()
    for _ in range(200):
        safety.step(Setpoint.at_rest(SE3(rotvec_to_matrix([0, 0, 1.0]), np.array([0.59, 0.0, 0.3]))), DT)
        safety.hold_back(START)
    now = safety.step(Setpoint.at_rest(START), 1e-9)
    assert np.linalg.norm(now.pose.translation - START.translation) <= 0.0101
    assert np.linalg.norm(matrix_to_rotvec(now.pose.rotation)) <= 0.0801
