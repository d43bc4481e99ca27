"""A dry run: from arming on, an imagined arm answers in place of the real one, which is not commanded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .command import JointCommand

Array = NDArray[np.float64]
#: Positions, velocities (n,) [rad, rad/s] and stamp [ns].
Reading = tuple[Array, Array, int]


class Rehearsal:
    """Does exactly what is commanded. Until there is a command it is where the real arm is."""

    def __init__(self) -> None:
        self._state: tuple[Array, Array] | None = None

    def follow(self, command: JointCommand | None) -> None:
        """What the controller sent in this tick; None ends the rehearsal, so that arming finds the real arm."""
        if command is None:
            self._state = None
        elif command.points:
            self._state = command.points[0].positions, command.points[0].velocities

    def instead_of(self, reading: Reading) -> Reading:
        """The imagined arm's joint state at the time of a real one."""
        return reading if self._state is None else (*self._state, reading[2])
