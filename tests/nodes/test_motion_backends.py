"""The back-ends inside motion_node: chosen by a parameter, said, and each moving the arm as chunks or a person say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TransformStamped
from spatial_vla.description import ARM_JOINTS
from spatial_vla.geometry import SE3
from spatial_vla.motion.panda import panda_model
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import header, pose_message, transform_message
from spatial_vla_interfaces.msg import MotionStatus
from spatial_vla_interfaces.srv import MoveTo
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage

from .test_motion_node import HOME, Arm, start_motion

FAKES = Path(__file__).parent


@pytest.fixture
def arm(graph):
    return Arm(graph)


def output(graph, name="motion_node"):
    graph.signal(name, 15)
    return graph.processes.pop(name).communicate(timeout=90)[0]


def test_auto_says_what_it_took_and_why(arm):
    start_motion(arm.graph, "watched_nodes:=['']")
    arm.reaches(MotionStatus.IDLE)
    said = output(arm.graph)
    assert "back-end embedded: not servo: MoveIt's messages are not installed" in said, said


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (["backend:=servo"], "apt install"),
        (["backend:=moveit"], "jtc_ik"),
        (["backend:=plan", "planner:=moveit_py"], "moveit_py is not installed"),
        (
            ["backend:=plan", "move_group_wait:=0.2"],
            "not move_action: .*; not moveit_py: moveit_py is not installed",
        ),
        (["backend:=plan", "planner:=chomp"], "must be one of .*'move_action', 'moveit_py'"),
    ],
)
def test_what_is_asked_for_and_missing_is_refused_in_words(graph, parameters, words):
    said = (process := graph.start("motion_node", *parameters)).communicate(timeout=90)[0]
    assert process.returncode == 3 and "Traceback" not in said, said
    assert re.search(words, said), said


def test_jtc_ik_sends_one_trajectory_per_chunk(arm):
    start_motion(arm.graph, "watched_nodes:=['']", "backend:=jtc_ik")
    arm.reaches(MotionStatus.IDLE)
    assert not arm.commands, "an arm that rests needs no telling"
    for chunk in (1, 2, 3):
        arm.send((0.0, 0.02))
        for _ in range(30):
            arm.tick()
        assert len(arm.commands) == chunk, arm.status
        assert not np.any(arm.commands[-1].points[-1].velocities)
    assert arm.speed() > 0.05
    assert arm.call(SetBool, "motion_node/arm", SetBool.Request(data=False)).success
    assert arm.ticks_to_rest() <= 40
    arm.reaches(MotionStatus.DISARMED)


def test_a_dry_run_of_whole_trajectories_shows_the_motion(arm):
    start_motion(arm.graph, "watched_nodes:=['']", "backend:=jtc_ik", "dry_run:=true")
    arm.reaches(MotionStatus.IDLE)
    start = arm.status.reference.position.y
    arm.send((0.0, 0.02))
    arm.until(lambda: arm.status.state == MotionStatus.RUNNING, "running")
    arm.reaches(MotionStatus.IDLE)
    assert arm.status.reference.position.y - start == pytest.approx(0.08, abs=0.01)
    assert not arm.commands and np.array_equal(arm.desired()[0], HOME)


@pytest.fixture(params=["move_action", "moveit_py"])
def planning(request, arm, turn):
    """A motion_node that plans, with a move_group or by importing moveit; ``turn``: the base joint's way home."""
    move_group = request.param == "move_action"
    paths = [str(FAKES / "fake_packages"), str(FAKES), os.environ.get("PYTHONPATH", "")]
    arm.graph.environment["PYTHONPATH"] = os.pathsep.join(paths)
    if move_group:
        pytest.importorskip("moveit_msgs.action", reason="needs moveit_msgs: ./setup --dev")
        command = [sys.executable, str(FAKES / "fake_move_group.py")]
        arm.graph.processes["move_group"] = subprocess.Popen(
            command, env=arm.graph.environment, start_new_session=True
        )
    home = HOME + np.array([turn, 0, 0, 0, 0, 0, 0])
    start_motion(
        arm.graph,
        "watched_nodes:=['']",
        "backend:=plan",
        f"move_group_wait:={60.0 if move_group else 0.2}",
        f"home:={home.tolist()}",
        "workspace_lower:=[-0.9,-0.9,0.01]",
    )
    arm.reaches(MotionStatus.IDLE)
    yield arm
    said = output(arm.graph)
    chosen = (
        "planner move_action: a move_group runs"
        if move_group
        else "planner moveit_py: not move_action: no move"
    )
    assert chosen in said, said


