"""Stop ramps: inside the limits between the way-points too, near the optimum, and enough by themselves."""

import inspect
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spatial_vla import motion
from spatial_vla.motion import Scaling
from spatial_vla.motion.command import GuardedMotion
from spatial_vla.motion.panda import panda_limits
from spatial_vla.motion.stop_ramp import JointMotion, StopPlanner

from .rig import FINE, HOME, steps

LIMITS = panda_limits()
share = st.tuples(*[st.floats(-1.0, 1.0)] * 7).map(np.array)


def moving(velocity, acceleration):
    return JointMotion(HOME, velocity * LIMITS.velocity, acceleration * LIMITS.acceleration)


@settings(max_examples=100)
@given(share, share)
def test_ramps_end_at_rest_inside_the_limits(velocity, acceleration):
    start = moving(velocity, acceleration)
    ramp = StopPlanner(LIMITS).plan(start)
    if ramp.duration == 0.0:
        assert not start.dq.any() and not start.ddq.any()
        return
    times = np.linspace(0.0, ramp.duration, 200)
    states = [ramp.at(t) for t in times]
    q, dq, ddq = (np.array([getattr(s, name) for s in states]) for name in ("q", "dq", "ddq"))
    np.testing.assert_allclose(q[0], start.q)
    np.testing.assert_allclose(dq[0], start.dq)
    assert not dq[-1].any() and not ddq[-1].any()
    assert np.all(np.abs(ddq) <= LIMITS.stop_acceleration * (1 + 1e-9))
    jerk = np.diff(ddq, axis=0) / np.diff(times)[:, None]
    assert np.all(np.abs(jerk) <= LIMITS.stop_jerk * (1 + 1e-6))
    np.testing.assert_allclose(
        np.diff(q, axis=0), (dq[1:] + dq[:-1]) / 2 * np.diff(times)[:, None], atol=1e-6
    )
    assert np.all(np.abs(dq) <= ramp.top_speed() + 1e-9)
    low, high = ramp.range()
    assert np.all(q >= low - 3e-4) and np.all(q <= high + 3e-4)


@given(share, share)
def test_cubics_through_the_points_are_the_planned_motion(velocity, acceleration):
    """What a joint_trajectory_controller makes of a command is what was checked."""
    start = moving(velocity, acceleration)
    jerk = 0.5 * LIMITS.jerk * np.sign(velocity)
    ramp = StopPlanner(LIMITS).plan(start.after(0.01, jerk))
    plan = GuardedMotion(start, jerk, 0.01, ramp)
    points = plan.points(0.01)
    t0, q0, v0 = 0.0, start.q, start.dq
    for point in points:
        span = point.time_from_start - t0
        for s in (0.25, 0.5, 0.75):
            h = span * s
            c2 = (3 * (point.positions - q0) / span - 2 * v0 - point.velocities) / span
            c3 = (2 * (q0 - point.positions) / span + v0 + point.velocities) / span**2
            np.testing.assert_allclose(q0 + h * (v0 + h * (c2 + h * c3)), plan.at(t0 + h).q, atol=1e-9)
        t0, q0, v0 = point.time_from_start, point.positions, point.velocities
    assert points[0].time_from_start == 0.01 and not points[-1].velocities.any()


@given(share, share, st.floats(0.0, 0.15))
def test_cubics_through_the_points_keep_the_acceleration_whenever_they_are_sent(
    velocity, acceleration, elapsed
):
    """A change of jerk may fall anywhere between two ticks, also just beside one."""
    start = moving(velocity, acceleration)
    plan = GuardedMotion(start, np.zeros(7), 0.0, StopPlanner(LIMITS).plan(start))
    for offset in (0.0, *(0.01 + x - t for t in plan._ramp.times for x in (-4e-4, -1e-5, 1e-5, 4e-4))):
        later = plan.advanced(max(elapsed if offset == 0.0 else -offset, 0.0))
        points = later.points(0.01)
        for a, b in pairwise(points):
            span = b.time_from_start - a.time_from_start
            c2 = (3 * (b.positions - a.positions) / span - 2 * a.velocities - b.velocities) / span
            c3 = (2 * (a.positions - b.positions) / span + a.velocities + b.velocities) / span**2
            for ddq in (2 * c2, 2 * c2 + 6 * c3 * span):
                assert np.all(np.abs(ddq) <= 1.001 * LIMITS.stop_acceleration)


