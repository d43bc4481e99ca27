"""A move_group node, through its actions, as :class:`~spatial_vla.motion.planning.Planner`.

It plans and it executes, each by an action of its own, so that a plan can be checked in between. It is spoken to from a
node and a thread beside the control loop's, which has enough to wait for.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.task import Future
from std_msgs.msg import String

from ..motion import BackendUnavailable
from ..motion.planning import JointPlan
from .move_group_messages import (
    ATTEMPTS,
    PLANNING_TIME,
    move_group_interfaces,
    plan_from_message,
    plan_request,
    words,
)

Array = NDArray[np.float64]

#: move_group may take so long to answer a request, beyond what it was asked to take [s].
PATIENCE = 10.0
#: How often it is looked whether it is still there while it is waited for [s].
LOOK = 0.2


class MoveGroupPlanner:
    """Plans and moves with a move_group. One request at a time; :meth:`stop` from any thread, at any time."""

    def __init__(
        self,
        group: str,
        joints: tuple[str, ...],
        wait: float,
        namespace: str = "/",
        context: Context | None = None,
    ) -> None:
        """Connect to the move_group of a namespace, which may take ``wait`` [s] to start.

        Args:
            group: the planning group. joints: its joints, in the order of our arrays.

        Raises:
            BackendUnavailable: MoveIt's messages are not installed, or no move_group answers.
        """
        self._types = move_group_interfaces()
        self._group, self._joints = group, joints
        self._node = rclpy.create_node(
            "move_group_client", namespace=namespace, context=context, use_global_arguments=False
        )
        self._plans = ActionClient(self._node, self._types.plan, "move_action")
        self._moves = ActionClient(self._node, self._types.execute, "execute_trajectory")
        self._events = self._node.create_publisher(String, "trajectory_execution_event", 1)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="move_group client", daemon=True)
        self._thread.start()
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._handle: Any = None
        self._tokens = itertools.count(1)
        self._trajectories: dict[int, Any] = {}
        self._wait_for_servers(wait)

    def plan(self, goal: Array, speed: float, acceleration: float) -> JointPlan:
        """As :meth:`Planner.plan`; where there is no way, the error says why."""
        request = plan_request(self._types, self._group, self._joints, goal, speed, acceleration)
        result = self._run(self._plans, request, ATTEMPTS * PLANNING_TIME + PATIENCE, "plan")
        if result.error_code.val != self._types.codes.SUCCESS:
            raise BackendUnavailable(f"the planner found no way: {words(result.error_code)}")
        plan = plan_from_message(result.planned_trajectory, self._joints, next(self._tokens))
        self._trajectories = {plan.token: result.planned_trajectory}
        return plan

    def execute(self, plan: JointPlan) -> bool:
        """As :meth:`Planner.execute`."""
        trajectory = self._trajectories.pop(plan.token, None)
        if trajectory is None:
            return False
        request = self._types.execute.Goal(trajectory=trajectory)
        code = self._run(self._moves, request, 2.0 * float(plan.times[-1]) + PATIENCE, "move").error_code
        if code.val not in (self._types.codes.SUCCESS, self._types.codes.PREEMPTED):
            raise BackendUnavailable(f"the arm did not arrive: {words(code)}")
        return code.val == self._types.codes.SUCCESS

    def stop(self) -> None:
        """As :meth:`Planner.stop`."""
        self._stopped.set()
        self._tell_to_stop()

    def close(self) -> None:
        """Stop, and leave the graph."""
        self.stop()
        self._executor.shutdown(timeout_sec=2.0)
        self._thread.join(2.0)
        with suppress(Exception):
            self._node.destroy_node()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def _wait_for_servers(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        for client, name in ((self._plans, "move_action"), (self._moves, "execute_trajectory")):
            if not client.wait_for_server(max(0.0, deadline - time.monotonic())):
                where = self._node.get_namespace().rstrip("/")
                self.close()
                raise BackendUnavailable(
                    f"no move_group answers on {where}/{name} within {wait:g} s; start one (the bring-up does with "
                    "backend:=plan) or raise move_group_wait"
                )

    def _run(self, client: ActionClient, request: Any, patience: float, what: str) -> Any:
        """Send a goal and wait for its result."""
        with self._turn:
            self._stopped.clear()
            try:
                self._handle = handle = self._answer(
                    lambda: client.send_goal_async(request), client, PATIENCE, what
                )
                if not handle.accepted:
                    raise BackendUnavailable(f"move_group refuses to {what}; see its log")
                return self._answer(handle.get_result_async, client, patience, what).result
            finally:
                self._handle = None

    def _answer(self, send: Callable[[], Future], client: ActionClient, patience: float, what: str) -> Any:
        # Sent in the executor's thread: rclpy ignores an answer that comes before the request has been written down.
        sent = self._executor.create_task(send)
        deadline = time.monotonic() + patience
        return self._result(self._result(sent, client, deadline, what), client, deadline, what)

    def _result(self, future: Future, client: ActionClient, deadline: float, what: str) -> Any:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not done.wait(LOOK):
            if self._stopped.is_set():
                self._tell_to_stop()  # again: it may not have set out when it was told
            if not self._thread.is_alive():
                raise BackendUnavailable(f"closed while move_group was asked to {what}")
            if not client.server_is_ready():
                raise BackendUnavailable(f"move_group has gone while it was asked to {what}")
            if time.monotonic() > deadline:
                self.stop()
                raise BackendUnavailable(f"move_group was asked to {what} and does not answer; see its log")
        return future.result()

    def _tell_to_stop(self) -> None:
        """The event stops a motion. Cancelling stops planning, and by itself no robot."""
        handle = self._handle
        with suppress(Exception):  # the goal may be over, and a context that was shut down has no voice
            self._events.publish(String(data="stop"))
            if handle is not None and handle.accepted:
                self._executor.create_task(handle.cancel_goal_async)
