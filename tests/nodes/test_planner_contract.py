"""The planner contract over both transports: moveit_py in a child process, a move_group through its actions."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from spatial_vla.description import ARM_JOINTS
from spatial_vla.motion import BackendUnavailable
from spatial_vla.nodes import move_group
from spatial_vla.nodes.move_group import MoveGroupPlanner
from spatial_vla.nodes.move_group_messages import plan_from_message
from spatial_vla.nodes.moveit_process import MoveItProcess

from .fake_moveit import crashing_session, fake_session
from .planner_contract import ASIDE, HOME, NOWHERE, PlannerContract, go

FAKE = Path(__file__).with_name("fake_move_group.py")
GROUP, JOINTS = "panda_arm", tuple(ARM_JOINTS)
#: Goals that the stand-in thinks about until it is cancelled, and that it dies of; see there.
PONDERED, FATAL = (HOME + np.array([turn, 0, 0, 0, 0, 0, 0]) for turn in (-2.2, -2.3))


@pytest.fixture(scope="module")
def graph():
    """A domain of its own with a stand-in for move_group on it, and a context to meet it in."""
    pytest.importorskip("moveit_msgs.action", reason="needs moveit_msgs: ./setup --dev")
    domain = 101 + os.getpid() % 100
    environment = {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    process = subprocess.Popen([sys.executable, str(FAKE)], env=environment)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    yield SimpleNamespace(context=context, process=process)
    context.try_shutdown()
    process.kill()
    process.wait()


def on(graph, wait=60.0, group=GROUP, namespace="/"):
    return MoveGroupPlanner(group, JOINTS, wait, namespace, graph.context)


@pytest.fixture(scope="module", params=["moveit_py", "move_action"])
def planner(request):
    if request.param == "moveit_py":
        planner = MoveItProcess(GROUP, {}, fake_session)
    else:
        planner = on(request.getfixturevalue("graph"))
    yield planner
    planner.close()


class TestPlanners(PlannerContract):
    """The clauses."""


def test_without_a_move_group_it_is_said_how_to_get_one(graph):
    with pytest.raises(
        BackendUnavailable, match=r"no move_group answers on /elsewhere/move_action.*backend:=plan"
    ):
        on(graph, wait=0.2, namespace="/elsewhere")


def test_planning_is_cancelled_by_a_stop(graph):
    planner, said = on(graph), []

    def plan():
        try:
            planner.plan(PONDERED, 0.5, 0.5)
        except BackendUnavailable as error:
            said.append(str(error))

    thinker = threading.Thread(target=plan)
    thinker.start()
    time.sleep(0.5)
    assert thinker.is_alive()
    planner.stop()
    thinker.join(30.0)
    assert said == ["the planner found no way: PREEMPTED (-7): cancelled"]
    go(planner, HOME)
    planner.close()


def test_error_codes_are_told_by_name(graph):
    planner = on(graph)
    with pytest.raises(BackendUnavailable, match=r"PLANNING_FAILED \(-1\): no solution"):
        planner.plan(NOWHERE, 0.5, 0.5)
    with pytest.raises(BackendUnavailable, match=r"INVALID_GOAL_CONSTRAINTS \(-16\)"):
        planner.plan(np.full(7, np.nan), 0.5, 0.5)
    # The arm was moved by somebody else meanwhile.
    go(planner, HOME)
    plan, other = planner.plan(ASIDE, 0.5, 0.5), on(graph, group=GROUP)
    go(other, ASIDE)
    with pytest.raises(BackendUnavailable, match=r"CONTROL_FAILED \(-4\): start point deviates"):
        planner.execute(plan)
    other.close()
    left = on(graph, group="left_arm")
    with pytest.raises(BackendUnavailable, match=r"INVALID_GROUP_NAME \(-15\): no group 'left_arm'"):
        left.plan(HOME, 0.5, 0.5)
    left.close()
    planner.close()


def test_plans_of_other_joints_or_without_times_are_refused():
    def trajectory(names, velocities):
        points = [
            SimpleNamespace(
                positions=[0.0] * 7,
                velocities=velocities,
                time_from_start=SimpleNamespace(sec=1, nanosec=0),
            )
        ]
        return SimpleNamespace(joint_trajectory=SimpleNamespace(joint_names=names, points=points))

    with pytest.raises(BackendUnavailable, match=r"expected .*panda_joint7"):
        plan_from_message(trajectory([*JOINTS[:6], "finger"], [0.0] * 7), JOINTS, 1)
    with pytest.raises(BackendUnavailable, match="AddTimeOptimalParameterization"):
        plan_from_message(trajectory(list(JOINTS), []), JOINTS, 1)


def test_a_planner_that_crashes_is_an_error_and_no_more(graph, monkeypatch):
    child = MoveItProcess(GROUP, {}, crashing_session)
    monkeypatch.setattr(move_group, "PATIENCE", 2.0)
    monkeypatch.setattr(move_group, "ATTEMPTS", 0)
    for planner, words in ((child, "has ended"), (on(graph), "has gone|does not answer")):
        with pytest.raises(BackendUnavailable, match=words):
            planner.plan(FATAL, 0.5, 0.5)
        planner.stop()
        planner.close()
    assert graph.process.wait(10.0) == 139
