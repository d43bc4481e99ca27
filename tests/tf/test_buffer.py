"""Rules of a transform buffer, the same for both back ends; pytransform3d is the oracle for the arithmetic."""

import threading

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytransform3d.transform_manager import (
    NumpyTimeseriesTransform,
    TemporalTransformManager,
    TransformManager,
)
from pytransform3d.transformations import transform_from_pq
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation, Slerp

SECOND = 1_000_000_000
UPRIGHT = (0.0, 0.0, 0.0, 1.0)


def message(parent, child, t=(0.0, 0.0, 0.0), q=UPRIGHT, seconds=0.0):
    m = TransformStamped(child_frame_id=child)
    m.header.frame_id = parent
    m.header.stamp = Time(nanoseconds=round(seconds * SECOND)).to_msg()
    m.transform.translation.x, m.transform.translation.y, m.transform.translation.z = map(float, t)
    r = m.transform.rotation
    r.x, r.y, r.z, r.w = map(float, q)
    return m


def at(seconds):
    return Time(nanoseconds=round(seconds * SECOND))


def matrix(stamped):
    t, q = stamped.transform.translation, stamped.transform.rotation
    return transform_from_pq([t.x, t.y, t.z, q.w, q.x, q.y, q.z])


def about_z(angle):
    return Rotation.from_rotvec([0, 0, angle]).as_quat()


def put(buffer, *args, static=False, **kwargs):
    store = buffer.set_transform_static if static else buffer.set_transform
    store(message(*args, **kwargs), "test")


def test_random_tree_agrees_with_oracle(tf):
    rng = np.random.default_rng(7)
    for _ in range(20):
        buffer, oracle = tf.Buffer(), TransformManager()
        frames = ["f0"]
        for i in range(1, 9):
            parent, child = str(rng.choice(frames)), f"f{i}"
            t, q = rng.normal(size=3), Rotation.random(None, rng).as_quat()
            put(buffer, parent, child, t, q, seconds=1.0, static=bool(rng.integers(2)))
            oracle.add_transform(child, parent, transform_from_pq([*t, q[3], *q[:3]]))
            frames.append(child)
        for target, source in rng.choice(frames, (10, 2)):
            expected = oracle.get_transform(source, target)
            np.testing.assert_allclose(
                matrix(buffer.lookup_transform(target, source, at(1.0))), expected, atol=1e-9
            )


@pytest.mark.parametrize(
    "poses",
    [
        [((0, 0, 0), UPRIGHT), ((1, -2, 3), UPRIGHT), ((1, 1, 1), UPRIGHT)],
        [((0, 0, 0), about_z(0.2)), ((0, 0, 0), about_z(2.9)), ((0, 0, 0), about_z(-2.0))],
    ],
    ids=["translation", "rotation"],
)
def test_interpolation_agrees_with_oracle(buffer, poses):
    """On pure translations and pure rotations, lerp with slerp is the screw motion of the oracle."""
    stamps = [1.0, 1.5, 3.0]
    for (t, q), s in zip(poses, stamps, strict=True):
        put(buffer, "base", "tool", t, q, seconds=s)
    pqs = np.array([[*t, q[3], *q[:3]] for t, q in poses], dtype=float)
    oracle = TemporalTransformManager()
    oracle.add_transform("tool", "base", NumpyTimeseriesTransform(np.array(stamps), pqs))
    for s in np.linspace(1.0, 3.0, 33):
        expected = oracle.get_transform_at_time("tool", "base", s)
        np.testing.assert_allclose(
            matrix(buffer.lookup_transform("base", "tool", at(s))), expected, atol=1e-7
        )


