"""Point clouds agree with the camera model and with the memory layout that viewers read."""

import numpy as np
import pytest
from spatial_vla.geometry import PinholeCamera
from spatial_vla.viz import POINT_DTYPE, coloured_cloud

CAMERA = PinholeCamera(8, 6, 10.0, 10.0, 3.5, 2.5)


def test_points_project_back_onto_their_pixels_and_carry_their_colours():
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 2.0, (6, 8)).astype(np.float32)
    colours = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    cloud = coloured_cloud(depth, CAMERA, colours, stride=2)
    points = np.stack([cloud[axis] for axis in "xyz"], axis=-1)
    v, u = np.meshgrid(range(0, 6, 2), range(0, 8, 2), indexing="ij")
    np.testing.assert_allclose(CAMERA.project(points), np.stack((u, v), -1).reshape(-1, 2), atol=1e-4)
    np.testing.assert_allclose(cloud["z"], depth[::2, ::2].ravel())
    packed = np.stack([cloud["rgb"] >> shift & 255 for shift in (16, 8, 0)], axis=-1)
    np.testing.assert_array_equal(packed, colours[::2, ::2].reshape(-1, 3))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_invalid_depth_gives_no_point(bad):
    depth = np.ones((6, 8), np.float32)
    depth[0, 0] = bad
    cloud = coloured_cloud(depth, CAMERA, np.zeros((6, 8, 3), np.uint8), stride=1)
    assert len(cloud) == 47 and np.isfinite(cloud["z"]).all()


def test_a_point_is_sixteen_bytes_without_padding():
    assert POINT_DTYPE.itemsize == 16
    assert POINT_DTYPE.fields is not None
    assert [POINT_DTYPE.fields[name][1] for name in ("x", "y", "z", "rgb")] == [0, 4, 8, 12]


def test_colours_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 4, 3\).*\(6, 8, 3\)"):
        coloured_cloud(np.ones((6, 8), np.float32), CAMERA, np.zeros((4, 4, 3), np.uint8))
