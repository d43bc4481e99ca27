"""The action server as a process; the driver plays decoder and motion."""

from typing import Any

import pytest
from rclpy.action import ActionClient
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import header
from spatial_vla_interfaces.action import FollowInstruction
from spatial_vla_interfaces.msg import ActionChunk, Instruction, MotionStatus, PolicyStatus

SUCCEEDED, CANCELED, ABORTED = 4, 5, 6  # of action_msgs/GoalStatus


class Client:
    """Sends goals and plays what answers to them."""

    def __init__(self, robot):
        self.robot = robot
        self.action = ActionClient(robot.node, FollowInstruction, "follow_instruction")
        robot.until(self.action.server_is_ready, "the action server")
        robot.offer("action_chunk", ActionChunk)
        robot.offer("motion_status", MotionStatus)
        robot.offer("policy_status", PolicyStatus)

    def send(self, text, timeout=20.0, feedback=None):
        goal = FollowInstruction.Goal(instruction=text, timeout=timeout)
        future = self.action.send_goal_async(goal, feedback)
        self.robot.until(future.done, "an answer to the goal")
        handle: Any = future.result()
        assert handle.accepted
        return handle, handle.get_result_async()

    def instruction(self, text, active=True):
        """The instruction published for a sentence."""

        def heard():
            told = self.robot.received["instruction"]
            return told[-1] if told and (told[-1].text, told[-1].active) == (text, active) else None

        return self.robot.until(heard, f"instruction {text!r}, active {active}")

    def play(
        self, result, number=0, step=0.0, target=True, motion=MotionStatus.RUNNING, reason="", at_rest=True
    ):
        """Chunks and motion reports for an instruction until the goal ends; returns status and result."""

        def ended():
            self.robot.tick()
            head = header(self.robot.now_ns, "panda_link0")
            if number:
                chunk = ActionChunk(header=head, instruction_id=number, steps=1, dt=0.2, has_target=target)
                chunk.deltas, chunk.gripper = [step, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0]
                self.robot.publish("action_chunk", chunk)
            status = MotionStatus(header=head, state=motion, reason=reason, at_rest=at_rest)
            self.robot.publish("motion_status", status)
            self.robot.spin(0.03)
            return result.done()

        self.robot.until(ended, "the end of the goal")
        return result.result().status, result.result().result


@pytest.fixture(scope="module")
def client(robot):
    robot.start("instruction_node")
    robot.subscribe(Instruction, "instruction", qos.LATCHED)
    robot.until(lambda: robot.received["instruction"], "the first instruction")
    assert not robot.received["instruction"][0].active, "a fresh node must say that there is nothing to do"
    return Client(robot)


def test_ends_when_the_policy_comes_to_rest(client):
    feedback = []
    _, result = client.send("touch the red cube", feedback=lambda m: feedback.append(m.feedback))
    number = client.instruction("touch the red cube").id
    assert number > 0
    client.robot.until(lambda: feedback, "feedback")
    status, outcome = client.play(result, number)
    assert status == SUCCEEDED
    assert outcome.success
    assert "came to rest" in outcome.message
    assert outcome.chunks > 0
    assert outcome.duration >= 1.0
    assert feedback[-1].state == "RUNNING"
    assert client.instruction("touch the red cube", active=False).id == number


@pytest.mark.parametrize(
    ("text", "reason"), [("", "is empty"), ("juggle the red cube", "juggle"), ("!?", "is empty")]
)
def test_sentence_not_understood_says_what_would_be(client, text, reason):
    told = len(client.robot.received["instruction"])
    _, result = client.send(text)
    client.robot.until(result.done, "the end of the goal")
    assert result.result().status == ABORTED
    outcome = result.result().result
    assert not outcome.success
    assert reason in outcome.message
    assert "touch" in outcome.message
    assert len(client.robot.received["instruction"]) == told, "nothing was published"


def test_unknown_sentence_does_not_disturb_the_one_being_followed(client):
    _, result = client.send("touch the red cube")
    number = client.instruction("touch the red cube").id
    _, other = client.send("sing")
    client.robot.until(other.done, "the end of the other goal")
    assert not result.done()
    assert client.play(result, number)[0] == SUCCEEDED


def test_new_goal_takes_over(client):
    _, first = client.send("touch the red cube")
    one = client.instruction("touch the red cube").id
    _, second = client.send("touch the blue ball")
    two = client.instruction("touch the blue ball").id
    assert two > one
    client.robot.until(first.done, "the end of the first goal")
    assert first.result().status == ABORTED
    assert first.result().result.message == "superseded by 'touch the blue ball'"
    assert client.play(second, two)[0] == SUCCEEDED


def test_cancel(client):
    goal, result = client.send("touch the red cube")
    number = client.instruction("touch the red cube").id
    goal.cancel_goal_async()
    client.robot.until(result.done, "the end of the goal")
    assert result.result().status == CANCELED
    assert result.result().result.message == "cancelled"
    assert client.instruction("touch the red cube", active=False).id == number


def test_timeout_in_the_time_of_the_clock(client):
    _, result = client.send("touch the red cube", timeout=2.0)
    number = client.instruction("touch the red cube").id
    status, outcome = client.play(
        result, number, step=0.01, motion=MotionStatus.HOLDING, reason="decoder_node died"
    )
    assert status == ABORTED
    assert not outcome.success
    assert outcome.message.startswith("timed out after 2.")
    assert outcome.message.endswith("motion is HOLDING: decoder_node died")


def test_motion_fault_ends_it(client):
    _, result = client.send("touch the red cube")
    client.instruction("touch the red cube")
    status, outcome = client.play(result, motion=MotionStatus.FAULT, reason="tracking error")
    assert status == ABORTED
    assert outcome.message == "motion fault: tracking error"


def test_policy_fault_ends_it(client):
    _, result = client.send("touch the red cube")
    number = client.instruction("touch the red cube").id
    fault = PolicyStatus(state=PolicyStatus.FAULT, instruction_id=number, reason="no such word")
    client.robot.publish("policy_status", fault)
    status, outcome = client.play(result)
    assert status == ABORTED
    assert outcome.message == "policy fault: no such word"


def test_chunks_for_another_instruction_do_not_count(client):
    _, result = client.send("touch the red cube", timeout=2.0)
    number = client.instruction("touch the red cube").id
    _, outcome = client.play(result, number - 1)
    assert outcome.chunks == 0
    assert "no action chunk ever came" in outcome.message
