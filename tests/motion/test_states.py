"""States of the motion stage: what stops the arm, what lets it go on, and what needs a person."""

import numpy as np
import pytest
from spatial_vla.motion import MotionSettings, MotionState
from spatial_vla_sim.joint_path import JointPath

from .rig import HOME, assert_within_limits, steps

FORWARD = steps(0.05)[0]


def moving(rig):
    rig.run(FORWARD, 0.5)
    assert rig.state is MotionState.RUNNING and rig.speed() > 0.1
    return rig


def ticks_to_rest(rig, most, **tick):
    for count in range(most):
        if rig.speed() == 0.0:
            return count
        rig.tick(**tick)
    pytest.fail(f"still at {rig.speed():.3f} m/s after {most} ticks")


def test_starts_disarmed_and_silent(make_rig):
    rig = make_rig()
    rig.tick(5)
    assert rig.state is MotionState.DISARMED and rig.commands == [None] * 5
    assert not rig.chunk(steps(0.01))
    rig.arm()
    rig.tick()
    assert rig.state is MotionState.IDLE and rig.commands[-1] is not None


def test_idle_running_idle(rig):
    assert rig.chunk(steps(0.02))
    rig.tick()
    assert rig.state is MotionState.RUNNING
    assert rig.controller.status().chunk_id == rig.chunk_id
    rig.tick(150)
    status = rig.controller.status()
    assert status.state is MotionState.IDLE and status.at_rest and status.chunk_id == 0
    assert_within_limits(rig)


def test_a_plan_is_carried_out(rig):
    start = rig.tcp().translation
    rig.chunk(steps(0.03, -0.02, 0.01), age=0.0)
    rig.tick(200)
    np.testing.assert_allclose(rig.tcp().translation - start, [0.12, -0.08, 0.04], atol=1e-3)


def test_a_stream_of_overlapping_chunks_is_followed_with_little_lag(rig):
    """0.2 m/s along y: after the start-up the tool is where the plan has it, less than 25 ms behind."""
    start, begin = rig.tcp().translation, rig.now_ns
    rig.run(steps(0, 0.04)[0], 1.4)
    planned = 0.2 * (rig.now_ns - begin) * 1e-9
    moved = rig.tcp().translation - start
    # What the start-up from rest loses (0.2^2 / 2 / 2 = 10 mm) is not made up for, and the first chunk was 50 ms old.
    assert planned - 0.03 < moved[1] < planned
    assert rig.speed() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_allclose(moved[[0, 2]], 0.0, atol=2e-3)


def test_disarming_stops_and_silences(rig):
    moving(rig).controller.disarm()
    ticks_to_rest(rig, 15)
    rig.tick(2)
    assert rig.state is MotionState.DISARMED and rig.commands[-1] is None
    assert not rig.chunk(steps(0.01))
    assert_within_limits(rig)


def test_arming_is_refused_while_the_arm_moves(rig):
    moving(rig).controller.disarm()
    rig.tick()
    rig.measure()
    assert not rig.controller.arm(rig.measured()[0], rig.now_ns)


def test_arming_is_refused_where_the_arm_is_not(make_rig):
    rig = make_rig()
    rig.measure()
    assert "not at" in rig.controller.arm(HOME + 0.02, rig.now_ns).reason
    rig.now_ns += 200_000_000
    assert "stale" in rig.controller.arm(HOME, rig.now_ns).reason
    rig.arm()


def test_arming_outside_the_limits_is_refused(make_rig):
    for q, why in (
        (np.where(np.arange(7) == 3, -0.05, HOME), "panda_joint4"),
        (HOME + np.array([1.5, *[0] * 6]), "workspace"),
    ):
        verdict = make_rig().controller.arm(q, 0)
        assert not verdict and why in verdict.reason


def test_stale_joint_states_stop_the_arm_until_they_are_back(rig):
    moving(rig)
    rig.tick(11, joint_states=False)
    assert rig.state is MotionState.HOLDING and "stale" in rig.reason
    ticks_to_rest(rig, 14, joint_states=False)
    rig.tick(50, joint_states=False)
    assert rig.state is MotionState.HOLDING and rig.controller.status().holds == 1
    rig.tick(2)
    assert rig.state is MotionState.IDLE
    moving(rig)
    assert_within_limits(rig)


