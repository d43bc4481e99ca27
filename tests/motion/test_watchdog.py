"""An arm that goes on although nobody watches over it is stopped, inside the limits; all others are left alone."""

import numpy as np
import pytest
from spatial_vla.motion.measurement import JointReading
from spatial_vla.motion.panda import panda_limits
from spatial_vla.motion.watchdog import Watchdog

from .fake_jtc import FakeJtc
from .rig import HOME, TICK_NS, rig_with, steps

FAST = np.array([0.3, 0, 0, 0.2, 0, 0, 0])


class Alone:
    """A watchdog and an arm that goes on at a constant speed for ten seconds."""

    def __init__(self, stamp_ns=5_000_000_000):
        self.watchdog, self.arm, self.stamp_ns = Watchdog(panda_limits()), FakeJtc(HOME), stamp_ns
        self.sent = 0
        self.drive()

    def drive(self):
        times = np.arange(0.1, 10.0, 0.1)
        q = self.arm.q + times[:, None] * FAST
        path = self.arm.path.replaced(
            self.arm.now,
            self.arm.now,
            [(t, row, FAST if t < 9.9 else 0 * FAST) for t, row in zip(times, q, strict=True)],
        )
        self.arm.path = path

    def pass_by(self, seconds, status=None):
        for i in range(round(seconds / 0.01)):
            if status is not None and i % 5 == 0:
                self.watchdog.on_status(at_rest=status == "at rest")
            self.stamp_ns += TICK_NS
            points = self.watchdog.on_joint_state(JointReading(self.stamp_ns, self.arm.q, self.arm.dq))
            if points:
                self.sent += 1
                self.arm.send(points)
            self.arm.advance()


def test_an_arm_whose_motion_stage_falls_silent_while_it_moves_is_stopped():
    alone = Alone()
    alone.pass_by(1.0, status="moves")
    assert alone.sent == 0
    alone.pass_by(0.75)
    assert alone.sent == 1 and not alone.arm.dq.any()
    acceleration = np.diff(alone.arm.velocities, axis=0) / 0.001
    assert np.all(np.abs(acceleration) <= panda_limits().joints.acceleration)


def test_one_that_does_not_obey_is_told_again_for_a_while():
    alone = Alone()
    alone.pass_by(0.2, status="moves")
    alone.arm.send = lambda points: None
    alone.pass_by(8.0)
    assert 8 <= alone.sent <= 11


@pytest.mark.parametrize("status", ["at rest", None])
def test_an_arm_that_somebody_else_moves_is_none_of_its_business(status):
    alone = Alone()
    alone.pass_by(0.5, status=status)
    alone.pass_by(3.0)
    assert alone.sent == 0


def test_a_clock_that_is_set_back_delays_nothing_for_good():
    alone = Alone()
    alone.pass_by(0.3, status="moves")
    alone.stamp_ns -= 3_000_000_000
    alone.pass_by(1.2)
    assert alone.sent == 1 and not alone.arm.dq.any()


@pytest.mark.parametrize("gap", [0.5, 1.0, 5.0])
def test_having_heard_nothing_at_all_is_no_silence_of_the_motion_stage(gap):
    """The watchdog itself was stopped, or time jumped: what it reads first may be newer than the word."""
    alone = Alone()
    alone.pass_by(0.5, status="moves")
    alone.stamp_ns += round(gap * 1e9)
    alone.pass_by(0.05)
    alone.pass_by(1.0, status="moves")
    assert alone.sent == 0
    alone.stamp_ns += round(gap * 1e9)
    alone.pass_by(0.75)
    assert alone.sent == 1 and not alone.arm.dq.any()


@pytest.mark.parametrize("backend", ["embedded", "jtc_ik"])
def test_a_motion_stage_that_dies_in_the_middle_of_a_chunk(model, backend):
    """Its commands end by themselves, or the watchdog ends them."""
    rig, watchdog, sent = rig_with(backend, model, panda_limits()), Watchdog(panda_limits()), 0
    rig.arm()
    rig.chunk(steps(0.05), dt=0.8)
    for _ in range(80):
        rig.tick()
        watchdog.on_joint_state(JointReading(rig.now_ns, *rig.measured()))
        watchdog.on_status(rig.controller.status().at_rest)
    assert rig.speed() > 0.03
    for _ in range(100):
        points = watchdog.on_joint_state(JointReading(rig.now_ns, *rig.measured()))
        if points:
            sent += 1
            rows = [(p.time_from_start, p.positions, p.velocities) for p in points]
            rig.path = rig.path.replaced(rig.arm_time, rig.arm_time, rows)
        rig.advance()
    assert rig.speed() == 0.0
    assert sent == (backend == "jtc_ik")
