"""Letting go: after a stop the arm is commanded to be where it is, not where it was on its way to.

A position controller presses with all that separates the command from the arm. An arm that was stopped by what it ran
into would go on pressing for as long as the stop lasts. So once both are at rest the command goes, slowly and inside
every limit, to where the arm was found. It does so once per stop: an arm that sags below its command would otherwise
be followed down. Another stop, or joint states that cease, end it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .backend import StreamResult
from .measurement import JointReading

Array = NDArray[np.float64]

#: A joint that is off its command by less than this [rad] is not pressed against anything; gravity alone does that.
PRESSING = 0.02
#: What is pressed against something is not farther off its command than this [rad]; more is a measurement to doubt.
FARTHEST = 0.35
#: When motion is forbidden, an arm that has not come to rest this long after its command has [s] is left alone.
PATIENCE = 0.5
#: Letting go ends after this long [s], wherever the command is by then.
LONGEST = 3.0


class Release:
    """Decides whether there is anything to let go of, and where to."""

    def __init__(self) -> None:
        self._target: Array | None = None
        self._over = False
        self._waited = self._going = 0.0
        self._stops = 0

    def begin_anew(self) -> None:
        """The arm follows, or was stopped anew: the next rest is looked at."""
        self._target, self._over, self._waited, self._going = None, False, 0.0, 0.0

    def end(self) -> None:
        """The command has come to where it was going, or cannot go on."""
        self._target, self._over = None, True

    def target(
        self, result: StreamResult, reading: JointReading | None, passed: float, forbidden: bool, stops: int
    ) -> Array | None:
        """Joint positions (n,) [rad] to bring the command to; None when there is nothing to do, or not yet.

        Args:
            result: what was commanded last.
            reading: a fresh measurement, None if there is none.
            passed: seconds since the last call.
            forbidden: motion is forbidden for good (disarmed or faulted), not for a while.
            stops: grows when the arm is stopped anew.
        """
        if self._target is not None:
            self._going += passed
            if self._going > LONGEST or self._interrupted(reading, stops):
                self.end()
        elif not self._over and result.at_rest and result.points:
            self._waited += passed if forbidden else 0.0
            if self._waited > PATIENCE:
                self.end()
            elif reading is not None and reading.at_rest:
                off = float(np.max(np.abs(reading.q - result.points[-1].positions)))
                self._target = reading.q.copy() if PRESSING < off < FARTHEST else None
                self._over, self._stops = self._target is None, stops
        return self._target

    def _interrupted(self, reading: JointReading | None, stops: int) -> bool:
        """Joint states have ceased, or something has stopped the arm anew."""
        return reading is None or stops != self._stops
