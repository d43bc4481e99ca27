"""Images of a board as a camera with known intrinsics sees it: known truth for tests, benchmarks and examples."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3
from .board import Board
from .camera import CalibratedCamera

#: Pixels per square of the picture that is looked up.
RESOLUTION = 64
#: Fixed-point iterations that undo the distortion; each one leaves about a tenth of the error.
ITERATIONS = 6
PAPER, BACKGROUND, INK = 225.0, 120.0, 25.0


@dataclass
class BoardRenderer:
    """Looks every (sub)pixel's ray up on the board's plane, then averages, blurs and adds noise.

    Attributes:
        samples: rays per pixel along each side.
        blur: standard deviation of the optics' blur [px].
        noise: standard deviation of the sensor's noise [grey levels].
    """

    board: Board
    camera: CalibratedCamera
    samples: int = 3
    blur: float = 0.5
    noise: float = 2.0
    _rays: NDArray[np.float32] | None = field(default=None, repr=False)

    def render(self, camera_from_board: SE3, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A grey image (H, W) of the board at a pose."""
        rays = self._sub_pixel_rays()
        # Board coordinates of the point that a ray meets: a homography, as the board is a plane.
        plane = np.column_stack((camera_from_board.rotation[:, :2], camera_from_board.translation))
        x, y, w = np.moveaxis(rays @ np.linalg.inv(plane).T.astype(np.float32), -1, 0)
        scale = RESOLUTION / self.board.square / w
        with np.errstate(invalid="ignore"):
            behind = ~(w > 0.0)
        u, v = x * scale - 0.5, y * scale - 0.5
        u[behind] = v[behind] = -1e4
        picture = self._framed_picture()
        fine = cv2.remap(
            picture, u + RESOLUTION, v + RESOLUTION, cv2.INTER_LINEAR, borderValue=(BACKGROUND,) * 4
        )
        image = fine.reshape(self.camera.pinhole.height, self.samples, -1, self.samples).mean(axis=(1, 3))
        image = cv2.GaussianBlur(image, (0, 0), self.blur) if self.blur else image
        return np.clip(image + rng.normal(0.0, self.noise, image.shape), 0, 255).astype(np.uint8)

    def _framed_picture(self) -> NDArray[np.float32]:
        """The board with a margin of one square of paper."""
        ink = self.board.picture(RESOLUTION).astype(np.float32) / 255.0
        return np.pad(INK + ink * (PAPER - INK), RESOLUTION, constant_values=PAPER)

    def _sub_pixel_rays(self) -> NDArray[np.float32]:
        """Directions (H * samples, W * samples, 3) with unit z."""
        if self._rays is None:
            pinhole, n = self.camera.pinhole, self.samples
            u = (np.arange(pinhole.width * n) + 0.5) / n - 0.5
            v = (np.arange(pinhole.height * n) + 0.5) / n - 0.5
            grid = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
            rays = np.column_stack(((grid - pinhole.K[:2, 2]) / (pinhole.fx, pinhole.fy), np.ones(len(grid))))
            for _ in range(ITERATIONS if self.camera.distortion.any() else 0):
                rays[:, :2] += (grid - self.camera.project(rays)) / (pinhole.fx, pinhole.fy)
            self._rays = rays.reshape(len(v), len(u), 3).astype(np.float32)
        return self._rays
