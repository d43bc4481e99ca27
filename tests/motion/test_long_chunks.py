"""Chunks that last for many seconds, which the chunk-wise back-end works out bit by bit."""

import numpy as np
import pytest
from spatial_vla.motion.horizon import FARTHEST
from spatial_vla.motion.jtc_ik import PASSED_PER_CALL, PER_CALL
from spatial_vla.motion.panda import panda_limits
from spatial_vla.motion.safety import SafetyFilter

from .rig import assert_within_limits, rig_with, steps


@pytest.mark.parametrize(("count", "dt"), [(4, 0.2), (16, 0.2), (64, 0.2), (64, 1.0)])
def test_no_tick_works_out_more_than_its_share_of_the_future(model, monkeypatch, count, dt):
    rig, calls, step = rig_with("jtc_ik", model, panda_limits()), [0], SafetyFilter.step

    def counted(self, *arguments):
        calls[-1] += 1
        return step(self, *arguments)

    monkeypatch.setattr(SafetyFilter, "step", counted)
    rig.arm()
    rig.chunk(steps(0.002, count=count), dt=dt)
    for _ in range(120):
        calls.append(0)
        rig.tick()
    assert max(calls) <= max(PER_CALL, PASSED_PER_CALL) + 1
    assert np.ptp(rig.positions, axis=0).max() > 0.005, "and the motion has begun"


def test_a_chunk_longer_than_can_be_looked_ahead_is_followed_to_its_end(model):
    rig = rig_with("jtc_ik", model, panda_limits())
    rig.arm()
    start = rig.tcp().translation
    rig.chunk(steps(0.01, count=16), dt=0.8)
    assert 3 * FARTHEST * rig.controller.period < 16 * 0.8
    rig.tick(640)
    assert np.linalg.norm(rig.tcp().translation - start) == pytest.approx(0.08, abs=0.005)
    assert rig.speed() > 0.01
    rig.tick(700)
    assert np.linalg.norm(rig.tcp().translation - start) == pytest.approx(0.16, abs=0.003)
    assert rig.speed() == 0.0
    assert_within_limits(rig)


def test_while_a_trajectory_that_lasts_is_under_way_the_arm_is_not_said_to_rest(model):
    """Or its watchdog would not look after it: at first it is slow."""
    rig = rig_with("jtc_ik", model, panda_limits())
    rig.arm()
    rig.chunk(steps(0.004, count=64), dt=0.1)
    for _ in range(200):
        rig.tick()
        command, status = rig.commands[-1], rig.controller.status()
        if command is not None and command.fresh and command.points[-1].time_from_start > 1.0:
            break
    assert command.fresh and not status.at_rest
    for _ in range(100):
        rig.tick()
        assert not rig.controller.status().at_rest
