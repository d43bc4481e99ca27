"""Joint positions that bring the tool to a pose: bounded least squares from many starts, the nearest first.

For planned moves, which have the time; streams of chunks are followed by differential inverse kinematics instead
(``embedded.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ..geometry import SE3
from .limits import MotionLimits
from .robot_model import RobotModel

Array = NDArray[np.float64]

#: A radian weighs as much as this many metres.
ROTATION_WEIGHT = 0.3
#: What counts as reached [m, rad].
NEAR, ALIGNED = 1e-4, 1e-3
#: Starts around where the arm is, each farther from it than the one before [rad], and then anywhere.
NEARBY, ANYWHERE = np.linspace(0.0, 1.0, 12), 36


class Unreachable(ValueError):
    """No joint positions were found that bring the tool there and keep the limits."""


class InverseKinematics:
    """For the tool centre point of one arm. Not thread-safe: it uses the model's work space."""

    def __init__(self, model: RobotModel, limits: MotionLimits) -> None:
        self._model, self._lower, self._upper = model, limits.lower, limits.upper

    def solve(self, pose: SE3, start: Array, objection: Callable[[Array], str]) -> Array:
        """Joint positions (n,) [rad] inside their limits at which the tool is at ``pose`` (base from tool).

        Args:
            start: where the arm is (n,) [rad]; solutions near it are tried first.
            objection: says what is wrong with joint positions (n,), empty if nothing is.

        Raises:
            Unreachable: with the nearest miss, or with what was wrong with the solutions found.
        """
        nearest, objections = (np.inf, np.inf), []
        for seed in self._seeds(start):
            q = least_squares(
                lambda q: self._error(q, pose),
                seed,
                jac=lambda q: self._slope(q, pose),  # pyright: ignore[reportArgumentType]
                bounds=(self._lower, self._upper),
                max_nfev=60,
            ).x
            error = self._error(q, pose)
            miss = float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:])) / ROTATION_WEIGHT
            nearest = min(nearest, miss, key=lambda m: m[0] + ROTATION_WEIGHT * m[1])
            if miss[0] > NEAR or miss[1] > ALIGNED:
                continue
            if not (reason := objection(q)):
                return q
            objections.append(reason)
        where = np.round(pose.translation, 3).tolist()
        if objections:
            raise Unreachable(
                f"each of {len(objections)} ways to bring the tool to {where} breaks a limit, the first: "
                f"{objections[0]}"
            )
        raise Unreachable(
            f"the arm does not reach {where} in that orientation; of {len(NEARBY) + ANYWHERE} tries the nearest ends "
            f"{1e3 * nearest[0]:.0f} mm and {np.degrees(nearest[1]):.1f} degrees off"
        )

    def _seeds(self, start: Array) -> Iterator[Array]:
        rng = np.random.default_rng(0)  # the same goal, the same way
        inside = 1e-6 * (
            self._upper - self._lower
        )  # the solver wants to start between its bounds, not on one
        for spread in NEARBY:
            near = start + spread * rng.uniform(-1.0, 1.0, len(start))
            yield np.clip(near, self._lower + inside, self._upper - inside)
        for _ in range(ANYWHERE):
            yield rng.uniform(self._lower + inside, self._upper - inside)

    def _error(self, q: Array, pose: SE3) -> Array:
        """(6,): how far the tool is from ``pose`` [m], and how much it is turned [rad, weighted], base axes."""
        tool = self._model.forward(q)
        turn = pin.log3(tool.rotation @ pose.rotation.T)
        return np.concatenate((tool.translation - pose.translation, ROTATION_WEIGHT * turn))

    def _slope(self, q: Array, pose: SE3) -> Array:
        """(6, n): derivative of :meth:`_error`."""
        turned = self._model.forward(q).rotation @ pose.rotation.T
        slope = self._model.jacobian(q)
        # Turning in base axes comes from the left, and Jlog3 is for turning from the right.
        slope[3:] = ROTATION_WEIGHT * pin.Jlog3(turned.T) @ slope[3:]
        return slope
