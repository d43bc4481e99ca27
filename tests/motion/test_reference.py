"""The reference: tied to commanded poses by time, smooth, integrated on SO(3), never beyond the plan."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from spatial_vla.actions import ActionChunk
from spatial_vla.geometry import SE3, matrix_to_rotvec, rotvec_to_matrix
from spatial_vla.motion import CartesianLimits
from spatial_vla.motion.history import PoseHistory, Setpoint
from spatial_vla.motion.path import ChunkPath, left_jacobian, left_jacobian_inverse
from spatial_vla.motion.reference import ReferenceGenerator

from .rig import TICK_NS, steps

START = SE3(rotvec_to_matrix([0.3, -2.0, 0.5]), np.array([0.4, 0.1, 0.3]))
LIMITS = CartesianLimits()
T0 = 5_000_000_000
DT_NS = 200_000_000

component = st.floats(-0.3, 0.3)
plan = st.lists(st.tuples(*[component] * 6), min_size=1, max_size=6).map(np.array)


def make_chunk(stamp_ns, deltas, dt=0.2, chunk_id=0):
    return ActionChunk(stamp_ns, dt, "panda_link0", np.asarray(deltas, float), np.ones(len(deltas)), chunk_id)


def follow(generator, start_ns, end_ns):
    """Sample as the controller does and command exactly what is wanted."""
    out = []
    for now in range(start_ns, end_ns, TICK_NS):
        setpoint = generator.sample(now + TICK_NS)
        generator.record(now + TICK_NS, setpoint)
        out.append(setpoint)
    return out


def beyond(offset):
    return START.translation + np.array(offset)


def apart(a, b):
    turn = np.linalg.norm(matrix_to_rotvec(a.rotation @ b.rotation.T))
    return np.linalg.norm(a.translation - b.translation), turn


@given(st.tuples(*[st.floats(-1.0, 1.0)] * 3).map(np.array), st.tuples(*[component] * 3).map(np.array))
def test_left_jacobian_maps_rates_to_angular_velocity(phi, rate):
    h = 1e-6
    before, after = rotvec_to_matrix(phi - h * rate), rotvec_to_matrix(phi + h * rate)
    omega = matrix_to_rotvec(after @ before.T) / (2 * h)
    np.testing.assert_allclose(left_jacobian(phi) @ rate, omega, atol=1e-7)
    np.testing.assert_allclose(left_jacobian_inverse(phi) @ left_jacobian(phi), np.eye(3), atol=1e-9)


@given(plan)
def test_path_passes_through_the_pose_at_the_end_of_every_step(deltas):
    path = ChunkPath(T0, 0.2, Setpoint.at_rest(START), deltas)
    position, rotation = START.translation, Rotation.from_matrix(START.rotation)
    for i, delta in enumerate(deltas):
        position, rotation = position + delta[:3], Rotation.from_rotvec(delta[3:]) * rotation
        expected = SE3(rotation.as_matrix(), position)
        assert max(apart(path.sample(T0 + (i + 1) * DT_NS).pose, expected)) < 1e-9
    assert not path.sample(T0 + len(deltas) * DT_NS).twist.any()


@settings(max_examples=30)
@given(plan, st.tuples(*[component] * 6).map(np.array))
def test_twist_is_the_derivative_of_the_pose_and_has_no_jumps(deltas, twist):
    path = ChunkPath(T0, 0.2, Setpoint(START, twist), deltas)
    h = 1000
    last = twist
    for t in range(T0 + TICK_NS // 2, path.end_ns, TICK_NS // 2):
        a, b, now = path.sample(t - h), path.sample(t + h), path.sample(t)
        linear = (b.pose.translation - a.pose.translation) / (2e-9 * h)
        angular = matrix_to_rotvec(b.pose.rotation @ a.pose.rotation.T) / (2e-9 * h)
        np.testing.assert_allclose(now.twist, np.concatenate((linear, angular)), atol=1e-4)
        # 12 x 0.3 / 0.2^2 + 6 x 0.3 / 0.2 bounds the acceleration of these cubics
        assert np.abs(now.twist - last).max() < 0.005 * 110 + 0.1
        last = now.twist


def test_a_constant_turn_in_small_steps_is_a_turn_about_the_base_axis():
    """Composed on the left: the axis stays fixed in the base however the tool is turned."""
    path = ChunkPath(T0, 0.2, Setpoint.at_rest(START), steps(0, 0, 0, 0, 0.25, 0))
    expected = rotvec_to_matrix([0, 1.0, 0]) @ START.rotation
    assert apart(path.sample(path.end_ns).pose, SE3(expected, START.translation))[1] < 1e-9


def test_nothing_overshoots_when_a_plan_ends_or_turns_back():
    path = ChunkPath(
        T0, 0.2, Setpoint.at_rest(START), np.vstack((steps(0.05, count=2), steps(0), steps(-0.02)))
    )
    x = [path.sample(t).pose.translation[0] - 0.4 for t in range(T0, path.end_ns, 1_000_000)]
    assert max(x) <= 0.1 + 1e-12


@settings(max_examples=20)
@given(st.lists(st.tuples(*[component] * 6), min_size=9, max_size=9).map(np.array), st.integers(0, 12))
def test_overlapping_consistent_chunks_equal_the_plan(deltas, late_ticks):
    """Each chunk holds the plan's next four steps and comes 0 to 120 ms after its observation."""
    whole = ChunkPath(T0, 0.2, Setpoint.at_rest(START), deltas)
    generator = ReferenceGenerator(LIMITS)
    generator.anchor(START, T0)
    for i in range(6):
        stamp = T0 + i * DT_NS
        arrival = stamp + (late_ticks * TICK_NS if i else 0)
        generator.accept(make_chunk(stamp, deltas[i : i + 4]), arrival)
        end = stamp + DT_NS + late_ticks * TICK_NS
        for k, setpoint in enumerate(follow(generator, arrival, end)):
            expected = whole.sample(arrival + (k + 1) * TICK_NS)
            assert max(apart(setpoint.pose, expected.pose)) < 1e-6
            np.testing.assert_allclose(setpoint.twist, expected.twist, atol=1e-5)


