"""Action server for instructions: one at a time, a new one takes over, and each ends for a stated reason."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar, cast

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.task import Future
from spatial_vla_interfaces.action import FollowInstruction
from spatial_vla_interfaces.msg import ActionChunk, Instruction, MotionStatus, PolicyStatus

from ..policy import UnknownInstruction, read_manifest
from ..policy.following import Ending, Following
from . import qos
from .conversions import header, stamp_ns
from .parameters import NodeParameter
from .policy_parameters import BUNDLE, bundle_folder
from .run import main_of
from .spatial_node import SpatialNode

FEEDBACK_PERIOD, CHECK_PERIOD = 0.2, 0.05  # [s]
STATES = ("DISARMED", "IDLE", "RUNNING", "HOLDING", "FAULT")  # of MotionStatus, by value
CANCELLED = "cancelled"


@dataclass
class Episode:
    """The goal being followed, and the future that its coroutine waits for."""

    goal: ServerGoalHandle
    instruction: Instruction
    following: Following
    ending: Future = field(default_factory=Future)
    chunk_ms: float = 0.0


class InstructionNode(SpatialNode):
    """The action server ``follow_instruction``; publishes the sentence to obey on ``instruction``.

    A sentence that the policy does not understand is aborted at once with a result that says what it does understand; a
    rejected goal could not carry that text. Goals are rejected only while the node is not active.
    """

    default_name = "instruction_node"
    parameters: ClassVar = (
        BUNDLE,
        NodeParameter(
            "default_timeout",
            30.0,
            "Give up after this long, if the goal does not say [s].",
            0.1,
            3600.0,
            False,
        ),
        NodeParameter(
            "settle_time",
            1.0,
            "Done when the policy has wanted no motion for this long, at rest [s].",
            0.1,
            60.0,
            False,
        ),
    )

    def setup(self) -> None:
        """Read the vocabulary, offer the action."""
        self._vocabulary = read_manifest(bundle_folder(self.value("bundle"))).vocabulary()
        self._episode: Episode | None = None
        self._motion: MotionStatus | None = None
        self._last_id = 0
        self._instructions = self.publish_on(Instruction, "instruction", qos.LATCHED)
        self.listen(ActionChunk, "action_chunk", self._on_chunk, qos.STREAM)
        self.listen(MotionStatus, "motion_status", self._on_motion, qos.STREAM)
        self.listen(PolicyStatus, "policy_status", self._on_policy, qos.STREAM)
        self.every(CHECK_PERIOD, self._check)
        self.every(FEEDBACK_PERIOD, self._feed_back)
        server = ActionServer(
            self,
            FollowInstruction,
            "follow_instruction",
            self._follow,
            goal_callback=lambda _: GoalResponse.ACCEPT if self.active else GoalResponse.REJECT,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )
        self.own(server.destroy)

    def start(self) -> None:
        """Tell nodes that outlived an earlier instruction node that there is nothing to do."""
        self._instructions.publish(Instruction(header=header(self.now_ns(), "")))

    def stop(self) -> None:
        """End what is going on."""
        self._end(Ending(False, "the instruction node was deactivated"))

    async def _follow(self, goal: ServerGoalHandle) -> FollowInstruction.Result:
        try:
            self._vocabulary.encode(goal.request.instruction)
        except UnknownInstruction as error:
            goal.abort()
            return FollowInstruction.Result(success=False, message=str(error))
        self._end(Ending(False, f"superseded by {goal.request.instruction!r}"))
        episode = self._episode = self._begin(goal)
        ending = cast(Ending, await episode.ending)
        if ending.success:
            goal.succeed()
        elif ending.message == CANCELLED:
            goal.canceled()
        else:
            goal.abort()
        return FollowInstruction.Result(
            success=ending.success,
            message=ending.message,
            duration=self._elapsed(episode),
            chunks=episode.following.chunks,
        )

    def _begin(self, goal: ServerGoalHandle) -> Episode:
        # From the wall clock, so that ids also increase from one life of this node to the next.
        self._last_id = max(self._last_id + 1, time.time_ns() // 1_000_000)
        now_ns = self.now_ns()
        text, timeout = goal.request.instruction, goal.request.timeout or self.value("default_timeout")
        instruction = Instruction(header=header(now_ns, ""), id=self._last_id, text=text, active=True)
        self._instructions.publish(instruction)
        self.get_logger().info(f"following {text!r} for at most {timeout:.1f} s")
        following = Following(now_ns, round(timeout * 1e9), round(self.value("settle_time") * 1e9))
        return Episode(goal, instruction, following)

    def _end(self, ending: Ending) -> None:
        if self._episode is None:
            return
        episode, self._episode = self._episode, None
        instruction = episode.instruction
        self._instructions.publish(
            Instruction(header=header(self.now_ns(), ""), id=instruction.id, text=instruction.text)
        )
        self.get_logger().info(f"{instruction.text!r}: {ending.message}")
        self.counters["succeeded" if ending.success else "not_succeeded"] += 1
        episode.ending.set_result(ending)

    def _check(self) -> None:
        if self._episode is None:
            return
        if self._episode.goal.is_cancel_requested:
            self._end(Ending(False, CANCELLED))
        elif ending := self._episode.following.ending(self.now_ns()):
            self._end(ending)

    def _feed_back(self) -> None:
        if self._episode is None:
            return
        episode, motion = self._episode, self._motion
        feedback = FollowInstruction.Feedback(
            state=STATES[motion.state] if motion else "UNKNOWN",
            reason=motion.reason if motion else "nothing comes on motion_status",
            elapsed=self._elapsed(episode),
            chunks=episode.following.chunks,
            chunk_ms=episode.chunk_ms,
        )
        episode.goal.publish_feedback(feedback)

    def _elapsed(self, episode: Episode) -> float:
        return (self.now_ns() - episode.following.started_ns) * 1e-9

    def _on_chunk(self, message: ActionChunk) -> None:
        episode = self._episode
        if episode is not None and message.instruction_id == episode.instruction.id:
            now_ns = self.now_ns()
            episode.chunk_ms = (now_ns - stamp_ns(message.header.stamp)) * 1e-6
            episode.following.on_chunk(now_ns, not any(message.deltas), message.has_target)

    def _on_motion(self, message: MotionStatus) -> None:
        self._motion = message
        if self._episode is not None:
            fault = f"motion fault: {message.reason}" if message.state == MotionStatus.FAULT else ""
            held = message.state in (MotionStatus.DISARMED, MotionStatus.HOLDING)
            obstacle = f"motion is {STATES[message.state]}: {message.reason}" if held else ""
            self._episode.following.on_motion(self.now_ns(), message.at_rest, fault, obstacle)

    def _on_policy(self, message: PolicyStatus) -> None:
        episode = self._episode
        if episode is not None and message.instruction_id == episode.instruction.id:
            faulty = message.state == PolicyStatus.FAULT
            episode.following.on_policy(f"policy fault: {message.reason}" if faulty else "")


def main() -> None:
    """Entry point."""
    main_of(InstructionNode)