def test_interpolation_of_opposite_quaternions_takes_the_short_way(buffer):
    put(buffer, "a", "b", q=about_z(0.1), seconds=1.0)
    put(buffer, "a", "b", q=-np.asarray(about_z(0.3)), seconds=2.0)
    rotation = matrix(buffer.lookup_transform("a", "b", at(1.5)))[:3, :3]
    np.testing.assert_allclose(Rotation.from_matrix(rotation).as_rotvec(), [0, 0, 0.2], atol=1e-9)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_moving_chain_agrees_with_oracle(tf, data):
    """Eight edges, each with stamps of its own, some static: SciPy interpolates each edge, pytransform3d composes."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    buffer, edges = tf.Buffer(), []
    for i in range(8):
        stamps = np.sort(rng.choice(np.arange(1_000, 4_000), 4, replace=False)) / 1000.0
        stamps[0], stamps[-1] = 1.0, 4.0
        poses = [(rng.normal(size=3), Rotation.random(None, rng)) for _ in stamps]
        still = rng.random() < 0.25
        for stamp, (t, r) in zip(stamps, poses, strict=True):
            put(
                buffer,
                f"f{i}",
                f"f{i + 1}",
                t,
                r.as_quat() * rng.choice([-1, 1]),
                static=still,
                seconds=stamp,
            )
        edges.append((stamps, poses, still))
    when = data.draw(st.integers(1_000_000_000, 4_000_000_000)) / SECOND
    oracle = TransformManager()
    for i, (stamps, poses, still) in enumerate(edges):
        t, r = poses[-1]
        if not still:
            moves = np.array([t for t, _ in poses])
            t = np.array([np.interp(when, stamps, column) for column in moves.T])
            r = Slerp(stamps, Rotation.concatenate([r for _, r in poses]))(when)
        q = r.as_quat()
        oracle.add_transform(f"f{i + 1}", f"f{i}", transform_from_pq([*t, q[3], *q[:3]]))
    a, b = (f"f{data.draw(st.integers(0, 8))}" for _ in range(2))
    found = matrix(buffer.lookup_transform(a, b, at(when)))
    np.testing.assert_allclose(found, oracle.get_transform(b, a), atol=1e-6)


def test_slightly_unnormalised_quaternions_do_not_add_up(buffer):
    for i in range(8):
        put(buffer, f"f{i}", f"f{i + 1}", (1, 0, 0), (0, 0, 0, 1.0009), static=True)
    q = buffer.lookup_transform("f0", "f8", Time()).transform.rotation
    assert np.linalg.norm([q.x, q.y, q.z, q.w]) == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(
        matrix(buffer.lookup_transform("f8", "f0", Time()))[:3, 3], [-8, 0, 0], atol=1e-6
    )


def test_errors_name_frames_and_times(tf, buffer):
    for s in (1.0, 2.0):
        put(buffer, "world", "hand", seconds=s)
    put(buffer, "hand", "camera", static=True)
    for s in (0.5, 2.5):
        with pytest.raises(tf.ExtrapolationException, match=r"2\.0|1\.0|0\.5|2\.5"):
            buffer.lookup_transform("world", "camera", at(s))


def test_writers_and_readers_do_not_disturb_each_other(tf, buffer):
    """Each stamp has one true pose; whatever a reader gets must be that one."""
    put(buffer, "world", "hand", (0, 0, 0), seconds=1.0)

    def write():
        for i in range(1, 2000):
            put(buffer, "world", "hand", (i * 0.01, 0, 0), seconds=1.0 + i * 0.01)

    writer = threading.Thread(target=write)
    writer.start()
    wrong = 0
    while writer.is_alive():
        found = buffer.lookup_transform("world", "hand", Time())
        stamp = found.header.stamp.sec + 1e-9 * found.header.stamp.nanosec
        wrong += abs(found.transform.translation.x - (stamp - 1.0)) > 1e-6
    writer.join()
    assert not wrong


def test_no_extrapolation(tf, buffer):
    for s in (1.0, 2.0):
        put(buffer, "a", "b", seconds=s)
    for s in (0.999, 2.001):
        with pytest.raises(tf.ExtrapolationException):
            buffer.lookup_transform("a", "b", at(s))
        assert not buffer.can_transform("a", "b", at(s))
    assert buffer.can_transform("a", "b", at(2.0))


def test_single_sample_holds_at_its_stamp_only(tf, buffer):
    put(buffer, "a", "b", seconds=1.0)
    assert buffer.can_transform("a", "b", at(1.0))
    assert not buffer.can_transform("a", "b", at(1.001))


def test_time_zero_is_the_latest_common_time(buffer):
    for s, x in ((1.0, 1.0), (3.0, 3.0)):
        put(buffer, "world", "arm", (x, 0, 0), seconds=s)
    put(buffer, "arm", "tool", (0, 1, 0), seconds=1.0)
    put(buffer, "arm", "tool", (0, 2, 0), seconds=2.0)
    put(buffer, "tool", "camera", (0, 0, 5), static=True)
    found = buffer.lookup_transform("world", "camera", Time())
    assert found.header.stamp == at(2.0).to_msg()
    np.testing.assert_allclose(matrix(found)[:3, 3], [2, 2, 5])
    assert (found.header.frame_id, found.child_frame_id) == ("world", "camera")


def test_gap_above_the_common_ancestor_does_not_matter(buffer):
    put(buffer, "world", "base", seconds=1.0)
    for s in (5.0, 6.0):
        put(buffer, "base", "left", (1, 0, 0), seconds=s)
        put(buffer, "base", "right", (0, 1, 0), seconds=s)
    np.testing.assert_allclose(matrix(buffer.lookup_transform("left", "right", at(5.5)))[:3, 3], [-1, 1, 0])


def test_static_holds_at_all_times(buffer):
    put(buffer, "a", "b", (1, 2, 3), static=True)
    for time in (Time(), at(0.5), at(1e6)):
        np.testing.assert_allclose(matrix(buffer.lookup_transform("a", "b", time))[:3, 3], [1, 2, 3])
    put(buffer, "a", "b", (4, 5, 6), static=True)
    np.testing.assert_allclose(matrix(buffer.lookup_transform("a", "b", Time()))[:3, 3], [4, 5, 6])


def test_cache_forgets_after_ten_seconds(tf, buffer):
    for s in np.arange(1.0, 14.0):
        put(buffer, "a", "b", seconds=s)
    assert buffer.can_transform("a", "b", at(3.5))
    assert not buffer.can_transform("a", "b", at(2.5))
    put(buffer, "a", "b", (9, 9, 9), seconds=1.0)
    assert not buffer.can_transform("a", "b", at(1.0)), "a sample older than the cache came back"


def test_cache_time_is_a_choice(tf):
    buffer = tf.Buffer(cache_time=Duration(seconds=1))
    for s in (1.0, 2.0, 3.0):
        put(buffer, "a", "b", seconds=s)
    assert not buffer.can_transform("a", "b", at(1.5))


def test_late_sample_is_sorted_in(buffer):
    for s in (1.0, 3.0, 2.0):
        put(buffer, "a", "b", (s * s, 0, 0), seconds=s)
    np.testing.assert_allclose(matrix(buffer.lookup_transform("a", "b", at(1.5)))[0, 3], 2.5)


def test_unknown_and_unconnected_frames(tf, buffer):
    put(buffer, "a", "b", static=True)
    put(buffer, "c", "d", static=True)
    with pytest.raises(tf.LookupException, match="nowhere"):
        buffer.lookup_transform("a", "nowhere", Time())
    for time in (Time(), at(1.0)):
        with pytest.raises(tf.ConnectivityException):
            buffer.lookup_transform("b", "d", time)


@pytest.mark.parametrize("name", ["", "/a"])
def test_malformed_frame_names(tf, buffer, name):
    put(buffer, "a", "b", static=True)
    with pytest.raises(tf.InvalidArgumentException):
        buffer.lookup_transform(name, "b", Time())


def test_loop_is_an_error_not_a_hang(tf, buffer):
    put(buffer, "a", "b", seconds=1.0)
    put(buffer, "b", "c", seconds=1.0)
    put(buffer, "c", "a", seconds=1.0)
    put(buffer, "x", "y", seconds=1.0)
    for time in (at(1.0), Time()):
        with pytest.raises(tf.TransformException):
            buffer.lookup_transform("y", "b", time)


def test_frame_may_change_its_parent(buffer):
    put(buffer, "world", "hand", (1, 0, 0), seconds=0.5)
    put(buffer, "world", "cube", (0, 0, 0), seconds=1.0)
    put(buffer, "hand", "cube", (0, 0, 1), seconds=2.0)
    put(buffer, "world", "hand", (1, 0, 0), seconds=3.0)
    np.testing.assert_allclose(matrix(buffer.lookup_transform("world", "cube", at(2.0)))[:3, 3], [1, 0, 1])
    np.testing.assert_allclose(
        matrix(buffer.lookup_transform("world", "cube", at(1.9)))[:3, 3],
        [0, 0, 0],
        err_msg="the older sample holds",
    )


def test_clear_keeps_static_transforms_alone(tf, buffer):
    put(buffer, "a", "b", static=True)
    put(buffer, "b", "c", seconds=5.0)
    buffer.clear()
    assert buffer.can_transform("a", "b", Time())
    assert not buffer.can_transform("a", "c", Time())
    put(buffer, "b", "c", seconds=1.0)
    assert buffer.can_transform("a", "c", at(1.0))
