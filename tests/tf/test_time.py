"""Time and topology under stress, for both back ends: nothing is ever extrapolated, whatever the clock does."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rclpy.time import Time

from .test_buffer import at, matrix, put

tenths = st.integers(1, 90)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(tenths, min_size=1, max_size=8, unique=True), st.integers(1, 100), st.integers(0, 2))
def test_inside_the_samples_is_a_straight_line_and_outside_is_an_error(tf, stamps, asked, static_edges):
    """The chain a - b - c - d moves in one edge; x is the time itself, so every answer is known."""
    buffer = tf.Buffer()
    for stamp in stamps:
        put(buffer, "a", "b", (stamp / 10, 0, 0), seconds=stamp / 10)
    for parent, child in (("b", "c"), ("c", "d"))[:static_edges]:
        put(buffer, parent, child, static=True)
    end = ("b", "c", "d")[static_edges]
    if min(stamps) <= asked <= max(stamps):
        found = matrix(buffer.lookup_transform("a", end, at(asked / 10)))[0, 3]
        assert found == pytest.approx(asked / 10, abs=1e-6)
    else:
        assert not buffer.can_transform("a", end, at(asked / 10))
        with pytest.raises(tf.ExtrapolationException):
            buffer.lookup_transform("a", end, at(asked / 10))


def test_one_edge_that_is_behind_holds_back_the_whole_chain(tf, buffer):
    for i in range(8):
        for seconds in (1.0, 2.0) if i == 5 else (1.0, 3.0):
            put(buffer, f"f{i}", f"f{i + 1}", (seconds, 0, 0), seconds=seconds)
    with pytest.raises(tf.ExtrapolationException):
        buffer.lookup_transform("f0", "f8", at(2.5))
    assert matrix(buffer.lookup_transform("f0", "f5", at(2.5)))[0, 3] == pytest.approx(5 * 2.5)
    latest = buffer.lookup_transform("f0", "f8", Time())
    assert (latest.header.stamp.sec, latest.header.stamp.nanosec) == (2, 0)
    assert matrix(latest)[0, 3] == pytest.approx(8 * 2.0)


def test_edges_that_share_no_time_have_no_transform(tf, buffer):
    for seconds in (1.0, 2.0):
        put(buffer, "a", "b", seconds=seconds)
    for seconds in (3.0, 4.0):
        put(buffer, "b", "c", seconds=seconds)
    for time in (at(1.5), at(2.5), at(3.5)):
        with pytest.raises(tf.ExtrapolationException):
            buffer.lookup_transform("a", "c", time)


def test_a_jump_ahead_is_not_bridged(tf, buffer):
    """Nobody knows where the hand was while the clock jumped; what is older than the cache is gone."""
    for seconds in (1.0, 2.0, 100.0):
        put(buffer, "world", "hand", (seconds, 0, 0), seconds=seconds)
    for seconds in (1.5, 50.0, 99.0):
        with pytest.raises(tf.ExtrapolationException):
            buffer.lookup_transform("world", "hand", at(seconds))
    assert matrix(buffer.lookup_transform("world", "hand", at(100.0)))[0, 3] == 100.0


def test_after_a_jump_back_and_clear_only_the_new_time_counts(tf, buffer):
    put(buffer, "world", "hand", (1, 0, 0), seconds=100.0)
    put(buffer, "hand", "camera", (0, 0, 1), static=True)
    buffer.clear()
    for seconds in (3.0, 4.0):
        put(buffer, "world", "hand", (seconds, 0, 0), seconds=seconds)
    found = matrix(buffer.lookup_transform("world", "camera", at(3.5)))
    np.testing.assert_allclose(found[:3, 3], [3.5, 0, 1])
    with pytest.raises(tf.ExtrapolationException):
        buffer.lookup_transform("world", "camera", at(100.0))


@pytest.mark.parametrize("length", [2, 3, 8])
def test_a_loop_of_any_length_ends_in_an_error_and_is_healed_by_a_new_parent(tf, buffer, length):
    for i in range(length):
        put(buffer, f"f{i}", f"f{(i + 1) % length}", (1, 0, 0), seconds=1.0)
    put(buffer, "x", "y", seconds=1.0)
    for time in (at(1.0), Time()):
        with pytest.raises(tf.TransformException):
            buffer.lookup_transform("y", "f0", time)
    put(buffer, "y", "f0", (0, 1, 0), seconds=2.0)
    for i in range(length - 1):
        put(buffer, f"f{i}", f"f{i + 1}", (1, 0, 0), seconds=2.0)
    put(buffer, "x", "y", seconds=2.0)
    found = matrix(buffer.lookup_transform("x", f"f{length - 1}", at(2.0)))
    np.testing.assert_allclose(found[:3, 3], [length - 1, 1, 0])


def test_a_static_transform_that_is_sent_again_is_replaced_at_all_times(buffer):
    """As a corrected calibration must be."""
    put(buffer, "a", "b", (1, 0, 0), static=True)
    assert matrix(buffer.lookup_transform("a", "b", at(7.0)))[0, 3] == 1.0
    put(buffer, "a", "b", (2, 0, 0), static=True)
    assert matrix(buffer.lookup_transform("a", "b", at(0.5)))[0, 3] == 2.0