@pytest.mark.parametrize("bad", [np.full(7, np.nan), np.zeros(6), np.full(7, np.inf)])
def test_joint_states_that_make_no_sense_count_as_missing(rig, bad):
    moving(rig)
    for _ in range(12):
        rig.controller.on_joint_state(bad, np.zeros(len(bad)), rig.now_ns)
        rig.tick(joint_states=False)
    assert rig.state is MotionState.HOLDING and "stale" in rig.reason


def test_a_hold_stops_within_140_ms_and_ends_when_its_cause_does(rig):
    moving(rig).controller.hold("encoder_node died")
    assert ticks_to_rest(rig, 15) <= 14
    assert rig.state is MotionState.HOLDING and rig.reason == "encoder_node died"
    assert not rig.chunk(steps(0.01)) and rig.controller.status().chunks_rejected == 1
    rig.controller.resume("encoder_node died")
    rig.controller.expect_new_sender()
    rig.tick()
    assert rig.state is MotionState.IDLE
    rig.chunk_id = 0  # the restarted sender counts from the beginning
    assert rig.chunk(steps(0.01))
    assert_within_limits(rig)


def test_a_cause_that_clears_lets_no_old_chunk_in(rig):
    """As the deadman switch does in every tick while it is held."""
    rig.chunk(steps(0.01), age=0.02)
    for age in (0.02, 0.3):
        rig.controller.resume("deadman switch is released")
        rig.chunk_id -= 1
        assert not rig.chunk(steps(0.01), age=age)
        rig.tick()


@pytest.mark.parametrize(("count", "dt", "age"), [(4, 0.2, 0.25), (8, 0.05, 0.06), (64, 0.02, 1.0)])
def test_a_late_chunk_that_says_stay_is_no_trouble(rig, count, dt, age):
    rig.chunk(steps(0.0, count=count), dt=dt, age=age)
    rig.tick(200)
    assert rig.state is MotionState.IDLE


def test_whatever_breaks_in_a_step_is_a_fault_and_the_arm_stops(rig, monkeypatch):
    moving(rig)

    def broken(*_):
        raise IndexError("a test")

    monkeypatch.setattr(rig.controller, "_gripper_event", broken)
    rig.tick(40)
    assert rig.state is MotionState.FAULT and "IndexError: a test" in rig.reason
    assert rig.speed() == 0.0
    assert_within_limits(rig)


@pytest.mark.parametrize("offset", [0.05, 0.15, 0.3])
@pytest.mark.parametrize("held", [False, True])
def test_a_driver_that_works_velocities_out_from_positions_does_not_move_the_arm_by_lying(rig, offset, held):
    """The step's own difference explains it; no joint is that fast, though."""
    if held:
        rig.controller.hold("stop button")
        rig.tick(5)
    true, last = rig.measured()[0], rig.measured()[0]
    for i in range(150):
        claimed = rig.measured()[0] + offset * (i >= 5) * np.eye(7)[0]
        rig.controller.on_joint_state(claimed, (claimed - last) / 0.01, rig.now_ns)
        last = claimed
        rig.tick(joint_states=False)
    assert rig.state is MotionState.FAULT and "jumped" in rig.reason
    np.testing.assert_allclose(rig.measured()[0], true, atol=1e-3)


def test_a_hold_lasts_until_every_cause_has_gone_and_the_arm_is_at_rest(rig):
    moving(rig)
    rig.controller.hold("a")
    rig.controller.hold("b")
    rig.controller.resume("a")
    rig.tick(20)
    assert rig.state is MotionState.HOLDING and rig.reason == "b"
    rig.controller.resume("b")
    rig.tick()
    moving(rig).controller.hold("c")
    rig.controller.resume("c")
    rig.tick(3)
    assert rig.state is MotionState.HOLDING and rig.speed() > 0.0 and rig.reason == "c"
    rig.tick(15)
    assert rig.state is MotionState.IDLE and rig.controller.status().holds == 2


def push_aside(rig, offset):
    """The arm is somewhere else than commanded: blocked, or pushed."""
    q, dq = rig.measured()
    rig.controller.on_joint_state(q + offset, dq, rig.now_ns)


