"""A simulated rig whose truth is known: robot poses, a camera, a board, and the noise that was asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..geometry import SE3, PinholeCamera, rotvec_to_matrix
from .board import Board, Corners
from .camera import CalibratedCamera
from .hand_eye import Setup

Array = NDArray[np.float64]

#: Camera to board [m], and how far the view is tilted and the camera rolled [deg].
DISTANCE, TILT, ROLL = (0.35, 0.6), (10.0, 45.0), 60.0


def webcam(width: int = 640, height: int = 480) -> CalibratedCamera:
    """A usual small camera: 60 degrees across, a little barrel distortion."""
    focal = width * 0.86
    pinhole = PinholeCamera(width, height, focal, 1.002 * focal, 0.497 * width, 0.508 * height)
    return CalibratedCamera(pinhole, np.array([-0.09, 0.06, 6e-4, -4e-4, 0.0]))


@dataclass(frozen=True, eq=False)
class Rig:
    """A camera on the gripper looking at a fixed board, or the other way round.

    Attributes:
        camera_pose: gripper_from_camera (eye-in-hand) or base_from_camera (eye-to-hand): what is to be found.
        board_pose: base_from_board or gripper_from_board.
        grippers: what the robot says, base_from_gripper, with its noise.
        views: camera_from_board, exact.
    """

    setup: Setup
    board: Board
    camera: CalibratedCamera
    camera_pose: SE3
    board_pose: SE3
    grippers: tuple[SE3, ...]
    views: tuple[SE3, ...]

    def corners(self, index: int, rng: np.random.Generator, pixel_noise: float) -> Corners:
        """Corners of a view with Gaussian noise [px], without a detour through an image."""
        points = self.board.corners()
        pixels = self.camera.project(self.views[index].apply(points))
        size = (self.camera.pinhole.width - 1, self.camera.pinhole.height - 1)
        inside = np.all((pixels > 0) & (pixels < size), axis=1)
        return Corners(points[inside], (pixels + rng.normal(0.0, pixel_noise, pixels.shape))[inside])


def simulated_rig(
    setup: Setup,
    count: int,
    rng: np.random.Generator,
    robot_noise: tuple[float, float] = (1e-4, np.deg2rad(0.02)),
    board: Board | None = None,
    camera: CalibratedCamera | None = None,
) -> Rig:
    """A random rig with ``count`` poses; ``robot_noise`` is the standard deviation per axis (m, rad)."""
    board, camera = board or Board(), camera or webcam()
    on_gripper = SE3(
        Rotation.from_euler("xyz", rng.uniform(-30, 30, 3), degrees=True).as_matrix(),
        rng.uniform((-0.06, -0.06, 0.0), (0.06, 0.06, 0.08)),
    )
    in_base = SE3(
        Rotation.from_euler("xyz", rng.uniform((170, -15, -90), (190, 15, 90)), degrees=True).as_matrix(),
        rng.uniform((0.4, -0.2, 0.0), (0.6, 0.2, 0.2)),
    )
    # The camera rides and the board stays, or the other way round.
    camera_pose, board_pose = (on_gripper, in_base) if setup == "eye-in-hand" else (in_base, on_gripper)
    views = tuple(_view(board, camera, rng) for _ in range(count))
    grippers = []
    for view in views:
        if setup == "eye-in-hand":
            exact = board_pose @ view.inverse() @ camera_pose.inverse()
        else:
            exact = camera_pose @ view @ board_pose.inverse()
        turn = rotvec_to_matrix(rng.normal(0.0, robot_noise[1], 3))
        grippers.append(exact @ SE3(turn, rng.normal(0.0, robot_noise[0], 3)))
    return Rig(setup, board, camera, camera_pose, board_pose, tuple(grippers), views)


def _view(board: Board, camera: CalibratedCamera, rng: np.random.Generator) -> SE3:
    """camera_from_board with the board's centre somewhere in the image."""
    tilt, towards = np.deg2rad(rng.uniform(*TILT)), rng.uniform(0.0, 2.0 * np.pi)
    roll = np.deg2rad(rng.uniform(-ROLL, ROLL))
    tilting = rotvec_to_matrix(tilt * np.array([np.cos(towards), np.sin(towards), 0.0]))
    rotation = tilting @ rotvec_to_matrix(np.array([0.0, 0.0, roll]))
    distance = rng.uniform(*DISTANCE)
    half = (
        np.array([camera.pinhole.width / camera.pinhole.fx, camera.pinhole.height / camera.pinhole.fy]) / 2.0
    )
    aside = rng.uniform(-0.45, 0.45, 2) * half * distance
    centre = np.array([*aside, distance])
    return SE3(rotation, centre - rotation @ np.array([*board.size, 0.0]) * 0.5)
