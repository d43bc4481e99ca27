"""Real-time chunking: what is executed stays, what follows goes over, and grippers and stops are left alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from spatial_vla.actions import ActionChunk
from spatial_vla.geometry import SE3, rotvec_to_matrix
from spatial_vla.motion import CartesianLimits, MotionSettings
from spatial_vla.motion.continuity import continued, mask, mixed, planned
from spatial_vla.motion.reference import ReferenceGenerator

from .rig import TICK_NS, assert_within_limits
from .test_reference import DT_NS, START, T0, follow

step = st.tuples(*[st.floats(-0.05, 0.05)] * 3, *[st.floats(-0.5, 0.5)] * 3)
plan = st.lists(step, min_size=4, max_size=4).map(np.array).filter(np.any)
opening = st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4).map(np.array)


def chunk(stamp_ns, deltas, gripper=None, number=1, instruction=0):
    gripper = np.ones(len(deltas)) if gripper is None else gripper
    return ActionChunk(stamp_ns, 0.2, "panda_link0", np.asarray(deltas, float), gripper, number, instruction)


def angle(a, b):
    return (Rotation.from_rotvec(a[3:]) * Rotation.from_rotvec(b[3:]).inv()).magnitude()


@given(plan, plan, st.integers(0, 3), st.integers(1, 199))
def test_what_has_begun_stays_and_what_the_last_chunk_does_not_reach_is_free(a, b, shift, late_ms):
    """Chunks whose steps coincide, so that the oracle is an index."""
    last, new = chunk(T0, a), chunk(T0 + shift * DT_NS, b, number=2)
    found = continued(last, new, new.stamp_ns + late_ms * 1_000_000).deltas
    for i in range(4):
        if i + shift >= 4:
            np.testing.assert_array_equal(found[i], b[i])
        elif i == 0:
            np.testing.assert_allclose(found[0], a[shift], atol=1e-9)
        else:
            # On the way between both, straight and along the geodesic.
            before, after = a[i + shift], b[i]
            whole, part = angle(before, after), angle(found[i], after)
            assert part <= whole + 1e-9
            assert part + angle(before, found[i]) == pytest.approx(whole, abs=1e-6)
            cross = np.cross(before[:3] - after[:3], found[i][:3] - after[:3])
            np.testing.assert_allclose(cross, 0.0, atol=1e-12)


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 12))
def test_weights_begin_at_one_never_rise_and_end_at_zero(steps, begun, shared):
    weights = mask(steps, begun, shared)
    assert np.all(np.diff(weights) <= 1e-12)
    assert np.all(weights[: min(begun, shared)] == 1.0) and np.all(weights[shared:] == 0.0)
    assert np.all(weights[begun:] < 1.0)


@given(plan, st.integers(0, 800), st.integers(1, 400))
def test_motion_of_a_span_is_what_small_pieces_add_up_to(deltas, start_ms, length_ms):
    last = chunk(T0, deltas)
    position, rotation = np.zeros(3), Rotation.identity()
    for ms in range(start_ms, start_ms + length_ms):
        i = ms // 200
        if i < len(deltas):
            position = position + deltas[i][:3] / 200
            rotation = Rotation.from_rotvec(deltas[i][3:] / 200) * rotation
    found = planned(last, T0 + start_ms * 1_000_000, length_ms * 1_000_000)
    np.testing.assert_allclose(found[:3], position, atol=1e-9)
    np.testing.assert_allclose(Rotation.from_rotvec(found[3:]).as_matrix(), rotation.as_matrix(), atol=1e-9)


@given(plan, plan, opening, opening, st.integers(0, 700), st.integers(0, 300))
def test_the_gripper_is_the_new_chunks_alone(a, b, open_a, open_b, apart_ms, age_ms):
    last = chunk(T0, a, open_a)
    new = chunk(T0 + apart_ms * 1_000_000, b, open_b, 2)
    found = continued(last, new, new.stamp_ns + age_ms * 1_000_000)
    np.testing.assert_array_equal(found.gripper, open_b)
    assert replace(found, deltas=new.deltas).chunk_id == new.chunk_id


@given(plan, plan)
def test_no_step_gets_longer_than_the_longer_of_both(a, b):
    found = continued(chunk(T0, a), chunk(T0 + DT_NS, b, number=2), T0 + DT_NS + 1).deltas
    for part in (slice(0, 3), slice(3, 6)):
        longest = max(np.linalg.norm(x[:, part], axis=1).max() for x in (a, b))
        assert np.linalg.norm(found[:, part], axis=1).max() <= longest + 1e-9


@pytest.mark.parametrize(
    ("last", "new"),
    [
        (chunk(T0, np.full((4, 6), 0.01)), chunk(T0 + DT_NS, np.zeros((4, 6)))),
        (chunk(T0, np.zeros((4, 6))), chunk(T0 + DT_NS, np.full((4, 6), 0.01))),
        (
            chunk(T0, np.full((4, 6), 0.01), instruction=1),
            chunk(T0 + DT_NS, np.full((4, 6), 0.02), instruction=2),
        ),
        (chunk(T0, np.full((4, 6), 0.01)), replace(chunk(T0 + DT_NS, np.full((4, 6), 0.02)), dt=0.1)),
        (chunk(T0, np.full((4, 6), 0.01)), chunk(T0 + 4 * DT_NS, np.full((4, 6), 0.02))),
    ],
    ids=["stop", "from rest", "another instruction", "another step", "the last one is over"],
)
def test_chunks_that_do_not_belong_together_are_not_mixed(last, new):
    np.testing.assert_array_equal(continued(last, new, new.stamp_ns + 50_000_000).deltas, new.deltas)


def generators():
    both = [ReferenceGenerator(CartesianLimits(), continuous) for continuous in (False, True)]
    for generator in both:
        generator.anchor(START, T0)
    return both


@given(plan, st.integers(0, 3), st.integers(0, 19))
def test_chunks_that_agree_are_followed_as_without(deltas, shift, ticks):
    """The second chunk says again what the first has said; then there is nothing to go over to."""
    again = np.vstack((deltas[shift:], deltas[:shift])) if shift else deltas
    now = T0 + shift * DT_NS + ticks * TICK_NS
    poses = []
    for generator in generators():
        generator.accept(chunk(T0, deltas), T0)
        follow(generator, T0, now)
        generator.accept(chunk(T0 + shift * DT_NS, again, number=2), now)
        poses.append([s.pose.matrix() for s in follow(generator, now, now + 5 * DT_NS)])
    np.testing.assert_allclose(poses[0], poses[1], atol=1e-6)


def acceleration(generator, seed):
    """RMS [m/s^2, rad/s^2] of a stream of chunks that agree about one motion but for noise."""
    rng = np.random.default_rng(seed)
    mean, noise = np.array([0.02, 0.01, 0.0, 0.0, 0.1, 0.0]), np.array([0.01] * 3 + [0.05] * 3)
    track = follow(generator, T0, T0 + 5 * TICK_NS)
    for i in range(12):
        stamp = T0 + i * DT_NS
        generator.accept(chunk(stamp, rng.normal(mean, noise, (4, 6)), number=i + 1), stamp + 5 * TICK_NS)
        track += follow(generator, stamp + 5 * TICK_NS, stamp + 25 * TICK_NS)
    change = np.diff([setpoint.twist for setpoint in track], axis=0) / 0.01
    return [np.sqrt(np.mean(np.sum(change[:, part] ** 2, axis=1))) for part in (slice(0, 3), slice(3, 6))]


def test_the_motion_is_smoother_where_chunks_disagree():
    found = np.array([[acceleration(g, seed) for g in generators()] for seed in range(12)])
    plain, smooth = np.median(found, axis=0)
    assert np.all(smooth < 0.8 * plain), (plain, smooth)


@pytest.mark.parametrize("age_ms", [0, 50, 100, 150, 180, 190, 250, 350])
def test_one_chunk_that_disagrees_does_not_make_the_arm_ring(age_ms):
    """However old chunks are: when they agree again, the motion is theirs within a chunk's length."""
    steady, other = np.array([0.02, 0.0, 0.0, 0.0, 0.0, 0.05]), np.array([0.0, 0.03, 0.0, 0.1, 0.0, 0.0])
    for generator in generators():
        now = T0
        for i in range(16):
            deltas = np.tile(other if i == 6 else steady, (4, 1))
            generator.accept(chunk(now - age_ms * 1_000_000, deltas, number=i + 1), now)
            track = follow(generator, now, now + DT_NS)
            now += DT_NS
            if i > 11:
                for setpoint in track:
                    np.testing.assert_allclose(
                        setpoint.twist, steady / 0.2, atol=0.02 * np.abs(other / 0.2).max()
                    )


