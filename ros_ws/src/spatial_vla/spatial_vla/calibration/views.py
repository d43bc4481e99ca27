"""Where the arm should go next so that the board is seen from another side, with nothing known of where the camera is.

The first moves are small rotations about the gripper's own axes, which leave the board in view. With the views from
there, the closed form of hand-eye calibration says roughly where camera and board are: well enough to lead the camera
around the board (or the board around before the camera) on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ..geometry import SE3, matrix_to_rotvec
from .board import Board
from .closed_form import closed_form
from .hand_eye import Setup

#: First rotations about the gripper's axes [deg]; the second half only if the board got out of view in the first.
FEELERS = (
    (15.0, 0.0, 0.0),
    (0.0, 15.0, 0.0),
    (0.0, 0.0, 25.0),
    (-15.0, 0.0, 0.0),
    (0.0, -15.0, 0.0),
    (0.0, 0.0, -25.0),
)
#: Views from which camera and board can be located roughly.
ENOUGH = 4
#: One round around the board: direction of the tilt, and by turns how far [deg], roll about the optical axis [deg],
#: distance (1: that of the first view) and where the board's centre is (right, down) in shares of the distance.
DIRECTIONS = 12
TILTS, ROLLS = (24.0, 18.0, 28.0), (-25.0, 10.0, 30.0, -10.0)
DISTANCES = (1.0, 0.95, 1.05)
ASIDE = ((0.06, 0.0), (0.0, -0.06), (-0.06, 0.0), (0.0, 0.06))
#: How far the board stays from the middle of the picture; 1: where the first view has it, 0: in the middle.
TOWARDS_FIRST = 0.5
#: A second and a third round for what could not be reached in the first: tilts and rolls by so much smaller.
ROUNDS = (1.0, 0.7, 0.45)
#: A board that is seen more obliquely than this is hardly detected [deg].
STEEPEST = 58.0
#: A view that is turned by less than this from each one before says nothing new [deg].
NEWS = 10.0


@dataclass(frozen=True, eq=False)
class Taken:
    """A sample that was kept: where the gripper was, and where the board was seen."""

    base_from_gripper: SE3
    camera_from_board: SE3


class ViewPlan:
    """Gripper poses to take samples from.

    Args:
        setup: "eye-in-hand" or "eye-to-hand".
        board: the board, for its centre.
        taken: the samples so far, the first from where the arm was at the beginning; the caller appends to it.
    """

    def __init__(self, setup: Setup, board: Board, taken: list[Taken]) -> None:
        self._in_hand, self._taken = setup == "eye-in-hand", taken
        self._centre = np.array([*board.size, 0.0]) / 2.0

    def poses(self) -> Iterator[SE3]:
        """base_from_gripper of one pose after the other; each depends on what has been taken until then."""
        home = self._taken[0]
        for degrees in FEELERS:
            turn = Rotation.from_rotvec(np.deg2rad(degrees)).as_matrix()
            pose = home.base_from_gripper @ SE3(turn, np.zeros(3))
            if len(self._taken) < ENOUGH and self._is_new(pose):
                yield pose
        if len(self._taken) < ENOUGH:
            return
        for view in self.views(home.camera_from_board):
            pose = self._reached_from(view)
            if self._is_new(pose):
                yield pose

    def views(self, first: SE3) -> Iterator[SE3]:
        """camera_from_board of the views wanted, around the ``first``; the board's centre stays in the picture."""
        middle = first.apply(self._centre)
        for share in ROUNDS:
            for i in range(DIRECTIONS):
                towards = 2.0 * np.pi * i / DIRECTIONS
                tilt = np.deg2rad(share * TILTS[i % len(TILTS)])
                tilting = Rotation.from_rotvec(tilt * np.array([np.cos(towards), np.sin(towards), 0.0]))
                rolling = Rotation.from_euler("z", share * ROLLS[i % len(ROLLS)], degrees=True)
                rotation = (tilting * rolling).as_matrix() @ first.rotation
                distance = DISTANCES[i % len(DISTANCES)] * float(np.linalg.norm(middle))
                aside = ASIDE[i % len(ASIDE)] + TOWARDS_FIRST * middle[:2] / middle[2]
                centre = distance * np.array([*aside, 1.0])
                if _steepness(rotation, centre) < STEEPEST:
                    yield SE3(rotation, centre - rotation @ self._centre)

    def _is_new(self, pose: SE3) -> bool:
        return is_new(pose, [taken.base_from_gripper for taken in self._taken])

    def _reached_from(self, view: SE3) -> SE3:
        """The gripper's pose from which the board is seen like that, as far as is known by now."""
        grippers = [taken.base_from_gripper for taken in self._taken]
        a = grippers if self._in_hand else [gripper.inverse() for gripper in grippers]
        x, z = closed_form(a, [taken.camera_from_board for taken in self._taken])
        pose = z @ view.inverse() @ x.inverse()
        return pose if self._in_hand else pose.inverse()


def is_new(pose: SE3, before: Iterable[SE3]) -> bool:
    """Whether a gripper's pose is turned against all those ``before``."""
    return min((turned(pose, one) for one in before), default=180.0) >= NEWS


def turned(a: SE3, b: SE3) -> float:
    """Angle between two poses [deg]."""
    return float(np.degrees(np.linalg.norm(matrix_to_rotvec(a.rotation.T @ b.rotation))))


def _steepness(rotation: np.ndarray, centre: np.ndarray) -> float:
    """Angle between the line of sight and the board's normal [deg]."""
    cosine = abs(float(rotation[:, 2] @ centre)) / float(np.linalg.norm(centre))
    return float(np.degrees(np.arccos(min(cosine, 1.0))))
