"""Correspondences are geometry, and agreement tells features that know the place from those that do not."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from spatial_models.spa.evaluation.consistency import (
    ConsistencyArgs,
    consistency,
    correspondences,
    labelled,
    sample,
    visible,
)
from spatial_models.spa.evaluation.posed_view import PosedView, pairs_within

from .conftest import BALL, CAMERA, RADIUS, NoiseEncoder, PositionEncoder, looking_at_the_origin, photograph

ARGS = ConsistencyArgs(data=None, encoders=(), pairs_per_view=3, points=60)  # type: ignore[arg-type]


def test_a_corresponding_point_lies_at_both_pixels() -> None:
    """Independent loop: intersect the two pixels' rays with the scene."""
    a, b = photograph(looking_at_the_origin(-25)), photograph(looking_at_the_origin(20, 8))
    found = correspondences(a, b, 80, np.random.default_rng(0))
    assert len(found.angle) > 30
    for first, second, point, angle in zip(found.first, found.second, found.point, found.angle, strict=True):
        sights = []
        for view, (u, v) in ((a, first), (b, second)):
            rotation, translation = view.camera_from_world.rotation, view.camera_from_world.translation
            x, y, z = rotation @ point + translation
            assert 100.0 * x / z + 47.5 == pytest.approx(u, abs=1e-3)
            assert 100.0 * y / z + 47.5 == pytest.approx(v, abs=1e-3)
            sights.append(-rotation.T @ translation - point)
        cosine = sights[0] @ sights[1] / np.linalg.norm(sights[0]) / np.linalg.norm(sights[1])
        assert angle == pytest.approx(np.rad2deg(np.arccos(cosine)), abs=1e-6)
        on_wall, on_ball = abs(point[2]), abs(np.linalg.norm(point - BALL) - RADIUS)
        assert min(on_wall, on_ball) < 1e-5


def test_what_the_ball_hides_is_not_visible() -> None:
    view = photograph(looking_at_the_origin(0))
    eye = view.camera_from_world.inverse().translation
    behind = BALL + (BALL - eye) / np.linalg.norm(BALL - eye) * 0.3
    before = BALL - (BALL - eye) / np.linalg.norm(BALL - eye) * RADIUS
    points = np.array([behind, before, [5.0, 0.0, 0.0], eye - np.array([0.0, 0.0, 1.0]), eye])
    seen, _ = visible(view, points)
    assert seen.tolist() == [False, True, False, False, False]


def test_features_are_read_between_patch_centres() -> None:
    """A map that holds its own column number is read as a straight line; beyond the last centre it stays level."""
    columns = torch.arange(6.0).expand(1, 6, 6)
    ramp = torch.cat((columns, torch.ones(1, 6, 6)))
    pixels = np.array([[u, 30.0] for u in (0.0, 7.5, 20.0, 47.0, 88.0, 95.0)])
    read = sample(ramp, pixels, 96)
    expected = np.clip((pixels[:, 0] + 0.5) / 16.0 - 0.5, 0.0, 5.0)
    assert np.allclose((read[:, 0] / read[:, 1]).numpy(), expected, atol=1e-5)


def test_features_that_know_the_place_agree_and_others_do_not(orbit: list[PosedView]) -> None:
    knowing, noise = consistency(PositionEncoder(), orbit, ARGS), consistency(NoiseEncoder(), orbit, ARGS)
    assert knowing["points"] == noise["points"] > 500
    assert knowing["same"] > 0.97 and knowing["other"] < 0.6
    assert knowing["retrieval"] > 0.95 and knowing["chance"] < 0.1
    assert noise["same"] == pytest.approx(noise["other"], abs=0.05)
    assert noise["retrieval"] < noise["chance"] + 0.1
    assert len(knowing["by_angle"]) >= 4
    assert sum(row["points"] for row in knowing["by_angle"]) == knowing["points"]


def test_the_same_seed_gives_the_same_figures(orbit: list[PosedView]) -> None:
    assert consistency(PositionEncoder(), orbit, ARGS) == consistency(PositionEncoder(), orbit, ARGS)


def test_pairs_stay_within_scene_and_angle() -> None:
    poses = [looking_at_the_origin(a) for a in (0, 10, 25, 0, 100)]
    pairs = pairs_within(["a", "a", "a", "b", "b"], poses, 20.0, 4, np.random.default_rng(0))
    assert sorted(map(tuple, pairs.tolist())) == [(0, 1), (1, 0), (1, 2), (2, 1)]


def test_the_middle_square_keeps_the_geometry() -> None:
    wide = photograph(looking_at_the_origin(10))
    image = np.pad(wide.image, ((0, 0), (10, 7), (0, 0)))
    depth = np.pad(wide.depth, ((0, 0), (10, 7)))
    camera = type(CAMERA)(113, 96, 100.0, 100.0, 57.5, 47.5)
    square = PosedView("wide", image, wide.camera_from_world, depth, camera).square()
    assert square.image.shape == (96, 96, 3) and square.camera.cx == 57.5 - 8
    found = correspondences(square, wide, 40, np.random.default_rng(0))
    assert np.allclose(found.first[:, 0] + 8 - 10, found.second[:, 0], atol=1e-3)


def test_views_that_share_nothing_are_an_error() -> None:
    apart = [photograph(looking_at_the_origin(0)), photograph(looking_at_the_origin(0))]
    empty = [PosedView("e", v.image, v.camera_from_world, np.zeros_like(v.depth), CAMERA) for v in apart]
    with pytest.raises(ValueError, match="no pair of views saw the same points"):
        consistency(PositionEncoder(), empty, ARGS)
    with pytest.raises(ValueError, match="no depth or no intrinsics"):
        correspondences(
            PosedView("n", apart[0].image, apart[0].camera_from_world), apart[1], 5, np.random.default_rng(0)
        )


@pytest.mark.parametrize("texts", [("no-label",), ("=x",), ("a=1", "a=2")])
def test_encoders_need_different_labels(texts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="LABEL=CHECKPOINT"):
        labelled(texts)


def test_command_line(rooms, tiny_checkpoint, tmp_path) -> None:
    command = [
        sys.executable,
        "-m",
        "spatial_models.spa.evaluation.consistency",
        str(rooms),
        "--split",
        "val",
    ]
    command += [
        "--encoders",
        f"one={tiny_checkpoint}",
        f"two={tiny_checkpoint}",
        "--out",
        str(tmp_path / "c"),
    ]
    subprocess.run([*command, "--points", "40"], check=True, capture_output=True)
    figures = json.loads((tmp_path / "c/consistency.json").read_text())
    assert figures["one"] == figures["two"] and figures["one"]["points"] > 100
    assert (tmp_path / "c/consistency.png").read_bytes()[:4] == b"\x89PNG"