def test_an_arm_that_does_not_follow_freezes_then_faults_and_stays_so(rig):
    """The measurement drifts away by 0.2 rad/s, slowly enough not to be a jump."""
    moving(rig)
    offset, states = np.zeros(7), []
    for i in range(200):
        offset[0] = min(0.002 * i, 0.15)
        push_aside(rig, offset)
        rig.tick(joint_states=False)
        states.append(rig.state)
    first = states.index(MotionState.HOLDING)
    fault = states.index(MotionState.FAULT)
    assert fault - first == pytest.approx(100, abs=3)
    assert rig.commands[-1] is None and "does not follow" in rig.reason
    rig.tick(100)
    assert rig.state is MotionState.FAULT and not rig.chunk(steps(0.01))
    assert not rig.controller.arm(rig.measured()[0], rig.now_ns)
    rig.controller.reset()
    assert rig.state is MotionState.DISARMED
    rig.tick(20)
    rig.arm()
    moving(rig)
    assert_within_limits(rig)


def test_a_freeze_ends_when_the_arm_comes_back(rig):
    moving(rig)
    for i in [*range(60), *range(60, 0, -1)]:
        push_aside(rig, np.array([0.002 * i, *[0] * 6]))
        rig.tick(joint_states=False)
    rig.tick(2)
    assert rig.state is MotionState.IDLE and rig.controller.status().holds == 1


@pytest.mark.parametrize("ends_after", [30, 60])
def test_an_arm_that_seems_to_jump_is_not_followed(rig, ends_after):
    """A driver or an encoder that lies must not become a command: it would be a step of the real arm."""
    moving(rig)
    for k in range(60):
        q, dq = rig.measured()
        rig.controller.on_joint_state(q + 0.3 if 5 <= k < ends_after else q, dq, rig.now_ns)
        rig.tick(joint_states=False)
    assert rig.state is MotionState.FAULT and "jumped" in rig.reason
    assert_within_limits(rig)
    assert rig.speed() == 0.0
    stopped, _ = rig.measured()
    for _ in range(300):  # nothing is let go towards where the arm seems to be
        rig.controller.on_joint_state(stopped + 0.3, np.zeros(7), rig.now_ns)
        rig.tick(joint_states=False)
    np.testing.assert_array_equal(rig.measured()[0], stopped)


def test_a_world_reset_starts_anew_from_where_the_arm_is(make_rig):
    """The arm is put elsewhere while time goes on: nothing is sent until it is seen at rest there."""
    rig = make_rig(settings=MotionSettings(teleports=True))
    rig.arm()
    rig.tick(2)
    moving(rig)
    elsewhere = HOME + 0.1
    rig.path = rig.path.holding(elsewhere)
    rig.tick()
    assert rig.state is MotionState.HOLDING and "jumped" in rig.reason and rig.commands[-1] is None
    rig.tick(8)
    assert rig.state is MotionState.IDLE
    np.testing.assert_allclose(rig.commands[-1].points[0].positions, elsewhere)
    np.testing.assert_array_equal(rig.measured()[0], elsewhere)


def test_who_holds_is_told_whether_that_is_news(rig):
    """So that presses of a stop button are counted, each once."""
    assert [rig.controller.hold("button") for _ in range(3)] == [True, False, False]
    rig.controller.resume("button")
    assert rig.controller.hold("button")


def test_a_clock_set_back_starts_anew_at_rest(rig):
    moving(rig)
    rig.now_ns -= 700_000_000
    rig.tick()
    assert rig.state is MotionState.HOLDING and "jumped back" in rig.reason and rig.commands[-1] is None
    rig.tick(25)
    assert rig.state is MotionState.IDLE
    moving(rig)
    assert_within_limits(rig)


def test_a_loop_that_was_late_starts_anew_at_rest(rig):
    moving(rig)
    rig.advance(0.08)
    rig.tick()
    assert rig.state is MotionState.HOLDING and "late" in rig.reason
    rig.tick(20)
    assert rig.state is MotionState.IDLE
    assert_within_limits(rig)