def go_home(arm):
    answer = arm.call(Trigger, "motion_node/go_home", Trigger.Request())
    return "" if answer.success else answer.message


@pytest.mark.parametrize("turn", [0.2])
def test_a_planned_move_goes_home_only_while_disarmed_and_is_stopped_by_the_button(planning):
    arm = planning
    assert "disarm it first" in go_home(arm)
    arm.send((0.0, 0.02))
    arm.until(
        lambda: arm.status.state == MotionStatus.RUNNING, "chunks are streamed by the embedded back-end"
    )
    arm.reaches(MotionStatus.IDLE)
    assert arm.call(SetBool, "motion_node/arm", SetBool.Request(data=False)).success
    arm.reaches(MotionStatus.DISARMED)
    assert "rad from where the arm is" in go_home(arm), "MoveIt believes that the arm is elsewhere"
    arm.path = arm.path.holding(HOME)
    for _ in range(30):
        arm.tick()
    arm.graph.publish("motion_node/stop", Bool(data=True), qos.LATCHED)
    arm.reaches(MotionStatus.FAULT, "stop button")
    assert "stop button" in go_home(arm)
    arm.graph.publish("motion_node/stop", Bool(data=False), qos.LATCHED)
    arm.until(lambda: arm.call(Trigger, "motion_node/reset", Trigger.Request()).success, "a reset")
    assert arm.call(SetBool, "motion_node/arm", SetBool.Request(data=False)).success
    arm.reaches(MotionStatus.DISARMED)
    arm.until(lambda: go_home(arm) == "", "a way home")


@pytest.mark.parametrize("turn", [1.1])  # so far that the stand-in for MoveIt is on its way for five seconds
def test_a_planned_move_under_way_is_stopped_and_keeps_the_arm_from_being_armed(planning):
    arm = planning
    assert arm.call(SetBool, "motion_node/arm", SetBool.Request(data=False)).success
    arm.reaches(MotionStatus.DISARMED)
    client = arm.graph.node.create_client(Trigger, "motion_node/go_home")
    arm.graph.until(client.service_is_ready, "go_home")
    future = client.call_async(Trigger.Request())
    for _ in range(30):
        arm.tick()
    assert not future.done()
    assert "planned move is under way" in go_home(arm)
    refused = arm.call(SetBool, "motion_node/arm", SetBool.Request(data=True))
    assert not refused.success and "planned move is under way" in refused.message
    arm.graph.publish("motion_node/stop", Bool(data=True), qos.LATCHED)
    arm.until(future.done, "the end of the move")
    assert not future.result().success and "stop button" in future.result().message


def at(positions, joints=ARM_JOINTS):
    return MoveTo.Request(joints=list(joints), positions=[float(p) for p in positions])


@pytest.mark.parametrize("turn", [0.2])
def test_a_move_goes_to_joints_and_to_poses_in_frames_that_tf_knows(planning):
    arm, shelf = planning, SE3.from_quaternion((0.6, -0.2, 0.3), (0.0, 0.0, 0.6, 0.8))

    def move_to(request):
        answer = arm.call(MoveTo, "motion_node/move_to", request)
        return "" if answer.success else answer.message

    assert "disarm it first" in move_to(at([0.1], ["panda_joint1"]))
    assert arm.call(SetBool, "motion_node/arm", SetBool.Request(data=False)).success
    arm.reaches(MotionStatus.DISARMED)
    assert "there are ['panda_joint1'" in move_to(at([0.1], ["elbow"]))
    assert "workspace" in move_to(at(HOME + np.array([0, 1.3, 0, 0, 0, 0, 0])))
    assert move_to(at([HOME[6] + 0.3], ["panda_joint7"])) == ""
    there = HOME + np.array([0, 0, 0, 0, 0, 0, 0.3])
    arm.path = arm.path.holding(there)
    for _ in range(30):
        arm.tick()

    goal = panda_model().forward(there + np.array([0.1, 0.1, 0, 0.1, 0, 0, 0.1]))
    pose = PoseStamped(header=header(0, "shelf"), pose=pose_message(shelf.inverse() @ goal))
    assert "no transform from frame 'shelf'" in move_to(MoveTo.Request(pose=pose))
    stamped = TransformStamped(header=header(0, "panda_link0"), child_frame_id="shelf")
    stamped.transform = transform_message(shelf)
    arm.graph.publish("/tf_static", TFMessage(transforms=[stamped]), qos.LATCHED)
    arm.until(lambda: move_to(MoveTo.Request(pose=pose)) == "", "a way to the shelf")
