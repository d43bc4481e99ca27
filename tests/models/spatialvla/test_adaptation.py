"""Spatial embedding adaptation, against a loop over eight corners, and the released defect."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from spatial_models.spatialvla.adapt import Adapt
from spatial_models.spatialvla.adaptation import adapted_rows
from spatial_vla.actions import (
    RELEASED_GAUSSIANS,
    ActionGaussians,
    ActionStatistics,
    SpatialActionTokenizer,
    bin_policy_of,
)

from .conftest import tiny_fields

CELLS = (5, 6, 4, 4, 3, 5)
OLD = RELEASED_GAUSSIANS.grid(CELLS)
BRIDGE = ActionGaussians(
    (2.18094, 0.14072, 0.55386, -0.00826, 0.08298, 0.00934),
    (0.78493, 1.79030, 0.30016, 0.31316, 0.33079, 0.29815),
)
NEW = BRIDGE.grid(CELLS, min_sigma=0.0)
TABLE = torch.rand(sum(OLD.cells), 6, generator=torch.Generator().manual_seed(0)) * 2 - 1


def axes(grid, slot):
    names = (("theta", "phi", "r"), ("roll", "pitch", "yaw"))[slot]
    return [0.5 * (getattr(grid, n)[1:] + getattr(grid, n)[:-1]) for n in names]


def eight_corners(table, old, point):
    """The value at a point: each corner's weight is the product of the opposite distances; outside, the edge's."""
    places = []
    for middles, x in zip(old, point, strict=True):
        x = min(max(x, middles[0]), middles[-1])
        i = min(sum(m <= x for m in middles), len(middles) - 1)
        low, high = middles[i - 1], middles[i]
        places.append(((i - 1, (high - x) / (high - low)), (i, (x - low) / (high - low))))
    total = np.zeros(table.shape[-1])
    for corner in itertools.product(*places):
        index, weights = zip(*corner, strict=True)
        total += np.prod(weights) * table[index]
    return total


def test_rows_agree_with_eight_corners_in_double_precision():
    found = adapted_rows(TABLE, OLD, NEW).double().numpy()
    start = 0
    for slot in (0, 1):
        old, new = axes(OLD, slot), axes(NEW, slot)
        count = np.prod([len(a) for a in old])
        table = TABLE[start : start + count].double().numpy().reshape(*(len(a) for a in old), -1)
        for row, point in enumerate(itertools.product(*new)):
            assert found[start + row] == pytest.approx(eight_corners(table, old, point), abs=1e-6)
        start += count
    assert np.array_equal(found[start:], TABLE[-2:].double().numpy())


def test_a_linear_table_is_reproduced_between_the_old_centres():
    old, new = (grid.centres()[1] for grid in (OLD, NEW))
    weights = np.array([[1.0, -2.0], [0.5, 0.25], [3.0, 1.0]])
    table = TABLE[:, :2].clone()
    count = OLD.cells[0]
    table[count : count + len(old)] = torch.from_numpy(old @ weights).float()
    inside = np.all((new >= old.min(0)) & (new <= old.max(0)), axis=1)
    found = adapted_rows(table, OLD, NEW)[count : count + len(new)].numpy()
    assert inside.sum() > 5 and found[inside] == pytest.approx(new[inside] @ weights, abs=1e-5)


@pytest.mark.parametrize("compat", [False, True])
def test_the_same_grid_keeps_the_table(compat):
    assert torch.allclose(adapted_rows(TABLE, OLD, OLD, compat=compat), TABLE, atol=1e-5)


def test_the_released_axes_are_exchanged():
    plain, compat = (adapted_rows(TABLE, OLD, NEW, compat=c) for c in (False, True))
    assert not compat.isnan().any()
    translation = OLD.cells[0]
    moved = ((plain - compat).abs() > 0.1).any(1)
    assert moved[:translation].float().mean() > 0.8 and not moved[-2:].any()


def test_undoing_the_exchange_leaves_the_difference_between_tetrahedra_and_boxes():
    """With as many cells on both axes, rows and points in one order are a table with exchanged axes."""
    old, new = RELEASED_GAUSSIANS.grid((6,) * 6), BRIDGE.grid((6,) * 6, min_sigma=0.3)
    exchanged = [dataclasses.replace(grid, roll=grid.pitch, pitch=grid.roll) for grid in (old, new)]
    steps = torch.linspace(-1, 1, 6)
    table = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), dim=-1).reshape(216, 3)
    rows = torch.cat((table, table, torch.zeros(2, 3)))
    compat = adapted_rows(rows, old, new, compat=True)[216:-2]
    plain = adapted_rows(rows, *exchanged)[216:-2]
    assert plain.numpy() == pytest.approx(compat.numpy(), abs=0.06)


def test_tokens_for_no_motion_start_in_the_middle():
    still = BRIDGE.grid(CELLS, dead_zone=0.02)
    found = adapted_rows(TABLE, OLD, still)
    count = OLD.cells[0]
    assert len(found) == sum(OLD.cells) + 2
    shortest = TABLE[:count].view(5, 6, 4, -1)[:, :, 0]
    assert torch.allclose(found[count], shortest.mean((0, 1)), atol=1e-6)
    rotation = TABLE[count:-2].double().numpy().reshape(4, 3, 5, -1)
    expected = eight_corners(rotation, axes(OLD, 1), (0.0, 0.0, 0.0))
    assert found[-3].numpy() == pytest.approx(expected, abs=1e-6)
    again = adapted_rows(found, still, BRIDGE.grid(CELLS, dead_zone=0.05))
    assert torch.equal(again[count], found[count]) and torch.equal(again[-3], found[-3])
    with pytest.raises(ValueError, match="dead zone"):
        adapted_rows(TABLE, OLD, still, compat=True)


def test_foreign_rows_are_refused():
    with pytest.raises(ValueError, match=r"expected \(182, width\)"):
        adapted_rows(TABLE[:-1], OLD, NEW)


def test_half_precision_stays():
    assert adapted_rows(TABLE.bfloat16(), OLD, NEW).dtype == torch.bfloat16


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    begin, count = 40, sum(OLD.cells)
    fields = tiny_fields(spatial_token_num=count)
    fields["text_config"]["vocab_size"] = begin + count
    (folder / "config.json").write_text(json.dumps(fields))
    processor = {"bin_policy": bin_policy_of(OLD), "action_chunk_size": 4, "statistics": {}}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    head = torch.cat((torch.zeros(begin, 6), TABLE.flip(0)))
    tensors = {"spatial_embed_tokens.weight": TABLE, "language_model.lm_head.weight": head}
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_the_command_writes_a_pair_that_belongs_together(checkpoint, tmp_path, capsys):
    rng = np.random.default_rng(0)
    actions = np.concatenate((rng.normal(0, 0.02, (500, 6)), rng.integers(2, size=(500, 1))), axis=1)
    np.save(tmp_path / "actions.npy", actions)
    out = tmp_path / "out"
    assert Adapt(checkpoint, tmp_path / "actions.npy", out, "mine/1.0.0", head=True).run() == 0
    fields = json.loads((out / "adapted.json").read_text())
    tokens = SpatialActionTokenizer.from_processor_config(fields, begin=fields["action_token_begin_idx"])
    statistics = ActionStatistics.from_processor_config(fields, "mine/1.0.0")
    unit = statistics.normalise(actions[:400]).reshape(100, 4, 7)
    decoded = tokens.decode(tokens.encode(unit))
    assert np.abs(decoded - unit)[..., :6].mean() < 0.25 and np.array_equal(decoded[..., 6], unit[..., 6])
    tensors = load_file(out / "adapted.safetensors")
    expected = adapted_rows(TABLE, OLD, tokens.grid)
    assert torch.equal(tensors["spatial_embed_tokens.weight"], expected)
    assert torch.equal(tensors["lm_head.action_rows"], adapted_rows(TABLE.flip(0), OLD, tokens.grid))
    assert Adapt(checkpoint, tmp_path / "none.npy", out, "mine/1.0.0").run() == 2
    assert "none.npy" in capsys.readouterr().err


def test_a_checkpoint_without_the_table_is_an_error(checkpoint, tmp_path, capsys):
    (checkpoint / "model.safetensors").unlink()
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(50, 7)))
    assert Adapt(checkpoint, tmp_path / "a.npy", tmp_path / "out", "mine").run() == 2
    assert "no spatial_embed_tokens.weight" in capsys.readouterr().err
