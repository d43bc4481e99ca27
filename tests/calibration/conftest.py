"""Fixtures: a small board and camera, and samples of simulated rigs."""

import numpy as np
import pytest
from spatial_vla.calibration import Board, Sample, board_pose
from spatial_vla.calibration.rendering import BoardRenderer
from spatial_vla.calibration.rig import simulated_rig, webcam


@pytest.fixture(scope="session")
def board():
    return Board()


@pytest.fixture(scope="session")
def camera():
    return webcam(480, 360)


@pytest.fixture(scope="session")
def renderer(board, camera):
    return BoardRenderer(board, camera, samples=2)


@pytest.fixture
def make_samples():
    """Rig and samples with noise: robot (m, rad) per axis, corners [px]."""

    def make(setup, count=15, seed=0, robot_noise=(1e-4, 3.5e-4), pixel_noise=0.15):
        rng = np.random.default_rng(seed)
        rig = simulated_rig(setup, count, rng, robot_noise)
        views = [board_pose(rig.corners(i, rng, pixel_noise), rig.camera) for i in range(count)]
        names = [f"{i:02d}" for i in range(count)]
        return rig, [Sample(n, g, v) for n, g, v in zip(names, rig.grippers, views, strict=True)]

    return make
