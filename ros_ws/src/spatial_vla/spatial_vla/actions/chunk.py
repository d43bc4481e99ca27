"""An action chunk: a few future steps of end-effector motion, tied to the moment they were decided for.

Semantics, defined here and nowhere else. Step i spans [stamp + i dt, stamp + (i + 1) dt]. Its delta moves the tool
centre point by ``deltas[i, :3]`` metres along the axes of ``frame`` and turns it by the rotation vector
``deltas[i, 3:]`` radians about the axes of ``frame``: p <- p + d, R <- exp(w) R. ``gripper[i]`` is the opening wanted
at the end of the step, 1 open and 0 closed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, eq=False)
class ActionChunk:
    """Steps of end-effector motion. Shapes: T steps; stamps are int nanoseconds, ``dt`` seconds.

    Attributes:
        stamp_ns: time of the observation that the chunk answers.
        dt: duration of a step [s].
        frame: frame whose axes the deltas are expressed in (the robot's base).
        deltas: (T, 6) float64, translation [m] and rotation vector [rad] per step.
        gripper: (T,) float64 in [0, 1].
        token_ids: (T, 3) translation, rotation and gripper token, or None when not decoded from tokens.
        log_probabilities: (T, 3) of those tokens, or None.
        target: (3,) the point in ``frame`` [m] that the policy attends to, or None.
    """

    stamp_ns: int
    dt: float
    frame: str
    deltas: NDArray[np.float64]
    gripper: NDArray[np.float64]
    chunk_id: int = 0
    instruction_id: int = 0
    token_ids: NDArray[np.int64] | None = None
    log_probabilities: NDArray[np.float32] | None = None
    target: NDArray[np.float64] | None = None

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return len(self.deltas)

    @property
    def horizon_ns(self) -> int:
        """Time at which the last step ends."""
        return self.stamp_ns + round(self.steps * self.dt * NANOSECONDS)

    @property
    def is_zero_motion(self) -> bool:
        """True if no step moves the arm."""
        return not np.any(self.deltas)
