"""Whatever comes in, what goes out keeps every joint limit and ends at rest."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from spatial_vla.motion import MotionState
from spatial_vla.motion.panda import panda_limits

from .rig import FINE, assert_within_limits, assert_within_space, rig_with, steps

BOUNDED = settings(
    max_examples=40,
    deadline=None,
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # shrinking a run of seconds takes longer than it is worth
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

number = st.one_of(
    st.floats(-0.06, 0.06),
    st.floats(-5.0, 5.0),
    st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-308]),
)
sane = st.floats(-0.06, 0.06)


@st.composite
def chunk_event(draw):
    element = draw(st.sampled_from([sane, sane, number]))
    width = draw(st.sampled_from([6, 6, 6, 6, 5, 7]))
    length = draw(st.sampled_from([0, 1, 4, 4, 4, 9]))
    deltas = np.array(draw(st.lists(element, min_size=length * width, max_size=length * width))).reshape(
        length, width
    )
    return "chunk", {
        "deltas": deltas,
        "dt": draw(st.sampled_from([0.2, 0.2, 0.2, 0.05, 1.0, 0.0, -0.2, np.nan])),
        "age": draw(st.floats(-0.1, 1.0)),
        "gripper": draw(st.lists(st.floats(0, 1), min_size=length, max_size=length)),
        "frame": draw(st.sampled_from(["panda_link0"] * 5 + ["panda_tcp", ""])),
    }


event = st.one_of(
    chunk_event(),
    chunk_event(),
    chunk_event(),
    st.tuples(st.sampled_from(["repeat", "hold", "resume", "disarm"]), st.none()),
    st.tuples(st.just("jump"), st.sampled_from([-0.5, -0.02, 0.06, 0.3, 3.0])),
    st.tuples(st.just("stall"), st.sampled_from([0.002, 0.02, 0.04, 0.06, 0.5])),
    st.tuples(st.just("blind"), st.integers(1, 30)),
)


def play(rig, kind, value):
    if kind == "chunk":
        rig.chunk(**value)
    elif kind == "repeat":
        rig.chunk_id -= 1
        rig.chunk(steps(0.05))
    elif kind == "hold":
        rig.controller.hold("test")
    elif kind == "resume":
        rig.controller.resume("test")
    elif kind == "jump":
        rig.set_clock(value)
    elif kind == "stall":  # the loop does not run; the arm goes on
        rig.advance(value)
    elif kind == "blind":
        rig.tick(value, joint_states=False)
    elif kind == "disarm":
        rig.controller.disarm()


@pytest.mark.parametrize("backend", ["embedded", "jtc_ik", "servo"])
@BOUNDED
@given(st.lists(st.tuples(event, st.integers(0, 30)), min_size=3, max_size=14))
def test_no_input_makes_the_arm_leave_its_limits(model, backend, events):
    rig = rig_with(backend, model, panda_limits())
    rig.arm()
    for (kind, value), ticks in events:
        play(rig, kind, value)
        rig.tick(ticks)
        if rig.state is MotionState.DISARMED and rig.speed() == 0.0:
            rig.controller.arm(rig.measured()[0], rig.now_ns)  # refused right after a motion
    rig.controller.disarm()
    rig.tick(40)
    assert_within_limits(rig)
    assert_within_space(rig)
    assert rig.speed() < 1e-9
    sent = [command for command in rig.commands if command is not None and command.fresh and command.points]
    for command in sent:
        times = [point.time_from_start for point in command.points]
        assert all(a < b for a, b in zip([0.0, *times], times, strict=False)), times
        assert not np.any(command.points[-1].velocities)


@pytest.mark.parametrize("backend", ["embedded", "jtc_ik", "servo"])
@pytest.mark.parametrize("seed", [6, 13, 22])
def test_hard_streams_keep_every_limit(model, backend, seed):
    """Far and fast, into singularities, self-collision and walls, with chunks of any length and age."""
    rng, rig = np.random.default_rng(seed), rig_with(backend, model, panda_limits())
    rig.arm()
    direction = rng.normal(size=6)
    for _ in range(25):
        direction = 0.9 * direction + 0.45 * rng.normal(size=6)
        size = np.array([0.06] * 3 + [0.35] * 3) * rng.choice([0.3, 1.0, 3.0])
        rig.chunk(steps(*direction * size), age=rng.uniform(0.0, 0.5), dt=rng.choice([0.05, 0.1, 0.2, 0.4]))
        rig.tick(int(rng.integers(1, 40)))
    rig.controller.disarm()
    rig.tick(60)
    assert rig.speed() < 1e-9
    assert_within_limits(rig)
    assert_within_space(rig)
    if backend != "servo":  # whose smoothing bounds no jerk
        jerk = np.diff(rig.velocities, n=2, axis=0) / FINE**2
        assert np.all(np.abs(jerk) <= 1.001 * rig.limits.stop_jerk)


DOUBTS = {
    "clock set ahead": lambda rig: rig.set_clock(0.3),
    "clock set back": lambda rig: rig.set_clock(-3.0),
    "loop late": lambda rig: rig.advance(0.06),
}


@pytest.mark.parametrize("backend", ["embedded", "jtc_ik", "servo"])
@pytest.mark.parametrize("pressed", ["nothing", "stop button", "disarmed before", "disarmed after"])
@pytest.mark.parametrize("doubt", DOUBTS)
def test_the_arm_stops_where_it_is_no_longer_known_how_far_it_has_come(model, backend, pressed, doubt):
    """Even if what it was told would last for seconds, and whatever is pressed."""
    rig = rig_with(backend, model, panda_limits())
    rig.arm()
    rig.chunk(steps(0.05), dt=0.5)
    rig.tick(60)
    assert rig.speed() > 0.05
    if pressed == "disarmed before":
        rig.controller.disarm()
    DOUBTS[doubt](rig)
    if pressed == "stop button":
        rig.controller.hold("stop button")
    elif pressed == "disarmed after":
        rig.controller.disarm()
    rig.tick(35)
    assert rig.speed() < 1e-9
    assert_within_limits(rig)
    rig.tick(200)
    assert rig.speed() < 1e-9


@pytest.mark.parametrize("backend", ["embedded", "jtc_ik"])
def test_joint_states_of_another_clock_stop_the_arm_all_the_same(model, backend):
    """Their stamps stay behind when ours are set: for good they look old, or of the future."""
    for seconds in (-0.5, 0.5):
        rig = rig_with(backend, model, panda_limits())
        rig.arm()
        rig.chunk(steps(0.05), dt=0.5)
        rig.tick(60)
        rig.set_clock(seconds)
        for _ in range(50):
            rig.controller.on_joint_state(*rig.measured(), rig.now_ns - round(seconds * 1e9))
            rig.tick(joint_states=False)
        assert rig.speed() < 1e-9


@pytest.mark.parametrize("backend", ["embedded", "jtc_ik", "servo"])
def test_the_last_command_before_nobody_commands_any_more_stops_the_arm(model, backend):
    rig = rig_with(backend, model, panda_limits())
    rig.arm()
    rig.chunk(steps(0.05), dt=0.5)
    rig.tick(60)
    assert rig.speed() > 0.05
    rig.follow(rig.controller.halt(rig.now_ns))
    rig.advance(0.4)
    assert rig.speed() < 1e-9
    assert rig.state is MotionState.DISARMED


@pytest.mark.parametrize("seed", range(6))
def test_a_stream_of_chunks_keeps_all_limits(make_rig, seed):
    """Long walks end at workspace walls, joint stops and singularities."""
    random = np.random.default_rng(seed)
    rig = make_rig()
    rig.arm()
    for _ in range(12):
        rig.run(random.uniform(-1.0, 1.0, 6) * [0.06, 0.06, 0.06, 0.3, 0.3, 0.3], 0.6)
    assert_within_limits(rig)
    jerk = np.diff(rig.velocities, n=2, axis=0) / FINE**2
    assert np.all(np.abs(jerk) <= 1.001 * rig.limits.stop_jerk), (
        np.abs(jerk).max(axis=0) / rig.limits.stop_jerk
    )


@pytest.mark.parametrize("direction", np.vstack((np.eye(6), -np.eye(6))))
def test_walking_on_in_one_direction_ends_at_rest_inside_the_limits(make_rig, direction):
    rig = make_rig()
    rig.arm()
    rig.run(direction * [0.05, 0.05, 0.05, 0.3, 0.3, 0.3], 5.0)
    assert_within_limits(rig)
    points = rig.model.points(rig.measured()[0], rig.limits.body_frames)
    assert rig.limits.workspace.contains(rig.tcp().translation, 0.011)
    assert rig.limits.body_box.contains(points)
    assert rig.state in (MotionState.RUNNING, MotionState.IDLE)


def test_cartesian_speed_of_the_output_is_capped(rig):
    for direction in ([0.06, 0, 0], [0, -0.06, 0], [-0.03, 0.03, 0.03], [0, 0, -0.06]):
        rig.run(np.pad(direction, (0, 3)), 0.6)
    speeds = [
        np.linalg.norm((rig.model.jacobian(q) @ dq)[:3])
        for q, dq in zip(rig.positions[::5], rig.velocities[::5], strict=True)
    ]
    assert max(speeds) < 1.03 * rig.limits.cartesian.speed
    assert max(speeds) > 0.23
