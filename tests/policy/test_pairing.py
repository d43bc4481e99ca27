"""Whole and fresh observations only: whatever order messages come in, and whatever is lost."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spatial_vla.policy.pairing import STALE, SUPERSEDED, UNPAIRED, LatestFrame, NotYet, StampPairing

MS = 1_000_000
STREAMS = ("image", "depth", "info")


class Drops:
    def __init__(self):
        self.counts, self.reasons = Counter(), []

    def __call__(self, counter, reason):
        self.counts[counter] += 1
        self.reasons.append(reason)


@pytest.fixture
def drops():
    return Drops()


@pytest.fixture
def pairing(drops):
    return StampPairing(STREAMS, max_age_ns=150 * MS, on_drop=drops)


@pytest.fixture
def latest(drops):
    return LatestFrame(max_age_ns=150 * MS, on_drop=drops)


def test_frame_is_complete_with_the_last_of_its_streams(pairing, drops):
    assert pairing.add("depth", 5, "d") is None
    assert pairing.add("image", 5, "i") is None
    assert pairing.add("info", 5, "c") == ["i", "d", "c"]
    assert not drops.counts


def test_stamps_must_be_equal_to_the_nanosecond(pairing):
    pairing.add("image", 100, "i")
    pairing.add("depth", 101, "d")
    assert pairing.add("info", 100, "c") is None


def test_older_incomplete_frame_is_given_up_and_said(pairing, drops):
    pairing.add("image", 1 * MS, "lonely")
    for name in STREAMS:
        pairing.add(name, 2 * MS, name)
    assert drops.counts == {UNPAIRED: 1}
    assert drops.reasons == ["image of 0.001 s came without depth, info of the same stamp"]
    assert pairing.add("depth", 1 * MS, "too late") is None
    assert drops.counts == {UNPAIRED: 1}, "a frame is counted once"


def test_frame_older_than_one_that_was_used_is_stale(pairing, drops):
    for name in STREAMS:
        pairing.add(name, 500 * MS, name)
    for name in STREAMS:
        assert pairing.add(name, 400 * MS, name) is None
    assert drops.counts == {STALE: 1}
    assert drops.reasons == ["frame of 0.400 s came after that of 0.500 s"]


def test_missing_stream_is_noticed_although_nothing_ever_completes(pairing, drops):
    for k in range(10):
        pairing.add("image", k * 100 * MS, "i")
        pairing.add("depth", k * 100 * MS, "d")
    assert drops.counts == {UNPAIRED: 8}


def test_one_stamp_from_the_far_future_does_no_harm(pairing, drops):
    pairing.add("image", 10**15, "i")
    for k in range(20):
        for name in STREAMS:
            items = pairing.add(name, k * 100 * MS, name)
        assert items == list(STREAMS)
    assert not drops.counts


def test_unknown_stream(pairing):
    with pytest.raises(KeyError, match=r"'sound'.*image, depth, info"):
        pairing.add("sound", 1, "s")


def test_time_may_begin_anew(pairing):
    """After a simulation restarts, and after one frame with a stamp from the far future."""
    for name in STREAMS:
        pairing.add(name, 9000 * MS, name)
    assert [pairing.add(name, 1, name) for name in STREAMS][-1] == list(STREAMS)


@given(st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(0, 30)), max_size=120))
def test_every_frame_is_whole_newer_and_accounted_for(arrivals):
    drops = Drops()
    pairing = StampPairing(STREAMS, max_age_ns=5, on_drop=drops, depth=4)
    done, stamps = [], set()
    for stream, stamp in arrivals:
        stamps.add(stamp)
        items = pairing.add(stream, stamp, (stream, stamp))
        if items is not None:
            assert items == [(name, stamp) for name in STREAMS]
            done.append(stamp)
        assert len(pairing._partial) <= 4
    assert done == sorted(set(done)), "frames come out in order and once"
    assert len(done) + drops.counts[UNPAIRED] + drops.counts[STALE] + len(pairing._partial) == len(stamps)


def test_newest_frame_wins(latest, drops):
    latest.offer(1 * MS, "old")
    latest.offer(2 * MS, "new")
    assert latest.take(3 * MS, str.upper) == "NEW"
    assert latest.take(3 * MS, str.upper) is None
    assert drops.counts == {SUPERSEDED: 1}


def test_stale_frame_is_dropped(latest, drops):
    latest.offer(0, "f")
    assert latest.take(151 * MS, str.upper) is None
    assert drops.counts == {STALE: 1}
    assert "0.151 s old; the limit is 0.150 s" in drops.reasons[0]
    assert not latest.waiting


def test_frame_from_the_future_means_two_clocks(latest, drops):
    latest.offer(1000 * MS, "f")
    assert latest.take(0, str.upper) is None
    assert drops.counts == {STALE: 1}
    assert "ahead of the clock" in drops.reasons[0]


def test_frame_waits_for_what_it_needs_until_its_deadline(latest, drops):
    def incomplete(_):
        raise NotYet("no transform from a to b")

    latest.offer(0, "f")
    assert latest.take(10 * MS, incomplete) is None
    assert latest.waiting
    assert latest.take(20 * MS, str.upper) == "F"

    latest.offer(0, "f")
    latest.take(10 * MS, incomplete)
    assert latest.take(151 * MS, str.upper) is None
    assert drops.counts == {UNPAIRED: 1}
    assert "no transform from a to b" in drops.reasons[0]


def test_superseded_while_waiting_says_what_it_waited_for(latest, drops):
    def incomplete(_):
        raise NotYet("no depth")

    latest.offer(0, "f")
    latest.take(10 * MS, incomplete)
    latest.offer(100 * MS, "g")
    assert drops.counts == {UNPAIRED: 1}
    assert "no depth" in drops.reasons[0]


def test_other_errors_drop_the_frame_and_are_not_hidden(latest):
    def broken(_):
        raise ValueError("bad pixels")

    latest.offer(0, "f")
    with pytest.raises(ValueError, match="bad pixels"):
        latest.take(10 * MS, broken)
    assert not latest.waiting
