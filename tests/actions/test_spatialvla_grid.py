"""SpatialVLA's grid and tokens: the released edges, round trips, and what is no chunk."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, truncnorm
from spatial_vla.actions import (
    RELEASED_GAUSSIANS,
    ActionGaussians,
    ActionTokenError,
    SpatialActionTokenizer,
    bin_policy_of,
    grid_from_bin_policy,
    uniform_grid,
)
from spatial_vla.actions.gaussians import RANGES, VARIABLES, likeliest

# Edges as they stand in the released processor_config.json (some of each variable).
RELEASED = {
    "theta": {0: 0.0, 1: 0.7067187338585303, 8: 1.8331248472067783, 15: 2.828352346005421, 16: math.pi},
    "phi": {0: -math.pi, 1: -2.5597806593194092, 16: 0.0940021938080639, 31: 2.6552436426949604, 32: math.pi},
    "r": {
        **{
            0: 0.0,
            1: 0.19677118231539265,
            2: 0.3506298590504556,
            3: 0.4881976731379496,
            4: 0.621970275186659,
        },
        **{5: 0.7620978861167458, 6: 0.9228346010157172, 7: 1.1393317208802278, 8: 3**0.5},
    },
    "roll": {0: -1.0, 1: -0.7121298287894609, 8: -0.024059205927849478, 15: 0.6762450862353777, 16: 1.0},
    "pitch": {0: -1.0, 1: -0.6785015894338633, 8: 0.02113881590329744, 15: 0.7100308525313351, 16: 1.0},
    "yaw": {0: -1.0, 1: -0.6910047644696934, 8: 0.004712965738136004, 15: 0.6980345545587262, 16: 1.0},
}
GRID = RELEASED_GAUSSIANS.grid()
TOKENS = SpatialActionTokenizer(GRID)
RNG = np.random.default_rng(4)
ACTIONS = np.concatenate((np.clip(RNG.normal(0, 0.35, (500, 4, 6)), -1, 1), RNG.random((500, 4, 1))), axis=-1)
unit = st.floats(-1, 1)
action = st.tuples(*[unit] * 6, st.floats(0, 1))


def scalar_ids(a, grid=GRID, begin=257153):
    """One step, number by number."""
    x, y, z, roll, pitch, yaw, gripper = (max(-1.0, min(1.0, v)) for v in a)
    values = (math.atan2(math.sqrt(x * x + y * y), z), math.atan2(y, x), math.sqrt(x * x + y * y + z * z))
    cell = []
    for edges, value in zip((grid.theta, grid.phi, grid.r), values, strict=True):
        cell.append(sum(value >= e for e in edges[1:-1]))
    for edges, value in zip((grid.roll, grid.pitch, grid.yaw), (roll, pitch, yaw), strict=True):
        cell.append(sum(value >= e for e in edges[1:-1]))
    t, p, r, u, v, w = cell
    return [
        *(begin + (t * 32 + p) * 8 + r, begin + 4096 + (u * 16 + v) * 16 + w),
        begin + 8192 + (gripper >= 0.5),
    ]


@pytest.mark.parametrize("name", VARIABLES)
def test_the_rule_gives_the_released_edges(name):
    for index, edge in RELEASED[name].items():
        assert getattr(GRID, name)[index] == pytest.approx(edge, abs=2e-15)


def test_ids_are_the_released_ones():
    translation, rotation, gripper = TOKENS.slots
    assert (translation[0], translation[-1]) == (257153, 261248)
    assert (rotation[0], rotation[-1]) == (261249, 265344)
    assert list(gripper) == [265345, 265346] and TOKENS.tokens == 8194


def test_encoding_agrees_with_scalar_arithmetic():
    flat = ACTIONS.reshape(-1, 7)[:300]
    expected = [scalar_ids(a) for a in flat.tolist()]
    assert TOKENS.encode(flat).reshape(-1, 3).tolist() == expected


def test_zero_is_what_upstream_makes_of_it():
    ids = TOKENS.encode(np.zeros((1, 7)))
    assert ids[0] == 257153 + 120
    decoded = SpatialActionTokenizer(GRID, steps=1).decode(ids)[0]
    assert decoded[:3] == pytest.approx((0.034, 0.001, 0.092), abs=1e-3)


@given(action)
def test_a_round_trip_stays_within_half_a_cell(a):
    one = SpatialActionTokenizer(GRID, steps=1)
    ids = one.encode([a])
    cells = np.unravel_index(ids[0] - one.slots[0][0], GRID.shape[:3])
    turn = np.unravel_index(ids[1] - one.slots[1][0], GRID.shape[3:])
    back, gripper = GRID.decode(ids - [slot[0] for slot in one.slots])
    # Half a cell in each polar coordinate and each rotation; the centre is decoded before the clip.
    x, y, z = a[:3]
    values = (math.atan2(math.hypot(x, y), z), math.atan2(y, x), math.hypot(x, y, z), *a[3:6])
    x, y, z = back[:3]
    centre = (math.atan2(math.hypot(x, y), z), math.atan2(y, x), math.hypot(x, y, z), *back[3:])
    for name, cell, value, middle in zip(VARIABLES, (*cells, *turn), values, centre, strict=True):
        edges = getattr(GRID, name)
        assert abs(value - middle) <= 0.5 * (edges[cell + 1] - edges[cell]) + 1e-9
    assert gripper == (a[6] >= 0.5)


def test_all_cells_inside_the_range_survive_decoding_and_encoding():
    ids = np.stack([np.arange(4096), np.arange(4096), np.arange(4096) % 2], axis=-1)
    inside = np.abs(GRID.centres()[0]).max(axis=1) <= 1.0
    assert inside.mean() > 0.85
    ids += [slot[0] for slot in TOKENS.slots]
    again = TOKENS.encode(TOKENS.decode(ids.reshape(-1, 12))).reshape(-1, 3)
    assert (again[:, 1:] == ids[:, 1:]).all() and (again[inside, 0] == ids[inside, 0]).all()


means, stds = st.floats(-0.6, 0.6), st.floats(0.05, 2.0)


@given(st.lists(means, min_size=6, max_size=6), st.lists(stds, min_size=6, max_size=6))
def test_cells_are_equally_probable_and_edges_increase(mean, std):
    grid = ActionGaussians(tuple(mean), tuple(std)).grid(min_sigma=0.1)
    for name, m, s, (low, high) in zip(VARIABLES, mean, std, RANGES, strict=True):
        edges, sigma = getattr(grid, name), max(s, 0.1)
        assert (np.diff(edges) > 0).all() and (edges[0], edges[-1]) == (low, high)
        total = norm.cdf(high, m, sigma) - norm.cdf(low, m, sigma)
        mass = np.diff(norm.cdf(edges, m, sigma)) / total
        assert mass == pytest.approx(1 / (len(edges) - 1), abs=1e-6)


@given(
    st.lists(means, min_size=6, max_size=6),
    st.lists(stds, min_size=6, max_size=6),
    st.sampled_from([0.0, 0.02]),
    action,
)
def test_a_round_trip_in_any_fitted_grid_stays_within_half_a_cell(mean, std, dead_zone, a):
    """Or is exactly nothing, for what is shorter than the dead zone."""
    grid = ActionGaussians(tuple(mean), tuple(std)).grid(
        (5, 7, 4, 3, 4, 6), min_sigma=0.1, dead_zone=dead_zone
    )
    ids = grid.encode(a[:6], a[6])
    back, gripper = grid.decode(ids)
    x, y, z = a[:3]
    values = (math.atan2(math.hypot(x, y), z), math.atan2(y, x), math.sqrt(x * x + y * y + z * z), *a[3:6])
    x, y, z = back[:3]
    middles = (math.atan2(math.hypot(x, y), z), math.atan2(y, x), math.hypot(x, y, z), *back[3:])
    still = [dead_zone > 0 and values[2] < dead_zone, dead_zone > 0 and max(map(abs, a[3:6])) < dead_zone]
    for i, (name, value, middle) in enumerate(zip(VARIABLES, values, middles, strict=True)):
        if still[i // 3]:
            assert not back[3 * (i // 3) : 3 * (i // 3) + 3].any()
            continue
        edges = getattr(grid, name)
        inside = min(max(value, edges[0]), edges[-1])
        width = max(hi - lo for lo, hi in pairwise(edges) if lo <= inside <= hi)
        assert abs(inside - middle) <= 0.5 * width + 1e-9
    assert gripper == (a[6] >= 0.5)


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"), [(0.3, 0.4, -1.0, 1.0), (0.9, 0.5, 0.0, 1.2), (2.2, 0.8, 0.0, math.pi)]
)
def test_the_likeliest_gaussian_is_found_where_moments_are_not(mean, std, low, high):
    values = truncnorm.rvs(
        (low - mean) / std, (high - mean) / std, loc=mean, scale=std, size=40_000, random_state=1
    )
    found = likeliest(values, low, high)
    assert found == pytest.approx((mean, std), abs=0.05)
    assert abs(values.std() - std) > abs(found[1] - std)
    cost = [
        -truncnorm.logpdf(values, (low - m) / s, (high - m) / s, m, s).mean() for m, s in (found, (mean, std))
    ]
    assert cost[0] <= cost[1] + 1e-6


def test_likeliest_cells_are_equally_full_where_a_truncated_gaussian_is_true():
    """Lengths that press against the end of their range, as at full speed."""
    n = 40_000
    r = truncnorm.rvs(-1.2 / 0.6, (3**0.5 - 1.2) / 0.6, loc=1.2, scale=0.6, size=n, random_state=0)
    direction = np.random.default_rng(0).normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    # Shrunk into the cube of normalised actions: what leaves it would be clipped.
    inside = np.abs(direction * r[:, None]).max(axis=1) <= 1.0
    rows = np.concatenate((direction * r[:, None], np.zeros((n, 3))), axis=1)[inside]
    rows[:, 3:] = truncnorm.rvs(-1 / 0.8, 1 / 0.8, scale=0.8, size=(len(rows), 3), random_state=2)
    grid = ActionGaussians.fit(rows, likelihood=True).grid(min_sigma=0.0)
    moments = ActionGaussians.fit(rows).grid(min_sigma=0.0)
    for i, name in enumerate(("roll", "pitch", "yaw")):
        full, by_moments = (
            np.histogram(rows[:, 3 + i], getattr(g, name))[0] * 16 / len(rows) for g in (grid, moments)
        )
        assert np.abs(full - 1).max() < 0.12 < np.abs(by_moments - 1).max()


def test_what_hardly_a_gaussian_could_be_still_makes_a_grid():
    """All at an end, all the same, two heaps: edges increase all the same."""
    heaps = np.zeros((400, 6))
    heaps[::2] = 0.99
    for rows in (heaps, np.full((50, 6), 0.5), np.ones((50, 6))):
        for dead_zone in (0.0, 0.02):
            grid = ActionGaussians.fit(rows, likelihood=True, dead_zone=dead_zone).grid(
                min_sigma=0.0, dead_zone=dead_zone
            )
            assert grid.shape == (16, 32, 8, 16, 16, 16)


def test_fitting_finds_the_gaussians_of_the_actions():
    rows = truncnorm.rvs(-3, 3, loc=0.05, scale=0.25, size=(20_000, 6), random_state=0)
    fitted = ActionGaussians.fit(rows)
    assert fitted.mean[3:] == pytest.approx([0.05] * 3, abs=0.01)
    assert fitted.std[3:] == pytest.approx([0.25] * 3, abs=0.01)
    lengths = np.sqrt((rows[:, :3] ** 2).sum(1))
    assert (fitted.mean[2], fitted.std[2]) == pytest.approx((lengths.mean(), lengths.std()))
    assert ActionGaussians.from_json(fitted.to_json()) == fitted


def test_a_grid_with_a_dead_zone_can_stand_still():
    tokens = SpatialActionTokenizer(
        ActionGaussians.fit(ACTIONS, dead_zone=0.02).grid(dead_zone=0.02), steps=2
    )
    assert tokens.tokens == 8196
    still = tokens.decode(tokens.encode([[0.0] * 7, [0.01, 0, 0, 0, 0.01, 0, 1.0]]))
    assert not still[:, :6].any() and still[:, 6].tolist() == [0.0, 1.0]
    policy = json.loads(json.dumps(bin_policy_of(tokens.grid)))
    again = SpatialActionTokenizer(grid_from_bin_policy(policy))
    assert np.array_equal(again.encode(ACTIONS), tokens.encode(ACTIONS))


def test_a_checkpoints_edges_are_taken_as_they_are():
    policy = bin_policy_of(GRID)
    policy["translation"]["r_bins"][1] = 0.2
    tokens = SpatialActionTokenizer.from_processor_config({"bin_policy": policy, "action_chunk_size": 3})
    assert tokens.grid.r[1] == 0.2 and tokens.length == 9
    del policy["rotation"]["yaw_bins"]
    with pytest.raises(ValueError, match="lacks yaw_bins"):
        grid_from_bin_policy(policy)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("compat", [False, True])
def test_what_is_not_finite_is_refused(bad, compat):
    actions = np.zeros((2, 4, 7))
    actions[1, 2, 6] = bad
    with pytest.raises(ValueError, match=r"\(1, 2, 6\)"):
        SpatialActionTokenizer(GRID, compat=compat).encode(actions)
    with pytest.raises(ValueError, match="finite"):
        ActionGaussians.fit(actions)


def test_batches_decode_row_by_row_with_or_without_an_end():
    ids = TOKENS.encode(ACTIONS[:5])
    whole = TOKENS.decode(ids)
    assert whole.shape == (5, 4, 7)
    ragged = [[*row.tolist(), 1, 0, 0][: 12 + i] for i, row in enumerate(ids[:4])]
    assert np.array_equal(TOKENS.decode(ragged), whole[:4])
    assert np.array_equal(TOKENS.decode(ids[0]), whole[0])


@pytest.mark.parametrize(
    ("change", "position", "token", "text"),
    [
        (lambda row: row[:7], 7, None, "is short"),
        (lambda row: [], 0, None, "is short"),
        (lambda row: [*row[:7], 1, *row[8:]], 7, 1, "end of sequence"),
        (lambda row: [*row[:3], row[4], *row[4:]], 3, "same", "expected a translation token"),
        (lambda row: [*row[:11], 12], 11, 12, "expected a gripper token"),
        (lambda row: [*row, row[0]], 12, "first", "is long"),
    ],
)
def test_what_is_no_chunk_is_an_error_with_its_position(change, position, token, text):
    rows = TOKENS.encode(ACTIONS[:3]).tolist()
    token = {"same": rows[1][4], "first": rows[1][0]}.get(token, token)
    rows[1] = change(rows[1])
    with pytest.raises(ActionTokenError, match=text) as caught:
        TOKENS.decode(rows)
    assert (caught.value.row, caught.value.position, caught.value.token) == (1, position, token)


def test_compat_makes_the_first_cell_of_what_is_missing():
    compat = SpatialActionTokenizer(GRID, compat=True)
    begins = [slot[0] for slot in TOKENS.slots]
    row = TOKENS.encode(ACTIONS[0]).tolist()
    spoilt = [*row[:4], 1, row[5], 7]  # end of sequence as a rotation, a text id, and then nothing
    expected = [*row[:4], begins[1], row[5], *begins * 2]
    assert np.array_equal(compat.decode(spoilt), TOKENS.decode(expected))
    assert np.array_equal(compat.decode([265346] * 12), compat.decode([261248, 265344, 265346] * 4))


def test_single_precision_differs_in_compat_alone():
    edge = np.float32(GRID.yaw[3])
    just_below = np.array([[0, 0, 0, 0, 0, edge, 0]], dtype=np.float32)
    compat = SpatialActionTokenizer(GRID, compat=True)
    assert compat.encode(just_below)[1] == scalar_ids(just_below[0].tolist())[1]
    actions = ACTIONS.astype(np.float32)
    assert (compat.encode(actions) != TOKENS.encode(actions.astype(np.float64))).mean() < 0.002


def test_uniform_cells_have_equal_widths():
    grid = uniform_grid((4, 4, 4, 4, 4, 4))
    assert np.allclose(np.diff(grid.theta), np.pi / 4) and np.allclose(np.diff(grid.yaw), 0.5)


def test_few_real_actions_meet_the_clip():
    """Of N(0, 0.35) actions, about 0.24 % of the translation tokens change when decoded and encoded again."""
    actions = np.zeros((20_000, 4, 7))
    actions[..., :6] = np.random.default_rng(0).normal(0, 0.35, (20_000, 4, 6))
    ids = TOKENS.encode(actions)
    again = TOKENS.encode(TOKENS.decode(ids))
    assert (ids != again)[:, 0::3].mean() == pytest.approx(0.0024, abs=4e-4)
    assert not (ids != again)[:, 1::3].any()
