"""Poses in which the tool cannot be moved in every direction, and how to keep out of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pink import Configuration
from pink.barriers import Barrier

from .robot_model import RobotModel

Array = NDArray[np.float64]

#: Kept this many times farther from singularities than where :class:`.guard.OutputGuard` stops the arm.
MARGIN = 1.5
#: From this many times the limit on nothing has to be kept.
NEAR = 6.0
#: How much of what is left of the distance may be used up per second [1/s]; less than a stop ramp's time allows.
GAIN = 3.0
DIFFERENCE = 1e-4  # rad


def smallest_singular_value(model: RobotModel, q: Array) -> float:
    """Of the tool's Jacobian at ``q`` (n,): how fast the tool moves, at worst, for joints at 1 rad/s."""
    return float(np.linalg.svd(model.jacobian(q), compute_uv=False)[-1])


class SingularityBarrier(Barrier):
    """Makes the arm slide along the border of a singularity where the guard alone would hold it for good.

    A control barrier function: the smallest singular value may fall the slower the nearer it is to the limit, and has
    to rise below it. What is wanted of the tool is then done as well as that allows.
    """

    def __init__(self, model: RobotModel, limit: float) -> None:
        """``limit``: smallest singular value at which the guard stops the arm."""
        super().__init__(dim=1, gain=GAIN)
        self._model, self._limit = model, limit

    def near(self, q: Array) -> bool:
        """True where the barrier matters."""
        return smallest_singular_value(self._model, q) < NEAR * self._limit

    def compute_barrier(self, configuration: Configuration) -> Array:
        """(1,) Distance from the border; negative beyond it."""
        return np.array([smallest_singular_value(self._model, configuration.q) - MARGIN * self._limit])

    def compute_jacobian(self, configuration: Configuration) -> Array:
        """(1, n) How the smallest singular value changes with the joints, by central differences."""

        def least(q: Array) -> float:
            return smallest_singular_value(self._model, q)

        q, steps = configuration.q, DIFFERENCE * np.eye(len(configuration.q))
        return np.array([[least(q + step) - least(q - step) for step in steps]]) / (2.0 * DIFFERENCE)
