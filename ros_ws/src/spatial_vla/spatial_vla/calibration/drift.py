"""Is the calibration still true? A board whose place is known is looked at again and again.

What is compared is where the camera, by its calibration, has the board now, and where the board is known to be. Either
the camera was moved, or the board, or a frame between them: that cannot be told apart, but each needs a person to look.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from ..geometry import SE3, matrix_to_rotvec
from .board import Board
from .camera import BoardPose
from .errors import CalibrationError

#: A corner is never known better than this [px], however well the others fit.
LEAST_NOISE = 0.1
#: A view counts if its own standard error is below this share of the tolerance.
SHARE = 0.5


@dataclass(frozen=True)
class Drift:
    """How far something seems to be from where it should be.

    Attributes:
        distance: of its centre [m]. angle: [rad]. exceeded: either is beyond the tolerance.
    """

    distance: float
    angle: float
    exceeded: bool

    def __str__(self) -> str:
        return f"{1e3 * self.distance:.1f} mm and {np.degrees(self.angle):.2f} degrees"


class RecentErrors:
    """Medians over the last ``views`` looks, so that a bad one does not count."""

    def __init__(self, tolerance: tuple[float, float], views: int) -> None:
        """``tolerance``: largest distance [m] and angle [rad] that are nothing to worry about.

        Raises:
            CalibrationError: a number makes no sense.
        """
        if min(tolerance) <= 0.0 or views < 1:
            raise CalibrationError(f"tolerance {tolerance} and views {views} must be positive")
        self.tolerance = tolerance
        self._errors: deque[tuple[float, float]] = deque(maxlen=views)

    def clear(self) -> None:
        """Forget all."""
        self._errors.clear()

    def add(self, distance: float, angle: float) -> Drift | None:
        """The drift with another look [m, rad]; None until there are enough."""
        self._errors.append((distance, angle))
        if len(self._errors) < (self._errors.maxlen or 1):
            return None
        median = [float(np.median(values)) for values in zip(*self._errors, strict=True)]
        return Drift(median[0], median[1], median[0] > self.tolerance[0] or median[1] > self.tolerance[1])


class DriftMonitor:
    """Where a board seems to be, by the last views of it."""

    def __init__(self, board: Board, expected: SE3, tolerance: tuple[float, float], views: int = 5) -> None:
        """Watch.

        Args:
            board: a ChArUco board; a chessboard looks the same when turned by 180 degrees.
            expected: parent_from_board.
            tolerance: largest distance [m] and angle [rad] that are nothing to worry about.
            views: how many are needed.

        Raises:
            CalibrationError: the board or a number makes no sense.
        """
        if board.kind != "charuco":
            raise CalibrationError(
                "the monitor needs a ChArUco board: a chessboard looks the same upside down"
            )
        self._centre = np.array([*board.size, 0.0]) / 2.0
        self._expected, self._errors = expected, RecentErrors(tolerance, views)

    def clear(self) -> None:
        """Forget the views: time or scene have changed."""
        self._errors.clear()

    def uncertain(self, view: BoardPose) -> str:
        """Why a view says too little, the board being too far away or too oblique; empty if it does not."""
        covariance = max(view.rms, LEAST_NOISE) ** 2 * np.linalg.inv(view.information)
        distance, angle = (float(np.sqrt(np.trace(covariance[p, p]))) for p in (slice(0, 3), slice(3, 6)))
        allowed = self._errors.tolerance
        if distance < SHARE * allowed[0] and angle < SHARE * allowed[1]:
            return ""
        return (
            f"a view is good to {1e3 * distance:.1f} mm and {np.degrees(angle):.2f} degrees only, too little for a "
            f"tolerance of {1e3 * allowed[0]:.1f} mm and {np.degrees(allowed[1]):.2f} degrees; bring "
            "the board nearer, use a larger one, or widen the tolerance"
        )

    def observe(self, parent_from_camera: SE3, view: BoardPose) -> Drift | None:
        """The drift with another view; None until there are enough. Skip views that are :meth:`uncertain`."""
        seen = parent_from_camera @ view.camera_from_board
        moved = seen.apply(self._centre) - self._expected.apply(self._centre)
        turned = matrix_to_rotvec(seen.rotation @ self._expected.rotation.T)
        # Sizes, not vectors: what is constant is the camera's own error, and a camera on a gripper turns.
        return self._errors.add(float(np.linalg.norm(moved)), float(np.linalg.norm(turned)))
