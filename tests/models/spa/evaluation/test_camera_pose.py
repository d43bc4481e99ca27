"""The pose probe learns from features that hold the pose, not from others; errors and thresholds mean what they say."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from spatial_models.spa.evaluation.camera_pose import (
    CameraPoseArgs,
    Gallery,
    evaluate,
    galleries,
    split_scenes,
)
from spatial_models.spa.evaluation.pose_probe import (
    ProbeSettings,
    fit_head,
    pose_errors,
    relative_pose,
    summary,
)
from spatial_models.spa.evaluation.posed_view import rotation_angle
from spatial_vla.geometry import SE3, rotvec_to_matrix

from .conftest import PositionEncoder, looking_at_the_origin

ARGS = CameraPoseArgs("", None, probe=ProbeSettings(epochs=60, batch=64))  # type: ignore[arg-type]


def gallery(scenes: int, first: int, knows: bool) -> Gallery:
    rng = np.random.default_rng(first)
    names, poses = [], []
    for scene in range(first, first + scenes):
        for _ in range(8):
            names.append(str(scene))
            poses.append(looking_at_the_origin(*rng.uniform(-40, 40, 2), rng.uniform(1.0, 1.6)))
    told = np.stack([np.concatenate((p.rotation.ravel(), p.translation)) for p in poses])
    features = told if knows else rng.normal(size=(len(poses), 12))
    return Gallery(torch.from_numpy(features).float(), names, poses)


def test_the_probe_learns_what_is_in_the_features() -> None:
    figures = evaluate(gallery(30, 0, True), {"test": gallery(8, 100, True)}, ARGS)
    assert figures["test"]["rotation_median_deg"] < 0.3 * figures["test_constant"]["rotation_median_deg"]
    assert figures["test"]["translation_median_m"] < 0.3 * figures["test_constant"]["translation_median_m"]
    assert figures["test"]["rotation_within_15deg"] > 0.9


def test_the_probe_learns_nothing_from_noise() -> None:
    figures = evaluate(gallery(30, 0, False), {"test": gallery(8, 100, False)}, ARGS)
    assert figures["test"]["rotation_median_deg"] > 0.8 * figures["test_constant"]["rotation_median_deg"]


def test_the_pose_of_a_pair_leads_from_the_first_camera_to_the_second() -> None:
    a, b = looking_at_the_origin(-60, 20), looking_at_the_origin(55, -10)
    w, x, y, z, *t = relative_pose(a, b)
    assert w >= 0
    point = np.array([0.3, -0.2, 0.1])
    q = SE3.from_quaternion(t, (x, y, z, w))
    assert np.allclose(q.apply(a.apply(point)), b.apply(point))
    assert np.allclose(q.rotation, b.rotation @ a.rotation.T)


def test_errors_are_angles_and_metres() -> None:
    true = relative_pose(SE3.identity(), SE3.identity())
    for degrees, shift in ((0.0, 0.0), (10.0, 0.2), (90.0, 1.0), (179.0, 3.0)):
        turned = SE3(rotvec_to_matrix([0.0, np.deg2rad(degrees), 0.0]), np.array([0.0, shift, 0.0]))
        predicted = torch.from_numpy(relative_pose(SE3.identity(), turned))[None]
        predicted[:, :4] *= -2.5  # neither sign nor length of a quaternion matters
        rotation, translation = pose_errors(predicted, torch.from_numpy(true)[None])
        assert rotation[0] == pytest.approx(degrees, abs=1e-4) and translation[0] == pytest.approx(shift)
        assert rotation_angle(SE3.identity(), turned) == pytest.approx(degrees, abs=1e-4)


def test_accuracies_are_shares_within_thresholds() -> None:
    true = torch.tensor([[1.0, 0, 0, 0, 0, 0, 0]]).repeat(4, 1)
    predicted = true.clone()
    for row, (degrees, shift) in enumerate(((1, 0.01), (10, 0.01), (10, 0.2), (60, 0.5))):
        half = np.deg2rad(degrees) / 2
        predicted[row, :2] = torch.tensor([np.cos(half), np.sin(half)])
        predicted[row, 4] = shift
    figures = summary(predicted, true)
    within = [figures[f"rotation_within_{d}deg"] for d in (5, 15, 30)]
    assert within == [0.25, 0.75, 0.75]
    assert [figures[f"translation_within_{m}m"] for m in (0.05, 0.1, 0.25)] == [0.5, 0.5, 0.75]
    assert [figures[k] for k in figures if k.startswith("pose_within")] == [0.25, 0.5, 0.75]
    assert figures["rotation_median_deg"] == pytest.approx(10.0, abs=1e-3)


def test_the_same_seed_gives_the_same_head() -> None:
    x, y = torch.randn(40, 6), torch.randn(40, 7)
    heads = [fit_head(x, y, ProbeSettings(epochs=3, batch=16)) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(heads[0].parameters(), heads[1].parameters(), strict=True))


def test_splits_share_no_scene() -> None:
    names = [f"s{i % 10}" for i in range(50)]
    kept = split_scenes(names, 0.2, 0)
    assert len(kept) == 2 and kept == split_scenes(reversed(names), 0.2, 0) != split_scenes(names, 0.2, 3)
    with pytest.raises(ValueError, match="training and test need one each"):
        split_scenes(["one", "one"], 0.2, 0)


def test_a_folder_is_split_as_it_says_or_by_share(rooms) -> None:
    train, tests = galleries(PositionEncoder(), CameraPoseArgs("", rooms))
    assert set(train.scenes) == {"scene-0", "scene-1", "scene-2"}
    assert set(tests["test"].scenes) == {"scene-3", "scene-4"}
    train, tests = galleries(PositionEncoder(), CameraPoseArgs("", rooms, test_share=0.2))
    assert len(set(train.scenes)) == 4 and not set(train.scenes) & set(tests["test"].scenes)


def test_too_little_to_pair_is_an_error() -> None:
    with pytest.raises(ValueError, match="make no pair turned by 5 degrees"):
        gallery(1, 0, True).pairs(5.0, 4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="two or more scenes"):
        fit_head(torch.zeros(1, 4), torch.zeros(1, 7), ProbeSettings())


@pytest.mark.parametrize("summary_kind", ["cls", "grid"])
def test_command_line(rooms, tiny_checkpoint, tmp_path, summary_kind: str) -> None:
    out = tmp_path / "pose.json"
    command = [
        sys.executable,
        "-m",
        "spatial_models.spa.evaluation.camera_pose",
        str(tiny_checkpoint),
        str(rooms),
    ]
    command += ["--out", str(out), "--probe.epochs", "2", "--summary", summary_kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures = json.loads(out.read_text())
    assert figures["train_pairs"] == 36 and figures["test_pairs"] == 24
    assert figures["settings"]["probe"]["epochs"] == 2
    assert "rotation_median_deg" in done.stdout
