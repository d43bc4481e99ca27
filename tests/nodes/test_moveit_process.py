"""Planned moves: through a real child process with a strict stand-in for moveit_py, and checked before they run."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spatial_vla.description import ROBOTS
from spatial_vla.motion import BackendUnavailable, MotionLimits, RobotModel
from spatial_vla.motion.panda import panda_limits, panda_model
from spatial_vla.motion.planning import JointPlan, PlanBackend, PlanRefused
from spatial_vla.nodes import moveit_process
from spatial_vla.nodes.moveit_process import MoveItProcess

from .fake_moveit import HOME, fake_session

GOAL = HOME + np.array([0.4, 0.1, 0, 0, 0, 0, 0])


@pytest.fixture(scope="module")
def planner():
    planner = MoveItProcess("panda_arm", {}, fake_session)
    yield planner
    planner.close()


@pytest.fixture
def backend(planner):
    return PlanBackend(panda_model(), panda_limits(), planner)


def test_plans_moves_and_refuses(backend):
    plan = backend.plan_to(GOAL, HOME)
    np.testing.assert_allclose(plan.positions[-1], GOAL)
    with pytest.raises(PlanRefused, match="rad from where the arm is"):
        backend.execute(plan, HOME + 0.02)
    with pytest.raises(BackendUnavailable, match="no way"):
        _no_way(backend)
    assert backend.execute(backend.plan_to(GOAL, HOME), HOME)
    back = backend.plan_to(HOME, GOAL)
    assert backend.execute(back, GOAL)


def _no_way(backend):
    class NoWay:
        def plan(self, *_):
            return None

    backend._planner, real = NoWay(), backend._planner
    try:
        backend.plan_to(GOAL, HOME)
    finally:
        backend._planner = real


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda p: replace(p, positions=p.positions + 0.02), "rad from where"),
        (lambda p: replace(p, velocities=p.velocities * 50), "faster|rest"),
        (
            lambda p: replace(p, times=p.times / 10, velocities=0 * p.velocities),
            "0 and 1.* faster|1 and 2.* faster",
        ),
        (lambda p: replace(p, velocities=jerked(p.velocities), times=p.times / 1.3), "harder accelerated"),
        (lambda p: replace(p, velocities=p.velocities * 3), "times as fast"),
        (lambda p: replace(p, velocities=p.velocities + 0.01), "end at rest"),
        (lambda p: replace(p, times=p.times[::-1]), "do not increase"),
        (lambda p: replace(p, positions=np.full_like(p.positions, np.nan)), "rad from where|not finite"),
        (lambda p: JointPlan(p.times, p.positions[:, :6], p.velocities), "shapes"),
        (lambda p: replace(p, positions=detour(p.positions)), "workspace|position limit|self-collision"),
    ],
)
def test_plans_that_break_a_limit_are_refused(change, named):
    times = np.linspace(0.0, 2.0, 11)
    s = times / 2.0
    positions = HOME + np.outer(3 * s**2 - 2 * s**3, GOAL - HOME)
    good = JointPlan(times, positions, np.outer((6 * s - 6 * s**2) / 2.0, GOAL - HOME))

    class Given:
        def plan(self, *_):
            return change(good)

    with pytest.raises(PlanRefused, match=named):
        PlanBackend(panda_model(), panda_limits(), Given()).plan_to(GOAL, HOME)


def jerked(velocities):
    back_and_forth = 0 * velocities
    back_and_forth[1:-1:2, 1], back_and_forth[2:-1:2, 1] = 0.7, -0.7
    return back_and_forth


def test_a_plan_that_moves_the_tool_too_fast_is_made_again_slower():
    """The joints' limits alone, by which planners time, let the tool go at three times what it may."""
    limits, model, asked = panda_limits(), panda_model(), []

    class Timed:
        def plan(self, goal, speed, acceleration):
            asked.append((speed, acceleration))
            seconds = 0.4 / speed
            times = np.linspace(0.0, seconds, 21)
            s = times / seconds
            positions = HOME + np.outer(3 * s**2 - 2 * s**3, goal - HOME)
            return JointPlan(times, positions, np.outer((6 * s - 6 * s**2) / seconds, goal - HOME))

    plan = PlanBackend(model, limits, Timed()).plan_to(GOAL, HOME)
    fastest = max(
        np.linalg.norm((model.jacobian(q) @ dq)[:3])
        for q, dq in zip(plan.positions, plan.velocities, strict=True)
    )
    assert 0.8 * limits.cartesian.speed < fastest <= limits.cartesian.speed
    assert len(asked) == 2 and asked[1][0] < asked[0][0] == limits.scaling.velocity
    assert asked[1][1] / asked[0][1] == pytest.approx(asked[1][0] / asked[0][0])


