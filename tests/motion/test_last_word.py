"""The last command of a motion stage that ends: it stops the arm from where that is, not from where it was."""

import numpy as np
import pytest
from spatial_vla.motion.measurement import JointReading
from spatial_vla.motion.panda import panda_limits

from .rig import assert_within_limits, rig_with, steps

BACKENDS = ("embedded", "jtc_ik")
STALL = 0.3


@pytest.fixture(params=BACKENDS)
def moving(request, model):
    rig = rig_with(request.param, model, panda_limits())
    rig.arm()
    rig.chunk(steps(0.05), dt=1.0)
    rig.tick(150)
    assert rig.speed() > 0.03
    return rig


@pytest.mark.parametrize("noticed", [False, True])
@pytest.mark.parametrize("measured", [False, True])
def test_after_a_stall_the_arm_is_not_thrown_back_to_where_it_was_before(moving, noticed, measured):
    moving.advance(STALL)
    if measured:
        moving.measure()
    if noticed:
        moving.tick(joint_states=False)
    if measured:
        moving.measure()
    moving.follow(moving.controller.halt(moving.now_ns))
    moving.advance(0.5)
    assert_within_limits(moving)
    if measured:
        assert moving.speed() == 0.0


def test_an_error_after_a_stall_does_neither(moving, monkeypatch):
    moving.advance(STALL)
    moving.measure()
    monkeypatch.setattr(moving.controller, "_starting_anew", lambda now_ns: 1 / 0)
    moving.tick(30)
    assert_within_limits(moving)
    assert moving.speed() == 0.0 and "ZeroDivisionError" in moving.reason


def test_whoever_begins_again_after_a_while_sends_nothing_unasked(moving):
    moving.follow(moving.controller.halt(moving.now_ns))
    moving.advance(10.0)
    moving.controller.begin()
    moving.controller.on_joint_state(moving.measured()[0] + 0.1, np.full(7, 0.1), moving.now_ns)
    moving.tick(30, joint_states=False)
    assert moving.commands[-30:] == [None] * 30


@pytest.mark.parametrize("speed", [50.0, -50.0, 3.0])
def test_speeds_that_no_joint_has_are_not_where_a_stop_begins(model, speed):
    rig = rig_with("jtc_ik", model, panda_limits())
    rig.arm()
    rig.chunk(steps(0.05), dt=1.0)
    rig.tick(150)
    rig.advance(STALL)
    q, dq = rig.measured()
    rig.controller.on_joint_state(q, dq + speed * np.eye(7)[0], rig.now_ns)
    rig.tick(joint_states=False)
    assert rig.commands[-1] is None
    rig.tick(30)
    assert_within_limits(rig)
    assert rig.speed() == 0.0


def test_a_reading_without_numbers_is_not_believable():
    for q, dq in ((np.nan, 0.0), (0.0, np.nan), (0.0, np.inf)):
        assert not JointReading(0, np.full(7, q), np.full(7, dq)).believable(panda_limits())
    assert JointReading(0, np.zeros(7), panda_limits().joints.velocity).believable(panda_limits())
