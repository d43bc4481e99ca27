"""What drives the graph from outside: lay out a scene, give an instruction, watch, and hear the verdict."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future
from spatial_vla_interfaces.action import FollowInstruction
from spatial_vla_interfaces.msg import MotionStatus, SimState
from spatial_vla_interfaces.srv import ResetScene
from std_srvs.srv import Trigger

from . import qos
from .background_executor import BackgroundExecutor
from .latency_probe import ChunkTiming, LatencyProbe
from .requests import REPLY_TIMEOUT, NoAnswer, Requests

CANCEL_TIMEOUT = 5.0
"""How long a server may take to answer when nobody waits for the outcome any more [s, real time]."""


@dataclass(frozen=True)
class Progress:
    """Feedback of a running instruction: motion state and its reason, seconds elapsed, chunks, latency of the last."""

    state: str
    reason: str
    elapsed: float
    chunks: int
    chunk_ms: float


class EpisodeClient:
    """A client node that spins in a thread of its own; a context manager. Methods block and are for one thread."""

    def __init__(self, namespace: str = "") -> None:
        self._background = BackgroundExecutor("episode_client")
        # No sim time: what it waits for may be the very thing that should make the time pass.
        self._node = Node("episode_client", namespace=namespace, context=self._background.context)
        self._follow = ActionClient(self._node, FollowInstruction, "follow_instruction")
        self._reset = self._node.create_client(ResetScene, "sim/reset")
        self._motion_reset = self._node.create_client(Trigger, "motion_node/reset")
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._sim_state: SimState | None = None
        self._motion: MotionStatus | None = None
        self._node.create_subscription(SimState, "sim/state", self._on_sim_state, qos.STREAM)
        self._node.create_subscription(MotionStatus, "motion_status", self._on_motion, qos.STREAM)
        self._probe = LatencyProbe(self._node)
        self._requests = Requests(self._background.executor, self._closing)
        self._background.spin(self._node)

    def __enter__(self) -> EpisodeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the graph; a method that waits in another thread raises NoAnswer."""
        if self._closing.is_set():
            return
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._background.close()

    @property
    def timings(self) -> list[ChunkTiming]:
        """Latency of every chunk so far that led to a command."""
        return list(self._probe.timings)

    def missing(self, *, sim: bool) -> list[str]:
        """Return what is not there yet of that which an episode needs."""
        waiting = [] if self._follow.server_is_ready() else ["action follow_instruction (instruction_node)"]
        if self._motion is None:
            waiting.append("topic motion_status (motion_node)")
        elif self._motion.state not in (MotionStatus.IDLE, MotionStatus.RUNNING):
            waiting.append(f"an arm that may move ({self._motion.reason or 'it is not armed'})")
        if sim and not self._reset.service_is_ready():
            waiting.append("service sim/reset (sim_node)")
        if sim and self._sim_state is None:
            waiting.append("topic sim/state (sim_node)")
        return waiting

    def reset(self, seed: int, task: str = "") -> ResetScene.Response:
        """Lay out the scene of ``seed``; ``task`` is touch, point, pick or empty (drawn from the seed).

        A fault that the motion stage has latched in the scene before is cleared.

        Raises:
            NoAnswer: the simulation does not answer or refuses.
        """
        request = ResetScene.Request(seed=seed, task=task)
        response: Any = self._requests.ask(lambda: self._reset.call_async(request), "sim/reset").result()
        if not response.success:
            raise NoAnswer(f"sim/reset refused seed {seed}, task {task!r}: {response.message}")
        if self._motion is not None and self._motion.state == MotionStatus.FAULT:
            self._clear_fault()
        return response

    def _clear_fault(self) -> None:
        """What a person does after looking at the arm; here the scene it got stuck in is gone."""
        self._requests.ask(lambda: self._motion_reset.call_async(Trigger.Request()), "motion_node/reset")
        deadline = time.monotonic() + REPLY_TIMEOUT
        while self._motion is not None and self._motion.state in (MotionStatus.FAULT, MotionStatus.DISARMED):
            if time.monotonic() > deadline:
                raise NoAnswer(f"motion_node stays {self._motion.reason or 'disarmed'} after a reset")
            self.pause(0.02)

    def follow(
        self, instruction: str, timeout: float = 0.0, on_progress: Callable[[Progress], None] | None = None
    ) -> FollowInstruction.Result:
        """Have ``instruction`` obeyed and return how it ended; ``timeout`` [s] 0 means the server's default.

        An interrupt while it runs cancels the instruction before it propagates.

        Raises:
            NoAnswer: there is no action server, it does not answer, or it rejects the instruction.
        """
        if not self._follow.wait_for_server(timeout_sec=REPLY_TIMEOUT):
            raise NoAnswer(
                "no action server follow_instruction; is a bring-up running (spatial-vla bringup)?"
            )

        news = threading.Event()

        def feedback(message: Any) -> None:
            news.set()
            if on_progress is not None:
                f = message.feedback
                on_progress(Progress(f.state, f.reason, f.elapsed, f.chunks, f.chunk_ms))

        goal = FollowInstruction.Goal(instruction=instruction, timeout=timeout)
        sent: list[Future] = []

        def send() -> Future:
            sent.append(self._follow.send_goal_async(goal, feedback))
            return sent[-1]

        try:
            handle: Any = self._requests.ask(send, "follow_instruction").result()
            if not handle.accepted:
                raise NoAnswer(f"{instruction!r} was rejected; the log of instruction_node says why")
            return self._requests.wait(
                handle.get_result_async(), REPLY_TIMEOUT, "follow_instruction", news
            ).result
        except BaseException:
            if sent and not self._closing.is_set():
                self._cancel(sent[-1])
            raise

    def _cancel(self, sent: Future) -> None:
        # Also when the answer to the goal is still on its way: the server may have accepted it.
        with suppress(NoAnswer):
            handle = self._requests.wait(sent, CANCEL_TIMEOUT, "follow_instruction")
            if handle.accepted:
                self._requests.wait(handle.cancel_goal_async(), CANCEL_TIMEOUT, "follow_instruction")

    def verdict(self) -> SimState:
        """Return the next state of the simulated scene, so one that is later than everything before the call.

        Raises:
            NoAnswer: none comes.
        """
        with self._changed:
            self._sim_state = None
            arrived = self._changed.wait_for(lambda: self._sim_state or self._closing.is_set(), REPLY_TIMEOUT)
            if not arrived or self._sim_state is None:
                raise NoAnswer(f"nothing on sim/state for {REPLY_TIMEOUT:g} s")
            return self._sim_state

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            NoAnswer: closed meanwhile.
        """
        if self._closing.wait(seconds):
            raise NoAnswer("closed")

    def _on_sim_state(self, message: SimState) -> None:
        with self._changed:
            self._sim_state = message
            self._changed.notify_all()

    def _on_motion(self, message: MotionStatus) -> None:
        self._motion = message
