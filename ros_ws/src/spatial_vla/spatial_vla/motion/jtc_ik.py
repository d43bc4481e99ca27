"""One trajectory per chunk, for slow policies and for drivers that offer a trajectory controller and nothing else.

The inverse kinematics, the limits and the guard are the embedded back-end's: it is run ahead of time along the whole
reference, and what it would have commanded tick by tick becomes the way-points of one trajectory that ends at rest.
That is more work than fits into a period. So it is spread over several, while the arm goes on as it was told before;
the new trajectory begins where the old one has the arm by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from math import ceil

import numpy as np
from numpy.typing import NDArray

from .backend import Capabilities, StreamResult
from .command import APART, GuardedMotion, TrajectoryPoint
from .embedded import EmbeddedBackend
from .history import Setpoint
from .horizon import Ahead, Horizon
from .limits import MotionLimits
from .measurement import JointReading
from .robot_model import RobotModel
from .stop_ramp import StopPlanner

Array = NDArray[np.float64]

#: Periods of the future that are worked out in one call: less than half a period's worth of work.
PER_CALL = 8
#: Those that will have passed by then are only looked at, which is that much cheaper.
PASSED_PER_CALL = 32


@dataclass
class Plan:
    """A trajectory in the making: ``begins`` seconds after the one under way did, ``passed`` set-points from now."""

    begins: float
    passed: int
    ahead: Ahead
    motions: list[GuardedMotion]
    reason: str = ""


class JtcIkBackend:
    """Whole chunks to a joint_trajectory_controller; see :class:`~spatial_vla.motion.backend.MotionBackend`."""

    def __init__(self, model: RobotModel, limits: MotionLimits, period: float, horizon: Horizon) -> None:
        self._model, self._limits, self._period, self._horizon = model, limits, period, horizon
        self._worker, self._planner = EmbeddedBackend(model, limits, period), StopPlanner(limits)
        self._motions: list[GuardedMotion] = []  # the trajectory under way, seen from each of its ticks
        self._since = 0.0  # its beginning [s]
        self._plan: Plan | None = None
        self._planned_for: int | None = None
        self._stopping, self._reason, self._braked = True, "", False

    @property
    def capabilities(self) -> Capabilities:
        """As the embedded back-end."""
        inner = self._worker.capabilities
        return Capabilities("jtc_ik", inner.joint_output, inner.collision_checking)

    def anchor(self, q: Array) -> None:
        """Start at rest from ``q`` (n,) [rad]. Raises ValueError if it is outside the limits."""
        self._worker.anchor(q)
        self._braked = False
        self._take(self._worker.motion, stopping=True)

    def stream(self, reference: Setpoint, elapsed: float) -> StreamResult:
        """Work on the next trajectory, if the chunk is another, and give it out once when it is due."""
        if not reference.finite:
            return self._stopped(elapsed, "reference is not finite")
        self._pass(elapsed)
        if self._plan is None and self._planned_for != self._horizon.chunks_followed:
            self._begin()
        return self._result(fresh=self._work(), reason=self._reason)

    def stop(self, elapsed: float) -> StreamResult:
        """A short trajectory that ends at rest, once, to replace the one under way."""
        return self._stopped(elapsed, "")

    def let_go(self, q: Array, elapsed: float) -> StreamResult:
        """Go slowly to ``q`` (n,) [rad], in one short trajectory per call."""
        self._pass(elapsed)
        self._worker.resume(self._seen(self._since))
        result = self._worker.let_go(q, 0.0)
        self._take(self._worker.motion, stopping=result.at_rest)
        return result

    def brake(self, found: JointReading | None) -> tuple[TrajectoryPoint, ...]:
        """The stop ramp from there, once: what is under way would last as long as the chunk."""
        if found is None or self._braked or not found.believable(self._limits):
            return ()
        self._braked = True
        return GuardedMotion.to_rest(found.q, found.dq, self._planner).points(self._period)

    def _pass(self, elapsed: float) -> None:
        if not self._motions:
            raise RuntimeError("the back-end has no joint positions to start from; anchor it first")
        self._since += elapsed

    def _take(self, *motions: GuardedMotion, since: float = 0.0, stopping: bool = False) -> None:
        """These are under way from now on."""
        self._motions, self._since, self._stopping = list(motions), since, stopping
        self._plan, self._reason = None, ""
        if stopping:
            self._planned_for = None  # should it go on with the same chunk, that is planned anew

    def _begin(self) -> None:
        """Plan along the reference, but for what will have passed when the plan is ready."""
        ahead = self._horizon.ahead()
        lead = ceil(ahead.left / PER_CALL) + 1
        begins = self._since + lead * self._period
        self._planned_for = self._horizon.chunks_followed
        # The first set-point to follow is wanted one period after the beginning; this tick's is not among those ahead.
        self._plan = Plan(begins, lead - 1, ahead, [self._seen(begins)])

    def _work(self) -> bool:
        """Continue the plan; True when it has become the trajectory under way."""
        plan = self._plan
        if plan is None:
            return False
        if plan.passed:
            plan.passed -= sum(1 for _ in islice(plan.ahead, min(plan.passed, PASSED_PER_CALL)))
            return False
        self._worker.resume(plan.motions[-1])
        for reference in islice(plan.ahead, PER_CALL):
            # motions[0] is what the plan starts from; the first of its own begins at the same moment.
            first = len(plan.motions) == 1
            result = self._worker.stream(reference, 0.0 if first else self._period)
            plan.motions.append(self._worker.motion)
            plan.reason = plan.reason or result.limited_by
        late = self._since - plan.begins
        if plan.ahead.left or late < -0.5 * self._period:
            return False
        if late > 0.5 * self._period:  # the arm has left the state that the plan starts from
            self._plan, self._planned_for = None, None
            return False
        self._worker.stop(self._period)
        self._take(*plan.motions[1:], self._worker.motion, since=late)
        self._reason = plan.reason
        if not plan.ahead.whole:
            self._planned_for = None  # long before this ends at rest, what follows is planned
        return True

    def _stopped(self, elapsed: float, reason: str) -> StreamResult:
        self._pass(elapsed)
        moving = not self._stopping
        if moving:
            self._take(self._seen(self._since), stopping=True)
        self._plan, self._planned_for = None, None
        return self._result(fresh=moving, reason=reason)

    def _seen(self, time: float) -> GuardedMotion:
        """What is commanded ``time`` seconds after the trajectory began, with the way to rest from there."""
        tick = min(int(time / self._period + 1e-6), len(self._motions) - 1)
        return self._motions[tick].advanced(max(time - tick * self._period, 0.0))

    def _result(self, fresh: bool, reason: str) -> StreamResult:
        coming = self._seen(self._since + self._period).at(0.0)
        reached = Setpoint(*self._model.motion(coming.q, coming.dq))
        last = len(self._motions) - 1
        at_rest = self._since >= last * self._period and self._seen(self._since).at_rest
        points = self._points() if fresh else (TrajectoryPoint(self._period, coming.q, coming.dq),)
        return StreamResult(points, reached, at_rest, reason, fresh, lasts=not (at_rest or self._stopping))

    def _points(self) -> tuple[TrajectoryPoint, ...]:
        """The trajectory under way, from now on."""
        *way, end = self._motions
        start = len(way) * self._period - self._since
        times = [time - self._since for time in self._knots() if time - self._since > APART]
        states = [(time, self._seen(self._since + time).at(0.0)) for time in times]
        points = [TrajectoryPoint(time, state.q, state.dq) for time, state in states]
        rest = [
            TrajectoryPoint(start + p.time_from_start, p.positions, p.velocities)
            for p in end.points(self._period)
        ]
        return (*points, *rest)

    def _knots(self) -> list[float]:
        """Every tick, and every change of jerk, which stands for a tick that it is near to: a cubic across one, as
        where the guard has the arm stop on the way, would exceed the limits.
        """
        way = self._motions[:-1]
        changes = [
            k * self._period + t
            for k, motion in enumerate(way)
            for t in motion.changes
            if 0.0 <= t < self._period
        ]
        ticks = [k * self._period for k in range(len(way) + 1)]
        ticks = [tick for tick in ticks if all(abs(tick - change) > APART for change in changes)]
        return sorted({*changes, *ticks})