def test_the_fr3_is_planned_for_as_slow_as_it_must_be_near_a_stop(monkeypatch):
    fr3 = ROBOTS["fr3"]
    limits = MotionLimits.from_urdf(
        fr3.urdf(),
        fr3.limits()["joint_limits"],
        fr3.joints,
        velocity_by_position=fr3.limits()["velocity_by_position"],
        body_frames=("fr3_link4", "fr3_link8"),
    )
    model, asked = RobotModel(fr3.urdf(), fr3.joints, "fr3_link0", "fr3_tcp"), []
    near = np.array([0.0, -0.6, 0.0, -2.4, 0.0, limits.lower[5] + 0.25, 0.785])

    class Timed:
        def plan(self, goal, speed, acceleration):
            asked.append(speed)
            seconds = 0.25 / speed
            times = np.linspace(0.0, seconds, 21)
            s = times / seconds
            rates = np.outer((6 * s - 6 * s**2) / seconds, goal - near)
            return JointPlan(times, near + np.outer(3 * s**2 - 2 * s**3, goal - near), rates)

    goal = near - 0.2 * np.eye(7)[5]
    backend = PlanBackend(model, limits, Timed())
    monkeypatch.setattr(backend, "_objection", lambda q: "")
    plan = backend.plan_to(goal, near)
    assert len(asked) > 1
    for q, dq in zip(plan.positions, plan.velocities, strict=True):
        lowest, highest = limits.velocity_at(q)
        assert np.all(dq >= 1.01 * lowest - 1e-6) and np.all(dq <= 1.01 * highest + 1e-6)


def slow_session(group, configuration):
    """Its moves take for ever, and it remembers whether it was stopped."""

    class Slow:
        def plan(self, *_):
            return None

        def execute(self, plan):
            time.sleep(60)

        def stop(self):
            Path(configuration["stopped"]).touch()

    return Slow()


def test_a_planner_that_does_not_answer_is_stopped_and_ended(monkeypatch, tmp_path):
    """Its late answer must not be taken for that of the next request."""
    planner = MoveItProcess("panda_arm", {"stopped": str(tmp_path / "stopped")}, slow_session)
    monkeypatch.setattr(moveit_process, "PATIENCE", 1.0)
    with pytest.raises(BackendUnavailable, match="did not answer"):
        planner.execute(None)
    assert (tmp_path / "stopped").exists()
    with pytest.raises(BackendUnavailable, match="ended"):
        planner.plan(GOAL, 0.5, 0.5)
    planner.close()


def patient_session(group, configuration):
    """Its moves last until they are stopped."""

    class Patient:
        def __init__(self):
            self.stopped = threading.Event()

        def execute(self, plan):
            Path(configuration["moves"]).write_text(str(os.getpid()))
            return not self.stopped.wait(30.0)

        def stop(self):
            self.stopped.set()
            Path(configuration["stopped"]).touch()

    return Patient()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_leaves_somebody_to_stop_the_move(tmp_path, number):
    files = {name: str(tmp_path / name) for name in ("moves", "stopped")}
    planner = MoveItProcess("panda_arm", files, patient_session)
    answers = []
    mover = threading.Thread(target=lambda: answers.append(planner.execute(None)))
    mover.start()
    moves, until = tmp_path / "moves", time.monotonic() + 30.0
    while not (moves.exists() and moves.read_text()) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(int(moves.read_text()), number)
    time.sleep(0.3)
    planner.stop()
    mover.join(10.0)
    assert answers == [False] and (tmp_path / "stopped").exists()
    planner.close()


def detour(positions):
    away = positions.copy()
    away[5] += [0, 1.4, 0, 0, 0, 0, 0]  # through the table
    return away


def test_what_lies_between_way_points_is_checked_as_well():
    # Near and far the tool is just above the table; the straight joint line between dips into it.
    near = np.array([-0.015, 0.298, 0.056, -2.95, 0.153, 3.249, 0.672])
    far = np.array([0.202, 0.882, -0.225, -1.621, 0.28, 2.471, 0.621])

    class Given:
        def plan(self, *_):
            return JointPlan(np.array([0.0, 9.0]), np.array([near, far]), np.zeros((2, 7)))

    with pytest.raises(PlanRefused, match="between way-points 0 and 1: workspace"):
        PlanBackend(panda_model(), panda_limits(), Given()).plan_to(far, near)


def test_a_goal_in_self_collision_is_refused_before_anything_is_planned():
    folded = np.array([0.0, -1.5, 0.0, -2.9, 0.0, 1.0, 0.785])
    with pytest.raises(PlanRefused, match=r"the goal: (workspace|self-collision)"):
        PlanBackend(panda_model(), panda_limits(), None).plan_to(folded, HOME)


def test_what_is_wrong_with_the_session_is_said():
    with pytest.raises(BackendUnavailable, match="no group left_arm"):
        MoveItProcess("left_arm", {}, fake_session)