def test_position_and_velocity_do_not_jump_where_the_chunks_meet():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        _, generator = generators()
        generator.accept(chunk(T0, rng.normal(0, 0.02, (4, 6))), T0)
        follow(generator, T0, T0 + 27 * TICK_NS)
        now = T0 + 27 * TICK_NS
        before = generator.commanded(now)
        generator.accept(chunk(T0 + 21 * TICK_NS, rng.normal(0, 0.02, (4, 6)), number=2), now)
        after = generator.sample(now)
        np.testing.assert_allclose(after.pose.matrix(), before.pose.matrix(), atol=1e-9)
        np.testing.assert_allclose(after.twist, before.twist, atol=1e-7)


def test_an_arm_with_real_time_chunking_keeps_its_limits_and_stops_as_fast(make_rig):
    rig = make_rig(settings=MotionSettings(real_time_chunking=True))
    rig.arm()
    rng = np.random.default_rng(1)
    for i in range(200):
        if i % 20 == 0:
            rig.chunk(rng.normal([0.0, 0.02, 0.0, 0.0, 0.0, 0.0], 0.02, (4, 6)))
        rig.tick()
    assert rig.speed() > 0.02
    rig.chunk(np.zeros((4, 6)))
    rig.tick(60)
    assert rig.speed() == 0.0
    assert_within_limits(rig)


def test_mixing_is_exact_at_its_ends():
    a, b = np.array([0.1, 0, 0, 0.3, 0.2, -1.0]), np.array([0, 0.2, 0, -0.5, 1.0, 0.4])
    np.testing.assert_allclose(mixed(a, b, 1.0), a, atol=1e-12)
    np.testing.assert_allclose(mixed(a, b, 0.0), b, atol=1e-12)
    half = rotvec_to_matrix(mixed(a, b, 0.5)[3:])
    ends = [SE3(rotvec_to_matrix(x[3:]), np.zeros(3)).rotation for x in (a, b)]
    angles = [np.arccos((np.trace(half @ end.T) - 1) / 2) for end in ends]
    assert angles[0] == pytest.approx(angles[1])
