"""Projection and back-projection are inverses, also after resizing and cropping."""

import numpy as np
import pytest
from spatial_vla.geometry import PinholeCamera

CAMERA = PinholeCamera(64, 48, 60.0, 61.0, 31.5, 23.5)


@pytest.mark.parametrize(
    "camera", [CAMERA, CAMERA.resized(32, 24), CAMERA.resized(96, 48), CAMERA.cropped(8, 4, 40, 30)]
)
def test_back_projection_inverts_projection(camera: PinholeCamera) -> None:
    depth = np.random.default_rng(0).uniform(0.3, 2.0, (camera.height, camera.width))
    uv = camera.project(camera.back_project(depth))
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    assert np.allclose(uv, np.stack((u, v), -1))


def test_resizing_keeps_the_ray_through_the_image_border() -> None:
    small = CAMERA.resized(16, 12)
    border = (-0.5 - CAMERA.cx) / CAMERA.fx
    assert (-0.5 - small.cx) / small.fx == pytest.approx(border)


def test_invalid_depth_gives_nan_points() -> None:
    depth = np.ones((48, 64))
    depth[0, :4] = [0.0, np.nan, np.inf, -1.0]
    points = CAMERA.back_project(depth)
    assert np.isnan(points[0, :4]).all()
    assert np.isfinite(points[1:]).all()


def test_points_behind_the_camera_do_not_project() -> None:
    assert np.isnan(CAMERA.project([0.0, 0.0, -1.0])).all()


def test_uncalibrated_camera_is_refused() -> None:
    with pytest.raises(ValueError, match="not calibrated"):
        PinholeCamera.from_K(64, 48, np.zeros(9))