def test_a_single_wrong_reading_is_not_started_from(make_rig):
    rig = make_rig(settings=MotionSettings(teleports=True))
    rig.arm()
    rig.tick(2)
    before = rig.measured()[0]
    rig.controller.on_joint_state(before + 0.5, np.zeros(7), rig.now_ns)
    rig.tick(30)
    assert rig.state is MotionState.IDLE
    np.testing.assert_allclose(rig.measured()[0], before, atol=1e-9)


def test_after_a_fault_a_jump_and_a_reset_the_arm_works_again(rig):
    """What an operator does: the arm is taken elsewhere by hand, the fault is reset, the arm is armed."""
    moving(rig)
    offset = np.zeros(7)
    while rig.state is not MotionState.FAULT:
        offset[0] = min(offset[0] + 0.002, 0.15)
        push_aside(rig, offset)
        rig.tick(joint_states=False)
    rig.path = JointPath.holding(HOME)
    rig.tick(2)
    rig.controller.reset()
    rig.arm()
    rig.tick(20)
    assert rig.state is MotionState.IDLE, rig.reason
    moving(rig)


def test_an_internal_error_is_a_fault_that_stops_the_arm(rig, monkeypatch):
    moving(rig)

    def broken(*_):
        raise ArithmeticError("out of numbers")

    monkeypatch.setattr(rig.controller._safety, "step", broken)
    rig.tick()
    assert rig.state is MotionState.FAULT and "out of numbers" in rig.reason
    ticks_to_rest(rig, 15)
    assert_within_limits(rig)


def test_latency_is_from_the_observation_to_the_first_command(rig):
    assert np.isnan(rig.controller.status().image_to_command_ms)
    rig.chunk(steps(0.01), age=0.037)
    rig.tick()
    assert rig.controller.status().image_to_command_ms == pytest.approx(37.0)


def test_zero_motion_keeps_the_arm_at_rest(rig):
    where = rig.measured()[0]
    rig.run(np.zeros(6), 0.8)
    np.testing.assert_allclose(rig.measured()[0], where, atol=1e-6)
    status = rig.controller.status()
    assert status.state is MotionState.RUNNING and status.at_rest and status.speed < 1e-4


@pytest.mark.parametrize("step", [(0.05, 0, 0), (0, -0.05, 0), (0.02, 0.02, 0.03)])
def test_chunks_without_motion_bring_the_arm_to_rest_and_not_back(rig, step):
    rig.run(np.pad(np.array(step, dtype=float), (0, 3)), 0.5)
    start, direction = rig.tcp().translation, np.array(step) / np.linalg.norm(step)
    assert not rig.controller.status().at_rest
    way = []
    for i in range(60):
        if i % 20 == 0:
            rig.chunk(np.zeros((4, 6)))
        rig.tick()
        way.append(direction @ (rig.tcp().translation - start))
    assert max(way) < 0.03 and max(way) - way[-1] < 1e-3
    status = rig.controller.status()
    assert status.state is MotionState.RUNNING and status.at_rest


@pytest.mark.parametrize("size", [0.004, 0.01])
def test_chunks_that_contradict_each_other_do_not_build_up_motion(rig, size):
    """Forth and back by turns, as a policy may do that hovers over its target."""
    start = rig.tcp().translation
    for i in range(160):
        if i % 20 == 0:
            rig.chunk(steps(size if i % 40 else -size))
        rig.tick()
        assert np.linalg.norm(rig.tcp().translation - start) < 3 * size


def test_the_gripper_is_sent_once_on_change(rig):
    for opening in (1.0, 0.9, 0.5, 0.45):
        rig.run(np.zeros(6), 0.2, gripper=[opening] * 4)
    rig.run(np.zeros(6), 0.4, gripper=[0.0] * 4)
    sent = [c.gripper for c in rig.commands if c is not None and c.gripper is not None]
    assert sent == [0.04, 0.0]


def test_the_elbow_rests_when_the_tool_shall(rig):
    """Chunks without motion are rest, not an occasion to move the elbow to where it would rather be."""
    rig.run(steps(0.03, 0.02, -0.02)[0], 1.0)
    rig.run(np.zeros(6), 1.5)
    assert rig.controller.status().at_rest
    before = rig.measured()[0]
    rig.run(np.zeros(6), 1.0)
    np.testing.assert_allclose(rig.measured()[0], before, atol=1e-9)
