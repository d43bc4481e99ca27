"""Every guard is needed: with it taken out, a scenario that passes with it breaks what it guards."""

import numpy as np
import pytest
from spatial_vla.motion import Box, MotionSettings, MotionState, Scaling
from spatial_vla.motion.gate import ActionGate, Verdict
from spatial_vla.motion.guard import OutputGuard
from spatial_vla.motion.measurement import ArmMeasurement
from spatial_vla.motion.panda import panda_limits
from spatial_vla.motion.safety import SafetyFilter
from spatial_vla.motion.stop_ramp import JointMotion, StopPlanner
from spatial_vla.motion.supervisor import Supervisor

from .rig import HOME, assert_within_limits, steps

TELEPORTS = MotionSettings(teleports=True)


def low_elbow(rig):
    """Push towards a place where the elbow leaves its box."""
    rig.arm()
    for _ in range(4):
        rig.run([0.05, 0, -0.05, 0, 0.2, 0], 1.0)
    points = rig.model.points(rig.measured()[0], rig.limits.body_frames)
    assert rig.limits.body_box.contains(points), points


def test_output_guard_on_the_speed_of_the_tool(model):
    """Each joint alone may go so fast; together they move the tool at more than it may."""
    limits = panda_limits()
    guard, planner = OutputGuard(limits, model), StopPlanner(limits)
    for share, refused in ((0.3, False), (0.9, True)):
        moving = JointMotion(HOME, share * limits.velocity * [1, 0, 0, 0, 0, 0, 0], np.zeros(7))
        violation = guard.violation(moving, planner.plan(moving))
        assert ("speed of the tool" in violation) == refused, violation


UNIT = np.eye(7)[1]


@pytest.mark.parametrize(
    ("room", "dq", "ddq", "named"),
    [
        (-0.001, 0.0, 0.0, "panda_joint2 position limit"),
        (0.01, 0.5, 0.0, "panda_joint2 position limit"),  # only where it comes to rest
        (2.0, 0.8, 0.0, "panda_joint2 velocity limit"),
        (2.0, 0.0, 7.45, "panda_joint2 acceleration limit"),
        (0.1, 0.2, 1.0, ""),
    ],
)
def test_output_guard_on_single_joints(model, room, dq, ddq, named):
    limits = panda_limits(
        workspace=Box((-2, -2, -2), (2, 2, 2)), body_box=Box((-2, -2, -2), (2, 2, 2)), self_clearance=-1.0
    )
    guard, planner = OutputGuard(limits, model), StopPlanner(limits)
    moving = JointMotion(HOME * (1 - UNIT) + UNIT * (limits.upper[1] - room), dq * UNIT, ddq * UNIT)
    violation = guard.violation(moving, planner.plan(moving))
    assert named in violation if named else not violation, violation


def narrow_body_box():
    return panda_limits(body_box=Box((-0.2, -0.3, 0.35), (0.45, 0.3, 0.85)))


def test_output_guard(make_rig, monkeypatch):
    low_elbow(make_rig(narrow_body_box()))
    monkeypatch.setattr(OutputGuard, "violation", lambda *_: "")
    with pytest.raises(AssertionError):
        low_elbow(make_rig(narrow_body_box()))


def turn_a_joint_into_its_stop(rig):
    rig.arm()
    rig.run([0, 0, 0, 0, 0, 0.3], 4.0)
    assert_within_limits(rig)


def test_output_guard_at_a_joint_stop(make_rig, monkeypatch):
    """With low accelerations the solver alone approaches a stop too fast to brake."""
    weak = panda_limits(scaling=Scaling(acceleration=0.03, stop_acceleration=0.03, stop_time=5.0))
    turn_a_joint_into_its_stop(make_rig(weak))
    monkeypatch.setattr(OutputGuard, "violation", lambda *_: "")
    with pytest.raises(AssertionError):
        turn_a_joint_into_its_stop(make_rig(weak))


def walk_through_a_wall(rig):
    rig.arm()
    rig.run([0, 0, -0.05, 0, 0, 0], 3.0)
    assert rig.limits.workspace.contains(rig.tcp().translation, 1e-3)


def test_workspace(make_rig, monkeypatch):
    walk_through_a_wall(make_rig())
    monkeypatch.setattr(Box, "clamp", lambda self, point: point)
    monkeypatch.setattr(SafetyFilter, "_before_walls", lambda self, position, velocity: velocity)
    with pytest.raises(AssertionError):
        walk_through_a_wall(make_rig())


def nan_chunk(rig):
    rig.arm()
    rig.chunk(steps(np.nan))
    rig.tick(20)
    assert rig.state is MotionState.IDLE


def test_gate(make_rig, monkeypatch):
    nan_chunk(make_rig())
    monkeypatch.setattr(ActionGate, "check", lambda self, chunk, now: (Verdict(True), chunk))
    with pytest.raises((AssertionError, ValueError)):
        nan_chunk(make_rig())


def blind(rig):
    rig.arm()
    rig.run([0, 0.05, 0, 0, 0, 0], 0.6)
    rig.tick(25, joint_states=False)
    assert rig.speed() == 0.0


def test_watch_over_joint_states(make_rig, monkeypatch):
    blind(make_rig())
    monkeypatch.setattr(ArmMeasurement, "age", lambda *_: 0.0)
    with pytest.raises(AssertionError):
        blind(make_rig())


def put_elsewhere(rig):
    rig.arm()
    rig.run([0, 0.05, 0, 0, 0, 0], 0.4)
    rig.path = rig.path.holding(rig.measured()[0] + 0.1)
    rig.tick(20)
    assert_quiet_since(rig, 200)


def assert_quiet_since(rig, samples):
    speeds = np.abs(np.array(rig.velocities[-samples:]))
    assert speeds.max() <= rig.limits.velocity.max()


def test_notice_that_the_arm_was_put_elsewhere(make_rig, monkeypatch):
    put_elsewhere(make_rig(settings=TELEPORTS))
    take = ArmMeasurement.take
    monkeypatch.setattr(ArmMeasurement, "take", lambda *arguments: take(*arguments) and "")
    with pytest.raises(AssertionError):
        put_elsewhere(make_rig(settings=TELEPORTS))


def hold_briefly(rig):
    rig.arm()
    rig.run([0, 0.05, 0, 0, 0, 0], 0.6)
    rig.controller.hold("test")
    rig.tick(20)
    assert rig.speed() == 0.0


def test_hold(make_rig, monkeypatch):
    hold_briefly(make_rig())
    monkeypatch.setattr(Supervisor, "may_follow", property(lambda self: self._armed))
    with pytest.raises(AssertionError):
        hold_briefly(make_rig())