@given(share, share, st.floats(0.0, 0.3), st.floats(0.0, 0.1))
def test_a_motion_seen_later_is_the_same_motion(velocity, acceleration, elapsed, more):
    start = moving(velocity, acceleration)
    plan = GuardedMotion(start, np.zeros(7), 0.01, StopPlanner(LIMITS).plan(start.after(0.01, np.zeros(7))))
    later = plan.advanced(elapsed)
    np.testing.assert_allclose(later.at(more).q, plan.at(elapsed + more).q, atol=1e-12)
    np.testing.assert_allclose(later.duration, max(plan.duration - elapsed, 0.0), atol=1e-12)
    assert not later.points(0.01)[-1].velocities.any()


@settings(max_examples=50)
@given(share, share)
def test_little_slower_than_the_time_optimum(velocity, acceleration):
    """Ruckig's time-optimal stop within the same limits, as oracle."""
    ruckig = pytest.importorskip("ruckig")
    start = moving(velocity, acceleration)
    problem = ruckig.InputParameter(7)
    problem.control_interface = ruckig.ControlInterface.Velocity
    problem.current_position, problem.current_velocity = start.q.tolist(), start.dq.tolist()
    problem.current_acceleration = start.ddq.tolist()
    problem.target_velocity = [0.0] * 7
    problem.max_velocity = (2 * LIMITS.joints.velocity).tolist()
    problem.max_acceleration = LIMITS.stop_acceleration.tolist()
    problem.max_jerk = LIMITS.stop_jerk.tolist()
    optimum = ruckig.Trajectory(7)
    assert ruckig.Ruckig(7).calculate(problem, optimum) == ruckig.Result.Working
    assert StopPlanner(LIMITS).plan(start).duration <= optimum.duration + 0.021


@given(share, share)
def test_the_arm_stops_within_the_stop_time_from_any_motion(velocity, acceleration):
    """Even from the acceleration of a stop that was broken off."""
    start = JointMotion(HOME, velocity * LIMITS.velocity, acceleration * LIMITS.stop_acceleration)
    assert StopPlanner(LIMITS).plan(start).duration <= LIMITS.scaling.stop_time + 1e-9


@pytest.mark.parametrize("direction", np.vstack((np.eye(3), -np.eye(3))))
def test_commands_end_within_130_ms(rig, direction):
    """One period of motion and a ramp."""
    rig.run(np.pad(0.05 * direction, (0, 3)), 1.0)
    assert max(command.points[-1].time_from_start for command in rig.commands) <= 0.01 + 0.12 + 1e-9


def test_without_another_command_the_arm_stops_by_itself(rig):
    rig.run(steps(0.05)[0], 0.7)
    speed, where = rig.speed(), rig.tcp().translation
    assert speed > 0.2
    rig.advance(0.14)
    assert rig.speed() == 0.0
    assert np.linalg.norm(rig.tcp().translation - where) < 0.02


def test_low_jerk_limits_stretch_the_phases():
    limits = panda_limits(scaling=Scaling(jerk=0.02, stop_jerk=0.02, stop_time=0.6))
    start = JointMotion(HOME, limits.velocity, limits.acceleration)
    ramp = StopPlanner(limits).plan(start)
    jerk = np.array([(b.ddq - a.ddq) / (t1 - t0) for a, b, t0, t1 in _phases(ramp)])
    assert np.all(np.abs(jerk) <= limits.stop_jerk * (1 + 1e-9))


def _phases(ramp):
    ends = [ramp.at(t - 1e-12) for t in ramp.times[1:]]
    return zip(ramp.states, ends, ramp.times, ramp.times[1:], strict=False)


def test_no_way_points_are_given_to_a_library_that_sends_them_away():
    """Ruckig's PyPI build computes intermediate way-points on a remote service."""
    for name, module in inspect.getmembers(motion, inspect.ismodule):
        assert "intermediate_positions" not in inspect.getsource(module), name
    assert FINE < 0.01
