"""A stopped arm does not press: after every stop the command comes to where the arm is, once, inside all limits."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spatial_vla.motion import MotionController, MotionState
from spatial_vla.motion.measurement import JointReading
from spatial_vla.motion.panda import panda_limits
from spatial_vla.motion.release import PRESSING, Release

from .rig import HOME, Rig, assert_within_limits, steps

SIDEWAYS = steps(0, 0.05)[0]


class WalledRig(Rig):
    """Joint 1 is stopped by something at ``wall`` [rad]; an arm that rests sags by ``sag`` (7,) [rad]."""

    wall = np.inf
    sag = 0.0

    def real(self):
        q, dq = self.measured()
        if q[0] > self.wall:
            q, dq = q.copy(), np.zeros(7)
            q[0] = self.wall
        return q + self.sag, dq

    def measure(self):
        self.controller.on_joint_state(*self.real(), self.now_ns)

    def pressing(self):
        return float(np.abs(self.measured()[0] - self.real()[0]).max())


@pytest.fixture
def walled(model):
    rig = WalledRig(MotionController(model, panda_limits()), model)
    rig.arm()
    rig.tick(2)
    return rig


def run_into_the_wall(rig, until, ahead=0.12):
    """Move sideways; something is in the way ``ahead`` of where the arm starts."""
    rig.wall = rig.measured()[0][0] + ahead
    for i in range(400):
        if i % 20 == 0:
            rig.chunk(np.tile(SIDEWAYS, (4, 1)))
        rig.tick()
        if until():
            return
    raise AssertionError(f"{rig.state.name} {rig.reason}")


def test_an_arm_that_is_blocked_stops_lets_go_and_may_go_on_elsewhere(walled):
    run_into_the_wall(walled, lambda: walled.state is MotionState.HOLDING)
    assert walled.pressing() > PRESSING
    walled.tick(150)
    assert walled.pressing() < 5e-3
    assert walled.state is MotionState.IDLE, walled.reason
    walled.run(-SIDEWAYS, 0.5)
    assert walled.state is MotionState.RUNNING and walled.measured()[0][0] < walled.wall - 0.03
    assert_within_limits(walled)


def test_an_arm_that_is_blocked_again_and_again_faults_and_does_not_press(walled):
    run_into_the_wall(walled, lambda: walled.state is MotionState.FAULT)
    assert walled.controller.status().holds == 3
    walled.tick(150)
    assert walled.pressing() < 5e-3 and walled.commands[-1] is None
    assert walled.state is MotionState.FAULT and "does not follow" in walled.reason
    assert_within_limits(walled)


@pytest.mark.parametrize("stop", ["hold", "disarm"])
def test_whatever_stops_an_arm_that_leans_against_something_lets_it_go(walled, stop):
    """The error is not large enough to stop the arm by itself."""
    walled.wall = walled.measured()[0][0] + 0.12
    while walled.pressing() < 1.2 * PRESSING:
        if walled.chunk_id == 0:
            walled.chunk(np.tile(SIDEWAYS, (8, 1)))
        walled.tick()
    assert walled.state is MotionState.RUNNING
    if stop == "hold":
        walled.controller.hold("decoder_node died")
    else:
        walled.controller.disarm()
    walled.tick(150)
    assert walled.pressing() < 5e-3
    assert walled.state is (MotionState.HOLDING if stop == "hold" else MotionState.DISARMED)
    assert_within_limits(walled)


def test_an_arm_that_sags_is_not_followed_down(walled):
    walled.run(SIDEWAYS, 0.4)
    walled.sag = np.zeros(7)
    for _ in range(25):  # it comes on slowly: not a jump
        walled.sag = walled.sag + np.array([0, 0.001, 0, 0, 0, 0, 0])
        walled.tick()
    walled.controller.hold("decoder_node died")
    walled.tick(30)
    before = walled.measured()[0]
    walled.tick(500)
    assert np.abs(walled.measured()[0] - before).max() < 2 * 0.025


def test_without_a_fresh_measurement_the_command_stays(walled):
    walled.wall = walled.measured()[0][0] + 0.1
    walled.run(SIDEWAYS, 0.5)
    walled.tick(40, joint_states=False)
    where = walled.measured()[0]
    walled.tick(100, joint_states=False)
    np.testing.assert_array_equal(walled.measured()[0], where)


def test_an_arm_at_rest_where_it_shall_be_is_left_alone(walled):
    walled.run(SIDEWAYS, 0.5)
    walled.controller.hold("test")
    walled.tick(20)
    where = walled.measured()[0]
    walled.tick(100)
    np.testing.assert_allclose(walled.measured()[0], where, atol=1e-9)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.floats(-0.2, 0.2),
    st.integers(5, 60),
    st.sampled_from(["hold", "disarm", "wait"]),
    st.tuples(*[st.floats(-0.05, 0.05)] * 3),
)
def test_no_stopped_arm_presses_whatever_blocked_it(model, ahead, ticks, stop, direction):
    rig = WalledRig(MotionController(model, panda_limits()), model)
    rig.arm()
    rig.wall = HOME[0] + abs(ahead)
    for i in range(ticks):
        if i % 20 == 0:
            rig.chunk(steps(*direction))
        rig.tick()
    if stop == "hold":
        rig.controller.hold("test")
    elif stop == "disarm":
        rig.controller.disarm()
    rig.tick(350)
    assert rig.pressing() <= PRESSING + 1e-3 or stop == "wait"
    if stop == "wait":  # nobody stopped it: it may lean on the wall, less than what would stop it
        assert rig.controller.status().tracking_error <= 0.03
    assert_within_limits(rig)


def test_without_letting_go_it_presses_on(walled, monkeypatch):
    """The guard matters: without it, the arm presses for as long as the fault lasts."""
    monkeypatch.setattr(Release, "target", lambda *_: None)
    run_into_the_wall(walled, lambda: walled.state is MotionState.FAULT)
    walled.tick(150)
    assert walled.pressing() > PRESSING


@pytest.mark.parametrize(("off", "goes"), [(0.2, True), (0.5, False)])
def test_a_reading_that_is_too_far_off_to_be_pressure_is_not_followed(rig, off, goes):
    """A sensor that drifts away is no arm that was stopped by something."""
    rig.controller.disarm()
    rig.tick(5)
    claimed = rig.measured()[0] + off * np.eye(7)[0]
    release = Release()
    result = rig.controller._result
    reading = JointReading(rig.now_ns, claimed, np.zeros(7))
    assert (release.target(result, reading, 0.01, forbidden=True, stops=0) is not None) == goes


@pytest.mark.parametrize("event", ["fault", "disarm", "hold", "stale"])
def test_another_stop_ends_it_at_once_and_for_good(rig, event):
    rig.run(SIDEWAYS, 0.5)
    rig.controller.hold("deadman")
    rig.tick(30)
    found = rig.measured()[0] - 0.3 * np.eye(7)[0]

    def tick():
        if event != "stale" or not happened:
            rig.controller.on_joint_state(found, np.zeros(7), rig.now_ns)
        rig.tick(joint_states=False)

    rig.controller._measurement.forget()  # else the arm would seem to have jumped there
    happened = False
    for _ in range(200):
        tick()
        if np.abs(rig.measured()[1]).max() > 0.2:
            break
    happened = True
    if event == "fault":
        rig.controller.fault("stop button was pressed")
    elif event == "disarm":
        rig.controller.disarm()
    elif event == "hold":
        rig.controller.hold("camera died")
    for _ in range(35):
        tick()
    where = rig.measured()[0]
    assert np.abs(where - found).max() > 0.05
    for _ in range(200):
        tick()
    np.testing.assert_allclose(rig.measured()[0], where, atol=1e-9)
    assert_within_limits(rig)
