"""Planned moves: ``~/go_home`` and ``~/move_to``, while the arm is disarmed, so that two never command it."""

from __future__ import annotations

import threading
import time
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from spatial_vla_interfaces.srv import MoveTo
from std_srvs.srv import Trigger

from ..motion import BackendUnavailable, MotionController, MotionState, Verdict
from ..motion.planning import PlanBackend, PlanRefused
from ..tf import TransformSource
from .move_goals import Goal, MoveGoals
from .spatial_node import SpatialNode

Array = NDArray[np.float64]
Response = TypeVar("Response", Trigger.Response, MoveTo.Response)
#: How often it is looked whether the move may go on, and whether it is over [s].
LOOK = 0.02
#: How long a node that ends waits for the end of a move [s].
LAST_WORD = 1.0


class PlannedMoves:
    """Plans and moves in a thread of its own; whatever forbids motion stops the move."""

    def __init__(
        self, node: SpatialNode, controller: MotionController, backend: PlanBackend, home: tuple[float, ...]
    ) -> None:
        """``home``: joint positions [rad] that ``~/go_home`` leads to. Raises ValueError for another number of them."""
        joints = controller.limits.joints.names
        if len(home) != len(joints):
            raise ValueError(
                f"parameter 'home' has {len(home)} positions; {len(joints)} joints need one each"
            )
        self._node, self._controller, self._backend = node, controller, backend
        self._home = np.array(home, dtype=np.float64)
        self._thread: threading.Thread | None = None
        self._outcome = Verdict(False)
        self._forbidden = ""
        self._told: Future | None = None
        transforms = TransformSource(node)
        node.own(transforms.close)
        self._goals = MoveGoals(joints, node.value("base_frame"), transforms.buffer, backend)
        # Who asks during a move is told of it at once, though the callback that began it still waits for its end.
        during = ReentrantCallbackGroup()
        for kind, name, answer in (
            (Trigger, "~/go_home", self._on_go_home),
            (MoveTo, "~/move_to", self._on_move_to),
        ):
            waits: Any = answer  # rclpy awaits coroutines; its annotation does not say so
            service = node.create_service(kind, name, waits, callback_group=during)
            node.own(lambda service=service: node.destroy_service(service))
        node.own(self.stop)
        timer = node.create_timer(
            LOOK, self._look
        )  # also while the node is not active: a move may be under way
        node.own(lambda: node.destroy_timer(timer))

    @property
    def under_way(self) -> bool:
        """True from the request to the end of the move."""
        return self._thread is not None

    def stop(self) -> None:
        """Bring the arm to rest; a move that is still being planned does not set out. Waits a while for its end."""
        thread, until = self._thread, time.monotonic() + LAST_WORD
        while thread is not None and thread.is_alive() and time.monotonic() < until:
            self._forbidden = self._forbidden or "node is not active"
            self._backend.stop()  # again and again: it may have been between plan and motion
            thread.join(LOOK)

    def _obstacle(self) -> str:
        """Why no planned move may go on; empty when it may."""
        reading, now_ns = self._controller.latest_reading, self._node.now_ns()
        oldest = self._controller.settings.joint_state_timeout
        if reading is None or abs(now_ns - reading.stamp_ns) * 1e-9 > oldest:
            return "joint states are stale"
        return self._controller.obstacle

    def _begin(self, goal: Goal) -> Verdict:
        if self.under_way:
            return Verdict(False, "a planned move is under way")
        status = self._controller.status()
        if not self._node.active:
            return Verdict(False, "node is not active")
        if obstacle := self._obstacle():
            return Verdict(False, obstacle)
        if status.state is not MotionState.DISARMED or not status.at_rest:
            return Verdict(
                False, "the arm is armed or moves; disarm it first: motion_node commands it meanwhile"
            )
        self._forbidden = ""
        self._controller.begin()  # it has nothing left to do, such as letting go
        self._thread = threading.Thread(target=self._move, args=(goal,), name="planned move", daemon=True)
        self._thread.start()
        return Verdict(True)

    def _move(self, goal: Goal) -> None:
        """Plan, check, move: in the thread."""
        try:
            measured = self._measured()
            plan = self._backend.plan_to(goal(measured), measured)
            if self._forbidden:
                self._outcome = Verdict(False, self._forbidden)
                return
            arrived = self._backend.execute(plan, self._measured(), lambda: self._forbidden)
            self._outcome = Verdict(arrived, "" if arrived else self._forbidden or "MoveIt did not arrive")
        except (PlanRefused, BackendUnavailable) as error:
            self._outcome = Verdict(False, self._forbidden or str(error))
        except Exception as error:  # it must be heard of, whatever it is: nobody waits for this thread
            self._outcome = Verdict(False, f"internal error: {type(error).__name__}: {error}")

    def _measured(self) -> Array:
        reading = self._controller.latest_reading
        assert reading is not None  # _begin has seen one
        return reading.q

    def _look(self) -> None:
        """Stop a move that may not go on; answer for one that is over."""
        if self._thread is None:
            return
        if (obstacle := self._obstacle()) and not self._forbidden:
            self._forbidden = obstacle
            self._node.refuse("planned_moves_stopped", f"planned move stopped: {obstacle}")
        if self._forbidden:
            self._backend.stop()  # again and again: it may have been between plan and motion
        if self._thread.is_alive():
            return
        self._thread = None
        if not self._outcome:
            self._node.refuse("planned_moves_failed", f"planned move failed: {self._outcome.reason}")
        if self._told is not None:
            self._told.set_result(self._outcome)

    async def _on_go_home(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return await self._answer(lambda _: self._home, response)

    async def _on_move_to(self, request: MoveTo.Request, response: MoveTo.Response) -> MoveTo.Response:
        try:
            goal = self._goals.read(request)
        except PlanRefused as error:
            response.success, response.message = False, str(error)
            return response
        return await self._answer(goal, response)

    async def _answer(self, goal: Goal, response: Response) -> Response:
        """Tell how the move went, when it is over."""
        outcome = self._begin(goal)
        if outcome:
            self._told = Future(executor=self._node.executor)
            outcome = cast(Verdict, await self._told)
        response.success, response.message = bool(outcome), outcome.reason
        return response
