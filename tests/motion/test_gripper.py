"""The gripper: hysteresis, dwell, and one command per change."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from spatial_vla.motion.gripper import GripperSwitch

MS = 1_000_000


def test_thresholds_have_hysteresis():
    switch = GripperSwitch(0.04, dwell_ns=0)
    openings = [0.5, 0.59, 0.61, 0.5, 0.41, 0.39, 0.5, 0.59, 0.61]
    sent = [switch.update(opening, i) for i, opening in enumerate(openings)]
    assert sent == [None, None, 0.04, None, None, 0.0, None, None, 0.04]


@given(st.lists(st.floats(0.0, 1.0), max_size=200))
def test_changes_alternate_and_keep_the_dwell(openings):
    switch = GripperSwitch(0.04)
    events = [
        (i, sent) for i, o in enumerate(openings) if (sent := switch.update(o, i * 10 * MS)) is not None
    ]
    for (i, a), (j, b) in pairwise(events):
        assert a != b and j - i >= 30


def test_a_change_wanted_too_early_is_made_when_the_dwell_is_over():
    switch = GripperSwitch(0.04)
    assert switch.update(1.0, 0) == 0.04
    assert switch.update(0.0, 100 * MS) is None
    assert switch.update(0.0, 300 * MS) == 0.0


def test_after_a_reset_the_state_is_sent_again():
    switch = GripperSwitch(0.04)
    assert switch.update(1.0, 0) == 0.04
    assert switch.update(1.0, MS) is None
    switch.reset()
    assert switch.update(1.0, 2 * MS) == 0.04
