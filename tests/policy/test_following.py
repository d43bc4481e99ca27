"""When an instruction ends, and what is said about it."""

from typing import Any

import pytest
from spatial_vla.policy.following import Following

S = 1_000_000_000


@pytest.fixture
def following():
    return Following(started_ns=0, timeout_ns=30 * S, settle_ns=1 * S)


def chunks(following, start, stop, zero, target=True, at_rest=None) -> Any:
    """Chunks and motion reports at 10 Hz; returns the first ending, with its time [s]."""
    for tenth in range(round(start * 10), round(stop * 10)):
        now = tenth * S // 10
        following.on_chunk(now, zero, target)
        following.on_motion(now, zero if at_rest is None else at_rest, "", "")
        ending = following.ending(now)
        if ending:
            return tenth / 10, ending
    return None


def test_done_when_still_for_the_settle_time(following):
    assert chunks(following, 0, 3, zero=False) is None
    when, ending = chunks(following, 3, 10, zero=True)
    assert ending.success
    assert when == pytest.approx(4.0)


def test_an_instruction_ends_when_time_jumps_back(following):
    ending = following.ending(following.started_ns - 1_000_000_000)
    assert ending is not None and not ending.success and "time jumped back" in ending.message


def test_a_moving_chunk_starts_the_count_again(following):
    assert chunks(following, 0, 0.9, zero=True) is None
    assert chunks(following, 0.9, 1.0, zero=False) is None
    when, _ = chunks(following, 1.0, 10, zero=True)
    assert when == pytest.approx(2.0)


def test_not_done_while_the_arm_still_moves(following):
    assert chunks(following, 0, 5, zero=True, at_rest=False) is None
    when, _ = chunks(following, 5, 10, zero=True)
    assert when == pytest.approx(5.9)


def test_silence_is_not_stillness(following):
    """A decoder that died after saying "no motion" has not finished the task."""
    chunks(following, 0, 0.5, zero=True)
    assert following.ending(5 * S) is None


def test_policy_that_never_saw_anything_has_not_succeeded(following):
    when, ending = chunks(following, 0, 10, zero=True, target=False)
    assert when == pytest.approx(3.0)
    assert not ending.success
    assert "saw nothing" in ending.message


def test_timeout_says_what_was_in_the_way(following):
    assert following.ending(30 * S - 1) is None
    assert "no action chunk ever came" in following.ending(30 * S).message
    following.on_motion(S, True, "", "motion is HOLDING: decoder_node died")
    ending = following.ending(30 * S)
    assert not ending.success
    assert ending.message == "timed out after 30.0 s: motion is HOLDING: decoder_node died"


def test_an_arm_that_is_held_up_has_not_come_to_rest(following):
    chunks(following, 0, 0.5, zero=True)
    for tenth in range(5, 50):
        now = tenth * S // 10
        following.on_chunk(now, True, True)
        following.on_motion(now, True, "", "motion is HOLDING")
        assert following.ending(now) is None


def test_faults_end_it_at_once(following):
    following.on_policy("policy fault: unknown word")
    assert following.ending(1).message == "policy fault: unknown word"
    following.on_policy("")
    assert following.ending(1) is None
    following.on_motion(1, True, "motion fault: limit", "")
    following.on_policy("")
    assert following.ending(1).message == "motion fault: limit"
