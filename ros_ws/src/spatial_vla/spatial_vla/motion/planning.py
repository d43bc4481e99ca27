"""Slow moves by a motion planner: homing, resets, approaches. Not for streams of chunks.

Two planners stand behind :class:`Planner`: a move_group node (``nodes/move_group.py``), and moveit_py in a process of
its own (``nodes/moveit_process.py``), since it holds Python's interpreter lock while it plans and may crash at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3
from .backend import BackendUnavailable
from .guard import OutputGuard
from .inverse_kinematics import InverseKinematics, Unreachable
from .limits import MotionLimits
from .measurement import START_TOLERANCE
from .robot_model import RobotModel
from .stop_ramp import JointMotion, StopPlanner

Array = NDArray[np.float64]

#: Slower than this is at rest, where a plan ends [rad/s]; what times plans computes that to rounding.
AT_REST = 1e-6
#: Joint steps between way-points that are checked [rad].
STEP = 0.02
#: Planners time plans by the limits of the joints; one that moves the tool too fast is made again, slower, so often.
SLOWER = 4
#: What rounding may add to a limit.
ROUNDING = 1.01


@dataclass(frozen=True, eq=False)
class JointPlan:
    """Way-points: times (t,) [s], positions (t, n) [rad] and velocities (t, n) [rad/s]; the planner's own ``token``."""

    times: Array
    positions: Array
    velocities: Array
    token: int = 0


class Planner(Protocol):
    """Plans and executes; every call may block, so none belongs into a control loop."""

    def plan(self, goal: Array, speed: float, acceleration: float) -> JointPlan | None:
        """Plan from where the arm is to joint positions ``goal`` (n,), with shares of its limits in (0, 1].

        None if there is no way. Raises BackendUnavailable if the planner has gone, or says why there is none.
        """
        ...

    def execute(self, plan: JointPlan) -> bool:
        """Move along the last plan, once; True if the arm arrived, False if it was stopped or did not set out.

        Raises BackendUnavailable if the planner has gone, or says why the arm did not arrive.
        """
        ...

    def stop(self) -> None:
        """Bring the arm to rest; callable from any thread, also while :meth:`execute` runs, and more than once.

        Nothing is remembered of it: what is planned or executed afterwards goes on as if it had not been called.
        """
        ...

    def close(self) -> None:
        """Stop, and let go of what the planner holds."""
        ...


class PlanRefused(ValueError):
    """A plan would break a limit, or does not begin where the arm is."""


