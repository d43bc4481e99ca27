"""Stops an arm that still moves although the motion stage has fallen silent.

Most commands end at rest within a fraction of a second, whoever sent them. A chunk's whole trajectory does not: if what
watches over it dies, hangs or is starved of processor time, somebody else has to stop it.

Time is that of the joint states' stamps, the arm's own: no clock that could stand still or be set is asked. What lies
in a gap between two of them hardly counts: then the watchdog has heard nothing at all, or time jumped.
"""

from __future__ import annotations

import numpy as np

from .command import GuardedMotion, TrajectoryPoint
from .limits import MotionLimits
from .measurement import JointReading
from .stop_ramp import StopPlanner

#: The motion stage says how it is every 50 ms; without a word for this long [s] it is silent.
SILENCE = 0.3
#: Silent for this long [s], the arm should have come to rest by itself.
GRACE = 0.25
#: No more than this [s] is counted from one joint state to the next.
LISTENED = 0.1
#: One that does not obey is told again after this long [s], until so long after the last word.
AGAIN, ATTENTION = 0.5, 5.0
#: Faster than this [rad/s] it moves.
MOVING = 0.05


class Watchdog:
    """Hears the motion stage's status and the arm's joint states; :meth:`on_joint_state` says what to send."""

    def __init__(self, limits: MotionLimits, period: float = 0.01) -> None:
        """Raises :class:`~.limits.IncompleteLimits`: without acceleration and jerk there is no stop ramp."""
        limits.require_complete()
        self._limits, self._planner, self._period = limits, StopPlanner(limits), period
        self._moves = self._heard = False
        self._last_ns, self._silent = (
            0,
            0.0,
        )  # the last joint state, and for how long there was no word by then
        self._told: float | None = None  # after how much silence the arm was told to stop

    def on_status(self, at_rest: bool) -> None:
        """The motion stage lives, and says whether the arm is at rest."""
        self._moves, self._heard, self._told = not at_rest, True, None

    def on_joint_state(self, reading: JointReading) -> tuple[TrajectoryPoint, ...]:
        """The arm's stop ramp if it has to be stopped now, else nothing."""
        passed = (reading.stamp_ns - self._last_ns) * 1e-9
        self._last_ns = reading.stamp_ns
        self._silent = 0.0 if self._heard else self._silent + min(max(passed, 0.0), LISTENED)
        self._heard = False
        if not self._moves or not np.any(np.abs(reading.dq) > MOVING) or not reading.believable(self._limits):
            return ()
        told = self._told is not None and self._silent - self._told < AGAIN
        if told or not GRACE <= self._silent - SILENCE <= ATTENTION:
            return ()
        self._told = self._silent
        return GuardedMotion.to_rest(reading.q, reading.dq, self._planner).points(self._period)
