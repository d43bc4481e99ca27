"""The contract of docs/reference/motion_backends.md, over every back-end that follows a stream."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spatial_vla.description import ARM_JOINTS, panda_urdf
from spatial_vla.geometry import SE3
from spatial_vla.motion import Box, IncompleteLimits, MotionLimits
from spatial_vla.motion.history import Setpoint
from spatial_vla.motion.jtc_ik import JtcIkBackend
from spatial_vla.motion.panda import panda_limits
from spatial_vla.motion.self_collision import SelfCollision
from spatial_vla.motion.servo import ServoBackend

from .benches import PERIOD, Embedded, JtcIk, Servo, moved
from .rig import HOME, assert_within_limits

BENCHES = [Embedded, JtcIk, Servo]


@pytest.fixture(params=BENCHES, ids=lambda bench: bench.__name__.lower())
def make(request, model):
    """Makes benches with one of the back-ends; the argument is the limits."""
    return lambda limits=None: request.param(model, limits or panda_limits())


@pytest.fixture
def bench(make):
    bench = make()
    bench.anchor()
    return bench


def along(start, velocity, seconds):
    """Straight motion from ``start``: pose and twist after a time."""
    twist = np.concatenate((velocity, np.zeros(3)))
    return moved(Setpoint(start, twist), seconds)


def follow(bench, velocity, seconds):
    start = bench.model.forward(bench.q)
    results = [bench.stream(along(start, velocity, i * PERIOD)) for i in range(1, round(seconds / PERIOD))]
    return start, results


def to_rest(bench, ticks=60):
    for i in range(ticks):
        result = bench.stop()
        if result.at_rest and np.all(np.abs(bench.dq) < 1e-3):
            return i + 1
    raise AssertionError(f"still moving after {ticks} ticks: {bench.dq}")


def assert_limits(bench):
    limits, q, dq = bench.limits, bench.positions, bench.velocities
    assert np.isfinite(q).all() and np.isfinite(dq).all()
    assert np.all(q > limits.lower - 3e-4) and np.all(q < limits.upper + 3e-4)
    assert np.all(np.abs(dq) <= limits.velocity * 1.02 + 1e-6), np.abs(dq).max(axis=0) / limits.velocity


def test_1_nothing_moves_before_it_is_anchored(make):
    bench = make()
    for act in (bench.stop, lambda: bench.stream(Setpoint.at_rest(bench.model.forward(HOME)))):
        with pytest.raises(RuntimeError, match="anchor"):
            act()


@pytest.mark.parametrize(("joint", "value", "named"), [(3, -0.05, "panda_joint4"), (0, 1.5, "workspace")])
def test_1_anchoring_outside_the_limits_is_refused(make, joint, value, named):
    bench = make()
    q = HOME.copy()
    q[joint] = value
    with pytest.raises(ValueError, match=named):
        bench.backend.anchor(q)


@pytest.mark.parametrize(("beyond", "accepted"), [(5e-4, True), (2e-3, False)])
def test_1_an_arm_at_the_border_of_its_range_starts_though_it_is_measured_beyond(make, beyond, accepted):
    limits = panda_limits(
        workspace=Box((-2, -2, -2), (2, 2, 2)), body_box=Box((-2, -2, -2), (2, 2, 2)), self_clearance=-1.0
    )
    bench, q = make(limits), HOME.copy()
    q[6] = limits.upper[6] + beyond
    if not accepted:
        with pytest.raises(ValueError, match="panda_joint7 position limit"):
            bench.backend.anchor(q)
        return
    bench.backend.anchor(q)
    assert bench.stop().at_rest


def test_2_unknown_limits_are_refused(make):
    with pytest.raises(IncompleteLimits, match="acceleration"):
        make(MotionLimits.from_urdf(panda_urdf(), {}, ARM_JOINTS))


@pytest.mark.parametrize("velocity", [(0.2, 0, 0), (0, 0.25, 0), (0.1, 0.1, -0.15)])
def test_7_a_reference_inside_the_limits_is_followed(bench, velocity):
    start, results = follow(bench, np.array(velocity), 0.8)
    wanted = start.translation + 0.8 * np.array(velocity)
    assert np.linalg.norm(bench.model.forward(bench.q).translation - wanted) < 0.04
    assert not any(result.limited_by for result in results)
    assert_limits(bench)


@pytest.mark.parametrize("velocity", [(3.0, 0, 0), (0, 0, -1.0), (-1.0, 0, -0.5), (0, 8.0, 0)])
def test_3_limits_hold_whatever_is_asked_for(bench, velocity, model):
    follow(bench, np.array(velocity), 1.2)
    assert_limits(bench)
    points = np.array([model.points(q, [model.tcp_frame])[0] for q in bench.positions[::10]])
    assert bench.limits.workspace.contains(points, 0.013)
    collision = SelfCollision(model, 0.0)
    assert all(collision.touching(q) is None for q in bench.positions[::10])


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_3_limits_hold_for_jumping_references(make, seed):
    bench, rng = make(), np.random.default_rng(seed)
    bench.anchor()
    start = bench.model.forward(HOME)
    for _ in range(12):
        offset = rng.normal(0.0, 0.4, 3)
        reference = Setpoint(SE3(start.rotation, start.translation + offset), rng.normal(0.0, 1.0, 6))
        for _ in range(8):
            bench.stream(reference)
        if rng.random() < 0.3:
            bench.stop()
    assert_limits(bench)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_4_what_is_not_finite_stops_the_arm(bench, bad):
    follow(bench, np.array([0.0, 0.2, 0.0]), 0.5)
    good = Setpoint.at_rest(bench.model.forward(bench.q))
    for _ in range(40):
        result = bench.stream(replace(good, twist=np.full(6, bad)))
        assert result.limited_by
    assert np.all(np.abs(bench.dq) < 1e-3)
    assert_limits(bench)


def test_5_silence_means_rest(bench):
    follow(bench, np.array([0.0, 0.2, 0.0]), 0.5)
    assert np.abs(bench.dq).max() > 0.05
    bench.wait(bench.silence)
    assert np.all(np.abs(bench.dq) < 1e-6)
    assert_limits(bench)


def test_6_stopping_leads_to_rest_and_again_changes_nothing(bench):
    follow(bench, np.array([0.2, 0.0, 0.0]), 0.5)
    assert to_rest(bench) <= 35
    where = bench.q.copy()
    for _ in range(30):
        assert bench.stop().at_rest
    np.testing.assert_allclose(bench.q, where, atol=1e-5)


def test_8_starts_again_without_a_jump(bench):
    follow(bench, np.array([0.0, 0.2, 0.0]), 0.5)
    to_rest(bench)
    bench.wait(0.1)
    bench.anchor()
    before = len(bench.positions)
    start, _ = follow(bench, np.array([0.0, -0.2, 0.0]), 0.6)
    steps = np.abs(np.diff(bench.positions[before - 1 :], axis=0))
    assert steps.max() <= bench.limits.velocity.max() * PERIOD * 1.02
    assert bench.model.forward(bench.q).translation[1] < start.translation[1] - 0.06
    assert_limits(bench)


def test_10_at_rest_is_said_only_at_rest(bench):
    _, results = follow(bench, np.array([0.0, 0.2, 0.0]), 0.3)
    assert not results[-1].at_rest
    first = bench.stop()
    assert not first.at_rest
    to_rest(bench)
    pose = bench.model.forward(bench.q)
    np.testing.assert_allclose(bench.stop().reached.pose.translation, pose.translation, atol=1e-3)


# ---- what is particular to Servo -------------------------------------------------------------------------------


@pytest.fixture
def servo(model):
    bench = Servo(model, panda_limits())
    bench.anchor()
    return bench


def test_servo_stops_with_zero_twists_and_a_pause_and_then_says_nothing(servo):
    follow(servo, np.array([0.0, 0.2, 0.0]), 0.3)
    sent = len(servo.arm.sent)
    for _ in range(20):
        servo.stop()
    assert len(servo.arm.sent) == sent + 3 and not np.any(servo.arm.sent[sent:])
    assert servo.arm.paused
    follow(servo, np.array([0.0, 0.1, 0.0]), 0.1)
    assert not servo.arm.paused and servo.arm.ignored == 0


@pytest.mark.parametrize("code", [-1, 2, 5, 6])
def test_servo_that_does_not_move_stops_the_arm_after_a_while(servo, code):
    start = servo.model.forward(HOME)
    reasons = []
    for i in range(40):
        servo.arm.code = code
        reasons.append(servo.stream(along(start, np.array([0.0, 0.1, 0.0]), i * PERIOD)).limited_by)
    assert reasons[0] == "" and "Servo" in reasons[-1]
    assert servo.arm.paused


def test_servo_that_warns_goes_on(servo):
    servo.arm.code = 1
    _, results = follow(servo, np.array([0.0, 0.1, 0.0]), 0.5)
    assert not any(r.limited_by for r in results)


def test_a_dead_servo_is_noticed(servo):
    servo.arm.silent = True
    _, results = follow(servo, np.array([0.0, 0.1, 0.0]), 0.4)
    assert "silent" in results[-1].limited_by


# ---- what is particular to chunks ------------------------------------------------------------------------------


def test_a_chunk_is_one_trajectory_and_its_successor_goes_on_from_the_middle(make_rig, model):
    """Through the whole controller: five chunks, one every 0.2 s, are five trajectories and one smooth motion."""
    rig = make_rig()
    rig.controller.use(JtcIkBackend(model, rig.limits, PERIOD, rig.controller))
    rig.arm()
    rig.tick(2)
    start, before = rig.tcp(), len(rig.commands)
    rig.run([0, 0.03, 0, 0, 0, 0], 1.0)
    sent = [command for command in rig.commands[before:] if command is not None and command.fresh]
    assert len(sent) == 5
    assert all(len(command.points) > 50 and not command.points[-1].velocities.any() for command in sent)
    rig.tick(120)
    # The last chunk is followed to its end.
    wanted = start.translation + np.array([0.0, 0.03 * 5 + 0.03 * 3 - 0.0075, 0.0])
    np.testing.assert_allclose(rig.tcp().translation, wanted, atol=0.012)
    assert rig.state.name == "IDLE" and rig.speed() == 0.0
    assert_within_limits(rig)
    turned = np.linalg.norm(rig.tcp().rotation - start.rotation)
    assert turned < 0.02


def test_a_hold_in_the_middle_of_a_trajectory_is_one_short_trajectory_to_rest(make_rig, model):
    rig = make_rig()
    rig.controller.use(JtcIkBackend(model, rig.limits, PERIOD, rig.controller))
    rig.arm()
    rig.run([0.03, 0, 0, 0, 0, 0], 0.6)
    assert rig.speed() > 0.05
    before = len(rig.commands)
    rig.controller.hold("a test")
    rig.tick(40)
    sent = [command for command in rig.commands[before:] if command is not None and command.fresh]
    assert len(sent) == 1 and sent[0].points[-1].time_from_start < 0.35
    assert rig.speed() == 0.0
    rig.controller.resume("a test")
    rig.tick(3)
    rig.run([0.0, 0.03, 0, 0, 0, 0], 0.6)
    assert rig.speed() > 0.05
    assert_within_limits(rig)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_limits_hold_for_any_stream_of_chunks(make_rig, model, seed):
    rng, rig = np.random.default_rng(seed), make_rig()
    rig.controller.use(JtcIkBackend(model, rig.limits, PERIOD, rig.controller))
    rig.arm()
    for _ in range(8):
        scale = np.array([0.05] * 3 + [0.2] * 3) * rng.choice([0.1, 1.0, 5.0])
        rig.chunk(rng.normal(0.0, 1.0, (4, 6)) * scale, age=rng.uniform(0.0, 0.3))
        rig.tick(int(rng.integers(1, 30)))
    rig.tick(120)
    assert rig.speed() == 0.0
    assert_within_limits(rig)


def test_11_after_a_stop_the_command_goes_to_where_the_arm_is(make):
    """Inside the limits, or not at all where no position is commanded."""
    bench = make()
    if isinstance(bench.backend, ServoBackend):
        pytest.skip("commands no positions")
    bench.anchor()
    follow(bench, np.array([0.1, 0, 0]), 0.3)
    to_rest(bench)
    there = bench.q + np.array([0.05, -0.03, 0.0, 0.02, 0.0, 0.0, 0.1])
    for _ in range(300):
        result = bench._sent(bench.backend.let_go(there, bench.elapsed))
        if result.at_rest:
            break
    np.testing.assert_allclose(bench.q, there, atol=3e-3)
    assert_limits(bench)
