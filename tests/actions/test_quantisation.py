"""Normalisation, and the report of what tokens lose."""

import json
from itertools import pairwise

import numpy as np
import pytest
from spatial_vla.actions import ActionGaussians, ActionStatistics, uniform_grid
from spatial_vla.actions.quantisation import AxisBins, GridCells, quantisation_error
from spatial_vla.actions.recorded import read_actions
from spatial_vla.actions.report import Report

RNG = np.random.default_rng(1)
STEPS = np.concatenate(
    (RNG.normal(0, 0.01, (600, 3)), RNG.normal(0, 0.05, (600, 3)), RNG.random((600, 1))), -1
)
STEPS[::10, :6] = 0


def test_normalisation_is_undone_inside_the_quantiles():
    statistics = ActionStatistics.fit(STEPS)
    unit = statistics.normalise(STEPS)
    inside = np.all(np.abs(unit[:, :6]) < 1, axis=1)
    assert inside.mean() > 0.85
    assert statistics.denormalise(unit)[inside] == pytest.approx(STEPS[inside], abs=1e-7)
    assert np.array_equal(unit[:, 6], STEPS[:, 6])


def test_no_motion_stays_zero_only_with_symmetric_limits():
    still = np.zeros((1, 7))
    assert np.abs(ActionStatistics.fit(STEPS + 0.01).normalise(still)[0, :6]).min() > 0.01
    symmetric = ActionStatistics.fit(STEPS + 0.01, symmetric=True)
    assert symmetric.normalise(still)[0, :6] == pytest.approx(0, abs=1e-6)
    assert not symmetric.denormalise(np.zeros(7))[:6].any()


def test_what_never_changes_becomes_zero():
    steps = STEPS.copy()
    steps[:, 3] = 0.2
    statistics = ActionStatistics.fit(steps)
    again = ActionStatistics.from_processor_config(
        {"statistics": {"own": {"action": statistics.fields()}}}, "own"
    )
    for s in (statistics, again):
        assert not s.normalise(steps)[:, 3].any()


def test_an_unknown_data_set_lists_the_known_ones():
    with pytest.raises(KeyError, match="bridge_orig"):
        ActionStatistics.from_processor_config({"statistics": {"bridge_orig/1.0.0": {}}}, "mine")


def test_bridge_as_released():
    low = [-0.028727, -0.041703, -0.026094, -0.080921, -0.092887, -0.207183, 0]
    high = [0.028310, 0.040855, 0.040162, 0.081920, 0.077929, 0.203826, 1]
    fields = {"statistics": {"b": {"action": {"q01": low, "q99": high, "mask": [True] * 6 + [False]}}}}
    statistics = ActionStatistics.from_processor_config(fields, "b")
    decoded = statistics.denormalise([1, -1, 0, 0, 0, 0, 1])
    assert decoded[:3] == pytest.approx((0.028310, -0.041703, 0.007034), abs=1e-9) and decoded[6] == 1


def test_the_error_of_equal_bins_is_what_arithmetic_says():
    rows = np.linspace(-1, 1, 4001)[:, None].repeat(6, axis=1)
    found = quantisation_error(AxisBins(8), rows, scale=[1, 1, 1, 2, 2, 2])
    assert max(found.largest[:3]) == pytest.approx(1 / 8) and found.mean[0] == pytest.approx(1 / 16, rel=1e-2)
    assert found.largest[5] == pytest.approx(2 / 8) and found.tokens_per_step == 7


def test_cells_where_the_actions_are_lose_less_than_equal_ones():
    unit = ActionStatistics.fit(STEPS, symmetric=True).normalise(STEPS) * 0.3
    adaptive = quantisation_error(GridCells(ActionGaussians.fit(unit).grid()), unit)
    uniform = quantisation_error(GridCells(uniform_grid()), unit)
    assert adaptive.vocabulary == uniform.vocabulary == 8194
    assert adaptive.rotation < 0.7 * uniform.rotation and adaptive.mean[3] < uniform.mean[3]


def test_more_cells_lose_less():
    unit = ActionStatistics.fit(STEPS, symmetric=True).normalise(STEPS)
    gaussians = ActionGaussians.fit(unit)
    errors = [
        quantisation_error(GridCells(gaussians.grid((n, 2 * n, n, n, n, n), min_sigma=0.1)), unit)
        for n in (2, 4, 8, 16)
    ]
    for coarse, fine in pairwise(errors):
        assert coarse.translation > fine.translation and coarse.rotation > fine.rotation


def test_the_report_is_a_table_and_json(tmp_path, capsys):
    np.save(tmp_path / "steps.npy", STEPS)
    assert Report(tmp_path / "steps.npy", out=tmp_path / "report.json", physical=True).run() == 0
    table = capsys.readouterr().out
    assert "| adaptive |" in table and "uniform 256" in table
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["grids"]["adaptive, no motion"]["still"] == 0.0
    assert written["grids"]["uniform polar"]["still"] > 0.0
    assert Report(tmp_path / "nothing.npy").run() == 2
    assert "nothing.npy" in capsys.readouterr().err


def test_actions_come_from_tables_and_recordings(tmp_path):
    header = "x,y,z,roll,pitch,yaw,gripper"
    np.savetxt(tmp_path / "a.csv", STEPS, delimiter=",", header=header, comments="")
    assert read_actions(tmp_path / "a.csv") == pytest.approx(STEPS)
    shard = tmp_path / "recording/shard-00000"
    shard.mkdir(parents=True)
    labels = RNG.normal(size=(5, 3, 6, 4, 7)).astype(np.float32)
    active = np.stack((RNG.integers(3, size=5), RNG.integers(6, size=5)), axis=1).astype(np.int8)
    np.save(shard / "labels.npy", labels)
    np.save(shard / "active.npy", active)
    expected = np.concatenate([labels[i, v, o] for i, (v, o) in enumerate(active)])
    assert np.array_equal(read_actions(tmp_path / "recording"), expected)
    with pytest.raises(ValueError, match="expected"):
        read_actions(shard / "active.npy")
