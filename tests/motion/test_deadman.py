"""The deadman switch: held only as long as somebody says so; a dry run answers in place of the arm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spatial_vla.motion.command import JointCommand, TrajectoryPoint
from spatial_vla.motion.deadman import Deadman
from spatial_vla.motion.rehearsal import Rehearsal


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), max_size=20), st.floats(0.0, 1.0))
def test_held_exactly_while_the_last_word_was_yes_and_is_fresh(said, later):
    deadman, now, last = Deadman(0.3), 0.0, None
    for wait, pressed in said:
        now += wait
        deadman.heard(pressed, now)
        last = now if pressed else None
    now += later
    assert deadman.held(now) == (last is not None and now - last <= 0.3)


def test_not_held_before_anybody_has_spoken_nor_when_the_clock_ran_backwards():
    deadman = Deadman(0.3)
    assert not deadman.held(0.0)
    deadman.heard(True, 10.0)
    assert not deadman.held(9.0)
    with pytest.raises(ValueError, match="positive"):
        Deadman(0.0)


def test_a_rehearsal_answers_with_what_was_commanded_and_ends_when_nothing_is():
    real, there = (np.zeros(7), np.zeros(7), 5), np.full(7, 0.1)
    imagined = Rehearsal()
    assert imagined.instead_of(real) == real
    imagined.follow(JointCommand(0, (TrajectoryPoint(0.01, there, there),)))
    q, _, stamp = imagined.instead_of(real)
    assert stamp == 5 and np.array_equal(q, there)
    imagined.follow(None)
    assert imagined.instead_of(real) == real
