"""What reaches the networks: images, points and tool state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spatial_vla.geometry import SE3, PinholeCamera, rotvec_to_matrix
from spatial_vla.policy.preprocess import by_patch, cell_pixels, cell_points, encoder_image, tool_state

SIZE, PATCH, CELLS = 64, 16, 16
CAMERA = PinholeCamera(64, 64, 70.0, 70.0, 31.5, 31.5)


def plane_depth(camera: PinholeCamera, base_from_camera: SE3, height: float) -> np.ndarray:
    """Depth of the plane z = height of the base frame."""
    rays = camera.rays() @ base_from_camera.rotation.T
    return ((height - base_from_camera.translation[2]) / rays[..., 2]).astype(np.float32)


LOOKING_DOWN = SE3(rotvec_to_matrix([np.pi, 0.0, 0.0]), np.array([0.4, 0.1, 1.0]))


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (192, 96), (40, 56)])
def test_points_of_a_plane_lie_in_the_plane_whatever_the_image_size(size: tuple[int, int]) -> None:
    camera = CAMERA.resized(*size)
    depth = plane_depth(camera, LOOKING_DOWN, 0.2)
    points, valid = cell_points(depth, camera, LOOKING_DOWN, size=SIZE, patch=PATCH, cells=CELLS)
    assert valid.all()
    assert np.allclose(points[..., 2], 0.2, atol=1e-5)


def test_a_cells_point_projects_into_its_patch() -> None:
    depth = plane_depth(CAMERA, LOOKING_DOWN, 0.0)
    points, _ = cell_points(depth, CAMERA, LOOKING_DOWN, size=SIZE, patch=PATCH, cells=CELLS)
    uv = CAMERA.project(LOOKING_DOWN.inverse().apply(points))
    patch = uv // PATCH
    row, col = np.divmod(np.arange(16), 4)
    assert np.array_equal(patch[..., 0], np.repeat(col[:, None], CELLS, 1))
    assert np.array_equal(patch[..., 1], np.repeat(row[:, None], CELLS, 1))


@given(st.sampled_from([0.0, np.nan, np.inf, -np.inf, -1.0]))
def test_invalid_depth_is_marked_and_never_becomes_a_number_to_trust(bad: float) -> None:
    depth = np.ones((64, 64), np.float32)
    depth[:16, :16] = bad
    points, valid = cell_points(depth, CAMERA, LOOKING_DOWN, size=SIZE, patch=PATCH, cells=CELLS)
    assert not valid[0].any() and valid[1:].all()
    assert np.isfinite(points).all()


def test_by_patch_keeps_every_pixel_in_row_major_order() -> None:
    image = np.arange(64).reshape(8, 8)
    patches = by_patch(image, 4)
    assert patches[1].tolist() == image[:4, 4:].ravel().tolist()


def test_cells_are_spread_evenly() -> None:
    assert cell_pixels(64, 16, 16).tolist() == list(range(2, 64, 4))


def test_image_is_scaled_to_unit_range_and_channels_first() -> None:
    rgb = np.zeros((48, 96, 3), np.uint8)
    rgb[..., 0] = 255
    image = encoder_image(rgb, 32)
    assert image.shape == (1, 3, 32, 32) and image.dtype == np.float32
    assert image[0, 0].min() == 1.0 and image[0, 1:].max() == 0.0


@pytest.mark.parametrize("bad", [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8)])
def test_other_images_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 RGB"):
        encoder_image(bad, 32)


def test_depth_of_another_camera_is_refused() -> None:
    with pytest.raises(ValueError, match="its camera says"):
        cell_points(np.ones((10, 10), np.float32), CAMERA, LOOKING_DOWN, size=SIZE, patch=PATCH, cells=CELLS)


def test_tool_state_holds_position_axes_and_opening() -> None:
    state = tool_state(SE3.identity(), 0.04)
    assert state.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0.5]
