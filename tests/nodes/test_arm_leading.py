"""Leading an arm by chunks: what is sent, when the arm counts as arrived, and what is refused in which words."""

from typing import Any

import numpy as np
import pytest
import rclpy
from spatial_vla.calibration import CalibrationError
from spatial_vla.geometry import SE3, rotvec_to_matrix
from spatial_vla.nodes.arm_leading import AS_IT_IS, DT, ArmLeader
from spatial_vla.nodes.calibration_capture import CalibrationCapture
from spatial_vla.nodes.conversions import chunk_from_message, header, pose_message
from spatial_vla_interfaces.msg import ActionChunk, Instruction, MotionStatus

START = SE3(np.diag([1.0, -1.0, -1.0]), np.array([0.4, 0.0, 0.3]))
TARGET = SE3(
    rotvec_to_matrix([0.0, 0.5, 0.3]) @ START.rotation, START.translation + np.array([0.1, -0.15, 0.05])
)


class Stage:
    """Stands in for node and motion stage: follows chunks exactly, as far as ``wall`` [m along x] lets it."""

    def __init__(self, wall=np.inf, base="panda_link0"):
        self.pose, self.now_ns, self.wall, self.base = START, 0, wall, base
        self.sent, self.chunks = [], self
        self.state, self.reason = MotionStatus.IDLE, ""
        self.left = []

    def publish(self, message):
        self.sent.append(chunk := chunk_from_message(message))
        self.left = list(chunk.deltas)

    def value(self, name):
        assert name == "base_frame"
        return "panda_link0"

    def resolve_topic_name(self, name):
        return f"/{name}"

    def next_status(self, after_ns):
        self.now_ns += round(DT * 1e9)
        moving = bool(self.left)
        if moving:
            delta = self.left.pop(0)
            there = SE3(rotvec_to_matrix(delta[3:]) @ self.pose.rotation, self.pose.translation + delta[:3])
            if there.translation[0] <= self.wall:
                self.pose = there
            else:
                moving = False
        state = MotionStatus.RUNNING if moving and self.state == MotionStatus.IDLE else self.state
        status = MotionStatus(header=header(self.now_ns, self.base), state=state, reason=self.reason)
        status.reference, status.at_rest = pose_message(self.pose), not moving
        return status


def leading(stage: Any) -> ArmLeader:
    return ArmLeader(stage)


def test_the_tool_gets_there_in_small_steps_and_the_gripper_is_left_alone():
    stage = Stage()
    assert leading(stage).go(TARGET) == ""
    np.testing.assert_allclose(stage.pose.matrix(), TARGET.matrix(), atol=7e-3)
    stamps = [chunk.stamp_ns for chunk in stage.sent]
    assert stamps == sorted(set(stamps)) and [c.chunk_id for c in stage.sent] == list(
        range(1, len(stamps) + 1)
    )
    for chunk in stage.sent:
        assert (np.linalg.norm(chunk.deltas[:, :3], axis=1) <= 0.12 * DT + 1e-9).all()
        assert (np.linalg.norm(chunk.deltas[:, 3:], axis=1) <= 0.6 * DT + 1e-9).all()
        assert (chunk.gripper == AS_IT_IS).all() and chunk.instruction_id == 0


def test_a_pose_out_of_reach_is_given_up_with_the_stage_s_reason():
    stage = Stage(wall=0.44)
    stage.reason = "limited by panda_joint4 position limit"
    why = leading(stage).go(TARGET)
    assert why.startswith("the arm stopped") and why.endswith("panda_joint4 position limit")


def test_an_arm_that_wanders_about_without_getting_nearer_is_stopped_and_given_up():
    stage = Stage()
    follow = stage.next_status

    def wander(after_ns):
        status = follow(after_ns)
        sway = SE3(np.eye(3), np.array([0.0, 0.02 * (-1) ** len(stage.sent), 0.0]))
        stage.pose = sway @ START
        status.reference = pose_message(stage.pose)
        return status

    stage.next_status = wander
    assert leading(stage).go(TARGET).startswith("the arm stopped")
    assert stage.sent[-1].is_zero_motion


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (MotionStatus.DISARMED, "not armed.*motion_node/arm.*by-hand"),
        (MotionStatus.FAULT, "fault.*node/reset"),
    ],
)
def test_an_arm_that_may_not_move_is_said_with_the_way_out(state, words):
    stage = Stage()
    stage.state = state
    with pytest.raises(CalibrationError, match=words):
        leading(stage).wait_until_ready()


def test_an_arm_that_is_held_is_waited_for_but_not_for_ever():
    stage = Stage()
    stage.state, stage.reason = MotionStatus.HOLDING, "waiting for the deadman switch"
    with pytest.raises(CalibrationError, match="may not move for 15 s: waiting for the deadman switch"):
        leading(stage).wait_until_ready()


def test_another_base_frame_is_named():
    with pytest.raises(CalibrationError, match="in 'world', not in 'panda_link0'; give --base-frame world"):
        leading(Stage(base="world")).go(TARGET)


def test_one_at_a_time_moves_the_arm():
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    try:
        node = CalibrationCapture(context=context)
        node.trigger_configure()
        node.require_the_arm()
        node._on_instruction(Instruction(id=4, text="touch the red cube", active=True))
        with pytest.raises(CalibrationError, match="following the instruction 'touch the red cube'; wait"):
            node.require_the_arm()
        node._on_instruction(Instruction(id=4, active=False))
        node._on_chunk(ActionChunk(instruction_id=0))  # its own
        node.require_the_arm()
        node._on_chunk(ActionChunk(instruction_id=4))
        with pytest.raises(CalibrationError, match="sends action chunks, too"):
            node.require_the_arm()
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
