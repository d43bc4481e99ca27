"""What the cameras see at one moment, of the running physics or of a frozen copy of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import NDArray
from spatial_vla.geometry import SE3, PinholeCamera

from . import ray_camera
from .calibration_board import CalibrationBoard
from .ray_camera import Frame
from .scene import CAMERA_FOVY, Scene

EXTERNAL_CAMERA, WRIST_CAMERA = "external", "wrist"
WRIST_CAMERA_FRAME = "wrist_camera_optical_frame"
WRIST_CAMERA_FOVY = 62.0


@dataclass(frozen=True, eq=False)
class View:
    """The cameras over a model's state. ``object_of_geom`` as in ``ray_camera.render``."""

    model: mujoco.MjModel
    data: mujoco.MjData
    scene: Scene
    object_of_geom: NDArray[np.int32]
    cameras: dict[str, PinholeCamera]
    board: CalibrationBoard | None = None

    def frozen(self) -> View:
        """A copy (0.1 ms) that another thread may render while the physics goes on."""
        return replace(self, data=copy.copy(self.data))

    def render(self, camera: str) -> Frame:
        """What the "external" or "wrist" camera sees (13 ms at 224 pixels).

        Raises:
            ValueError: if there is no such camera.
        """
        if camera not in self.cameras:
            raise ValueError(f"camera {camera!r} is unknown; expected one of {', '.join(self.cameras)}")
        intrinsics, pose = self.cameras[camera], self.pose(camera)
        return ray_camera.render(
            self.model, self.data, intrinsics, pose, self.scene.lighting, self.object_of_geom, self.board
        )

    def pose(self, camera: str) -> SE3:
        """world_from_camera of the "external" or "wrist" camera's optical frame."""
        if camera == EXTERNAL_CAMERA:
            return self.scene.world_from_camera
        body = self.data.body(WRIST_CAMERA_FRAME)
        return SE3(body.xmat.reshape(3, 3).copy(), body.xpos.copy())


def cameras(size: int) -> dict[str, PinholeCamera]:
    """Intrinsics of both cameras at an image size [px]."""
    return {
        EXTERNAL_CAMERA: ray_camera.pinhole(size, CAMERA_FOVY),
        WRIST_CAMERA: ray_camera.pinhole(size, WRIST_CAMERA_FOVY),
    }
