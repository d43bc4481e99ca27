"""Properties of the adaptive action grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from spatial_vla.actions import ActionGrid
from spatial_vla.actions.grid import cartesian, equal_probability_edges, polar

RNG = np.random.default_rng(0)
STEPS = np.concatenate((RNG.normal(0, 1, (4000, 3)), RNG.normal(0, 0.1, (4000, 3))), -1)
STEPS[:, :3] *= RNG.uniform(0, 0.05, (4000, 1)) / np.linalg.norm(STEPS[:, :3], axis=1, keepdims=True)
GRID = ActionGrid.fit(
    STEPS, cells=(8, 16, 8, 5, 5, 9), translation_scale=0.05, rotation_scale=0.3, dead_zone=0.03
)


def test_edges_hold_equal_probability() -> None:
    edges = equal_probability_edges(0.3, 0.5, -1.0, 1.0, 16)
    mass = np.diff(norm.cdf(edges, 0.3, 0.5))
    assert np.allclose(mass, mass[0])


def test_released_edges_are_reproduced() -> None:
    """Upstream's r variable: floor sigma 0.5 on [0, sqrt 3]; the zero vector's cell decodes to r = 0.098."""
    edges = equal_probability_edges(0.5388089344232081, 0.5, 0.0, np.sqrt(3.0), 8)
    assert (edges[0] + edges[1]) / 2 == pytest.approx(0.098, abs=5e-4)


def test_every_token_survives_decoding_and_encoding() -> None:
    for slot in (0, 1):
        ids = np.zeros((GRID.cells[slot], 3), dtype=int)
        ids[:, slot] = np.arange(GRID.cells[slot])
        deltas, gripper = GRID.decode(ids)
        moving = np.any(np.abs(deltas[:, 3 * slot : 3 * slot + 3]) > 0.03 * (0.05, 0.3)[slot], axis=-1)
        assert np.array_equal(GRID.encode(deltas, gripper)[moving, slot], ids[moving, slot])
        assert moving.mean() > 0.85


@given(st.lists(st.floats(-0.2, 0.2), min_size=6, max_size=6), st.floats(0, 1))
def test_every_finite_step_has_a_token(delta: list[float], gripper: float) -> None:
    ids = GRID.encode(delta, gripper)
    assert np.all(ids >= 0) and np.all(ids < GRID.cells)


def test_no_motion_is_exactly_no_motion() -> None:
    deltas, _ = GRID.decode(GRID.encode(np.zeros(6), 1.0))
    assert not deltas.any()


def test_quantisation_error_shrinks_with_the_step() -> None:
    """Polar cells: a short step is reproduced with a smaller error than a long one."""
    direction = RNG.normal(size=(500, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    error = []
    for length in (0.005, 0.045):
        steps = np.concatenate((direction * length, np.zeros((500, 3))), -1)
        error.append(np.linalg.norm(GRID.decode(GRID.encode(steps, np.ones(500)))[0] - steps, axis=1).mean())
    assert error[0] < 0.5 * error[1]


def test_polar_inverts_cartesian() -> None:
    xyz = RNG.normal(size=(100, 3))
    assert np.allclose(cartesian(polar(xyz)), xyz)


def test_a_foreign_token_is_an_error_with_its_position() -> None:
    ids = np.zeros((4, 3), dtype=int)
    ids[2, 1] = GRID.cells[1]
    with pytest.raises(ValueError, match=r"step \(2,\) is not a rotation token"):
        GRID.decode(ids)
    with pytest.raises(ValueError, match="a step is short"):
        GRID.decode(np.zeros(2, dtype=int))


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        GRID.encode([np.nan] * 6, 1.0)


def test_json_round_trip_is_exact() -> None:
    again = ActionGrid.from_json(GRID.to_json())
    assert np.array_equal(again.centres()[0], GRID.centres()[0]) and again.cells == GRID.cells
