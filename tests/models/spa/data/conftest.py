"""A small scene of three slanted planes, seen by a camera that moves; written in several layouts by the tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spatial_models.spa.data import RgbdView

WIDTH, HEIGHT = 64, 48
K = np.array([[55.0, 0.0, 31.0], [0.0, 53.0, 24.5], [0.0, 0.0, 1.0]])


@dataclass
class Recording:
    """Colour (n, h, w, 3), depth (n, h, w) in millimetres, and poses camera_to_world (n, 4, 4)."""

    color: np.ndarray
    depth: np.ndarray
    poses: np.ndarray

    def view(self, index: int) -> RgbdView:
        depth = self.depth[index].astype(np.float32) * np.float32(0.001)
        return RgbdView(self.color[index], depth, K, self.poses[index])


def record(frames: int, seed: int = 0) -> Recording:
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    for i, pose in enumerate(poses):
        pose[:3, :3] = Rotation.from_rotvec([0.02 * i, -0.05 * i, 0.03]).as_matrix()
        pose[:3, 3] = [0.1 * i, 0.02 * i, -0.03 * i]
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    slope = rng.uniform(-8.0, 8.0, (frames, 2, 1, 1))
    depth = 1800 + slope[:, 0] * u + slope[:, 1] * v + 400.0 * (u > 40) + rng.integers(0, 20, (HEIGHT, WIDTH))
    depth[:, :4, :9] = 0
    color = rng.integers(0, 256, (frames, HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Recording(color, depth.astype(np.uint16), poses)


@pytest.fixture
def recording() -> Recording:
    return record(6)