class PlanBackend:
    """A planner whose plans are checked against our own limits before the arm moves."""

    def __init__(self, model: RobotModel, limits: MotionLimits, planner: Planner) -> None:
        limits.require_complete()
        self._limits, self._planner = limits, planner
        self._guard, self._ramps, self._model = OutputGuard(limits, model), StopPlanner(limits), model
        self._kinematics = InverseKinematics(model, limits)

    def joints_for(self, pose: SE3, measured: Array) -> Array:
        """Joint positions (n,) [rad] that keep every limit and bring the tool to ``pose`` (base from tool).

        Args:
            measured: where the arm is (n,) [rad]; solutions near it are tried first.

        Raises:
            PlanRefused: there are none.
        """
        try:
            return self._kinematics.solve(pose, measured, self._objection)
        except Unreachable as error:
            raise PlanRefused(str(error)) from error

    def plan_to(self, goal: Array, measured: Array) -> JointPlan:
        """A checked plan from ``measured`` to ``goal``, both (n,) [rad], no faster than the tool may be.

        Raises:
            PlanRefused: the goal or the plan breaks a limit, or the plan begins elsewhere.
            BackendUnavailable: the planner found no way or has gone.
        """
        goal = np.asarray(goal, dtype=np.float64)
        self._check(goal, np.zeros_like(goal), "the goal")
        scaling, share = self._limits.scaling, 1.0
        for _ in range(SLOWER):
            plan = self._planner.plan(goal, share * scaling.velocity, share * scaling.acceleration)
            if plan is None:
                raise BackendUnavailable(f"the planner found no way to {np.round(goal, 3).tolist()}")
            self._check_form(plan)
            if (excess := self._excess(plan)) <= 1.0:
                break
            share /= 1.05 * excess
        self._check_plan(plan, measured)
        return plan

    def execute(self, plan: JointPlan, measured: Array, forbidden: Callable[[], str] = str) -> bool:
        """Move along a plan; True if the arm arrived. Checked again: time has passed since it was made.

        Args:
            plan: from :meth:`plan_to`.
            measured: where the arm is (n,) [rad].
            forbidden: why the arm may not set out after all, asked at the last moment; empty if it may.

        Raises:
            PlanRefused: the arm is no longer where the plan begins, or may not set out.
        """
        self._check_plan(plan, measured)
        if reason := forbidden():
            raise PlanRefused(reason)
        return self._planner.execute(plan)

    def stop(self) -> None:
        """Bring the arm to rest."""
        self._planner.stop()

    def _check_form(self, plan: JointPlan) -> None:
        n = len(self._limits.joints.names)
        shapes = (plan.times.shape, plan.positions.shape, plan.velocities.shape)
        if shapes != ((len(plan.times),), (len(plan.times), n), (len(plan.times), n)) or not len(plan.times):
            raise PlanRefused(f"plan has shapes {shapes}; expected (t,), (t, {n}), (t, {n}) with t > 0")
        if not np.all(np.diff(plan.times) > 0.0):
            raise PlanRefused("times of the plan do not increase")

    def _excess(self, plan: JointPlan) -> float:
        """How many times as fast as it may be the tool is, or a joint near its stop, at the worst way-point."""
        rows, limits = list(zip(plan.positions, plan.velocities, strict=True)), self._limits
        tool = max(limits.cartesian.excess(self._model.jacobian(q) @ dq) for q, dq in rows)
        return max(tool, *(float(np.max(self._shares(q, dq))) for q, dq in rows))

    def _shares(self, q: Array, dq: Array) -> Array:
        """Velocities (n,) as shares of what is allowed at ``q``."""
        lowest, highest = self._limits.velocity_at(q)
        allowed = np.where(dq < 0.0, -lowest, highest)
        return np.abs(dq) / np.maximum(allowed, AT_REST)

    def _check_plan(self, plan: JointPlan, measured: Array) -> None:
        self._check_form(plan)
        off = float(np.max(np.abs(plan.positions[0] - measured)))
        if not off <= START_TOLERANCE:
            raise PlanRefused(
                f"the plan begins {off:.3f} rad from where the arm is; at most {START_TOLERANCE} is accepted. "
                "Plan again"
            )
        if not np.all(np.abs(plan.velocities[-1]) <= AT_REST):
            raise PlanRefused("the plan does not end at rest")
        n = len(self._limits.joints.names)
        for i, (q, dq) in enumerate(zip(plan.positions, plan.velocities, strict=True)):
            self._check(q, dq, f"way-point {i}")
            if i:
                before = plan.positions[i - 1]
                for share in np.linspace(0.0, 1.0, 1 + int(np.ceil(np.max(np.abs(q - before)) / STEP)))[1:-1]:
                    self._check(
                        before + share * (q - before), np.zeros(n), f"between way-points {i - 1} and {i}"
                    )
        self._check_pace(plan)
        if (excess := self._excess(plan)) > ROUNDING:
            raise PlanRefused(f"the plan moves the tool {excess:.2f} times as fast as it may be")

    def _check_pace(self, plan: JointPlan) -> None:
        """Times must leave room for the way: mean velocity and acceleration between way-points, which no
        interpolation can undercut.
        """
        if len(plan.times) < 2:
            return
        spans = np.diff(plan.times)[:, None]
        highest = np.array([np.maximum(*np.abs(self._limits.velocity_at(q))) for q in plan.positions])
        for what, mean, limit in (
            (
                "faster",
                np.diff(plan.positions, axis=0) / spans,
                np.maximum(highest[:-1], highest[1:]),
            ),
            (
                "harder accelerated",
                np.diff(plan.velocities, axis=0) / spans,
                self._limits.joints.acceleration,
            ),
        ):
            over = (np.abs(mean) > ROUNDING * limit).any(axis=1)
            if over.any():
                first = int(np.argmax(over))
                raise PlanRefused(
                    f"between way-points {first} and {first + 1} joints are {what} than they may be"
                )

    def _check(self, q: Array, dq: Array, where: str) -> None:
        if not (np.isfinite(q).all() and np.isfinite(dq).all()):
            raise PlanRefused(f"{where} is not finite")
        if np.any(self._shares(q, dq) > ROUNDING):
            raise PlanRefused(f"{where} is faster than the joints may move")
        if violation := self._objection(q):
            raise PlanRefused(f"{where}: {violation}")

    def _objection(self, q: Array) -> str:
        """The limit that resting at ``q`` (n,) would break; empty when none."""
        still = JointMotion.at_rest(q)
        return self._guard.violation(still, self._ramps.plan(still))
