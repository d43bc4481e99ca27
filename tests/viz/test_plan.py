"""Plans, grids and their drawings."""

import numpy as np
import pytest
from spatial_vla.actions import ActionChunk, ActionGrid
from spatial_vla.geometry import SE3, PinholeCamera
from spatial_vla.viz import Plan, chosen_cells, draw_caption, draw_plan, enlarge, grid_cells
from spatial_vla.viz.colours import PAPER, PLAN, TARGET, ramp

GRID = ActionGrid.fit(
    np.random.default_rng(0).normal(0.0, 0.01, (500, 6)),
    cells=(4, 8, 3, 4, 4, 4),
    translation_scale=0.05,
    rotation_scale=0.2,
    dead_zone=0.05,
)
CAMERA = PinholeCamera(120, 90, 100.0, 100.0, 59.5, 44.5)


def chunk(deltas: np.ndarray, **fields) -> ActionChunk:
    return ActionChunk(0, 0.2, "base", deltas, np.ones(len(deltas)), **fields)


def test_plan_adds_up_the_steps_along_the_base_axes_whatever_the_tool_orientation():
    deltas = np.random.default_rng(1).normal(size=(4, 6))
    turned = SE3.from_quaternion((0.1, 0.2, 0.3), (0.5, 0.5, 0.5, 0.5))
    plan = Plan.of(chunk(deltas), turned)
    np.testing.assert_allclose(plan.positions[0], (0.1, 0.2, 0.3))
    np.testing.assert_allclose(np.diff(plan.positions, axis=0), deltas[:, :3])
    assert plan.target is None


def test_plan_seen_from_a_camera_is_transformed_with_its_target():
    camera_from_base = SE3.from_quaternion((0.0, 0.0, 1.0), (0.5, -0.5, 0.5, 0.5))
    plan = Plan.of(chunk(np.ones((2, 6)), target=np.array([1.0, 2.0, 3.0])), SE3.identity())
    seen = plan.seen_from(camera_from_base)
    np.testing.assert_allclose(seen.positions, camera_from_base.apply(plan.positions))
    assert seen.target is not None
    np.testing.assert_allclose(seen.target, camera_from_base.apply([1.0, 2.0, 3.0]))


def test_chosen_cells_lie_where_the_decoder_will_move():
    deltas = np.random.default_rng(2).normal(0.0, 0.02, (4, 6))
    tokens = GRID.encode(deltas, np.ones(4))
    sure = np.log(np.array([[0.9] * 3, [0.5] * 3, [0.2] * 3, [0.1] * 3], dtype=np.float32))
    points = chosen_cells(GRID, chunk(deltas, token_ids=tokens, log_probabilities=sure))
    np.testing.assert_allclose(points.positions, GRID.decode(tokens)[0][:, :3])
    brightness = points.colours[:, :3].sum(axis=1)
    assert np.all(np.diff(brightness) < 0), "a less probable cell must not look brighter"
    uniform = np.full((4, 3), -np.log(GRID.cells[0]), np.float32)
    points = chosen_cells(GRID, chunk(deltas, token_ids=tokens, log_probabilities=uniform))
    np.testing.assert_allclose(points.colours[:, :3], np.tile(ramp(0.0) / 255.0, (4, 1)), atol=1e-6)


def test_grid_shows_every_translation_token_once():
    assert len(grid_cells(GRID)) == GRID.cells[0]
    assert len(chosen_cells(GRID, chunk(np.zeros((4, 6))))) == 0


def test_ramp_is_monotone_in_lightness_and_survives_nan():
    light = ramp(np.linspace(0, 1, 32)).astype(int) @ (299, 587, 114)
    assert np.all(np.diff(light) > 0)
    np.testing.assert_array_equal(ramp(np.nan), ramp(0.0))


def test_drawing_puts_tool_steps_and_target_on_their_pixels_and_leaves_the_input_alone():
    positions = np.array([[-0.2, 0.0, 1.0], [0.0, 0.1, 1.0], [0.2, -0.1, 1.0]])
    target = np.array([0.3, 0.3, 1.0])
    plan = Plan(positions, target)
    blank = np.zeros((90, 120, 3), np.uint8)
    out = draw_plan(blank, CAMERA, plan)
    assert not blank.any()
    for point, colour in (
        (positions[0], PAPER),
        (positions[1], PLAN),
        (positions[2], PLAN),
        (target, TARGET),
    ):
        u, v = np.round(CAMERA.project(point)).astype(int)
        np.testing.assert_array_equal(out[v, u], colour)


def test_what_lies_behind_the_camera_or_far_outside_is_left_out():
    plan = Plan(np.array([[0.0, 0.0, -1.0], [1e9, 0.0, 1e-9]]), np.array([0.0, 0.0, -2.0]))
    out = draw_plan(np.zeros((90, 120, 3), np.uint8), CAMERA, plan)
    assert out.shape == (90, 120, 3)


@pytest.mark.parametrize("factor", [2, 3])
def test_enlarging_keeps_pixel_centres_where_the_resized_camera_says(factor):
    rgb = np.zeros((90, 120, 3), np.uint8)
    rgb[40, 70] = 255
    big = enlarge(rgb, factor).astype(float).sum(axis=-1)
    v, u = (np.arange(size) for size in big.shape)
    centre = np.array([(big.sum(axis=0) * u).sum(), (big.sum(axis=1) * v).sum()]) / big.sum()
    scaled = CAMERA.resized(120 * factor, 90 * factor)
    expected = scaled.project(np.array([(70 - CAMERA.cx) / CAMERA.fx, (40 - CAMERA.cy) / CAMERA.fy, 1.0]))
    np.testing.assert_allclose(centre, expected, atol=0.1)


def test_caption_darkens_the_bottom_alone():
    grey = np.full((90, 120, 3), 200, np.uint8)
    out = draw_caption(grey, "touch the red cube", "1.2 s")
    np.testing.assert_array_equal(out[:70], grey[:70])
    assert out[-1].max() < 100