@settings(max_examples=30)
@given(plan, plan, st.integers(0, 79), st.integers(0, 79))
def test_a_new_chunk_takes_over_without_a_jump(first, second, when, age):
    generator = ReferenceGenerator(LIMITS)
    generator.anchor(START, T0)
    generator.accept(make_chunk(T0, first), T0)
    arrival = T0 + when * TICK_NS
    follow(generator, T0, arrival)
    before = generator.commanded(arrival)
    generator.accept(make_chunk(arrival - age * TICK_NS, second), arrival)
    after = generator.sample(arrival)
    assert max(apart(before.pose, after.pose)) < 1e-9
    np.testing.assert_allclose(before.twist, after.twist, atol=1e-7)


def test_the_fade_is_over_after_one_step():
    generator = ReferenceGenerator(LIMITS)
    generator.anchor(START, T0)
    generator.accept(make_chunk(T0, steps(0.05)), T0)
    follow(generator, T0, T0 + 3 * DT_NS)
    stamp = T0 + 2 * DT_NS
    generator.accept(make_chunk(stamp, steps(0, 0.05)), T0 + 3 * DT_NS)
    follow(generator, T0 + 3 * DT_NS, T0 + 4 * DT_NS)
    # One step of the new chunk had passed and is not made up for; the one under way has been taken.
    expected = beyond([0.15, 0.05, 0.0])
    np.testing.assert_allclose(generator.sample(T0 + 4 * DT_NS).pose.translation, expected, atol=1e-9)


def test_skipped_steps_are_not_made_up_for():
    """From rest, a chunk that is two and a half steps late moves by what is left, not by what it missed."""
    generator = ReferenceGenerator(LIMITS)
    generator.anchor(START, T0)
    now = T0 + 500_000_000
    generator.record(now, Setpoint.at_rest(START))
    assert generator.accept(make_chunk(T0, steps(0.05)), now) == 2
    follow(generator, now, now + 2_000_000_000)
    np.testing.assert_allclose(generator.commanded(now + 10**10).pose.translation, beyond([0.1, 0, 0]))


def test_a_chunk_with_nothing_left_changes_nothing():
    generator = ReferenceGenerator(LIMITS)
    generator.anchor(START, T0)
    assert generator.accept(make_chunk(T0 - 4 * DT_NS, steps(0.05)), T0) == 4
    assert not generator.active(T0)
    assert max(apart(generator.sample(T0 + TICK_NS).pose, START)) == 0.0


def test_starvation_ends_at_rest_at_the_end_of_the_plan():
    generator = ReferenceGenerator(LIMITS)
    generator.anchor(START, T0)
    generator.accept(make_chunk(T0, steps(0.05, 0, 0, 0, 0, 0.2)), T0)
    trail = follow(generator, T0, T0 + 10 * DT_NS)
    np.testing.assert_allclose(trail[-1].pose.translation, beyond([0.2, 0, 0]), atol=1e-9)
    assert not trail[-1].twist.any()
    assert max(s.pose.translation[0] for s in trail) <= 0.6 + 1e-9
    assert not generator.active(T0 + 4 * DT_NS)


def test_history_interpolates_and_overwrites_what_a_set_back_clock_contradicts():
    history = PoseHistory()
    with pytest.raises(LookupError, match="anchored"):
        history.at(0)
    other = SE3(rotvec_to_matrix([0, 0, 0.2]) @ START.rotation, beyond([0.1, 0, 0]))
    history.append(0, Setpoint.at_rest(START))
    history.append(100, Setpoint.at_rest(other))
    middle = SE3(rotvec_to_matrix([0, 0, 0.1]) @ START.rotation, beyond([0.05, 0, 0]))
    assert max(apart(history.at(50).pose, middle)) < 1e-12
    assert history.at(-5).pose.translation[0] == 0.4 and history.at(10**10) is history.last
    history.append(60, Setpoint.at_rest(START))
    assert history.last_ns == 60


def test_history_stays_bounded():
    history = PoseHistory(length_ns=1_000_000_000)
    for i in range(1000):
        history.append(i * TICK_NS, Setpoint.at_rest(START))
    assert len(history._stamps) <= 202
    assert apart(history.at(9_000_000_000).pose, START)[0] == 0.0
