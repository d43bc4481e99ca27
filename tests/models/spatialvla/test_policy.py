"""Requests to chunks: what is decoded, in which units, with which depth and intrinsics."""

import json
from math import cos, sin

import numpy as np
import pytest
import torch
from spatial_models.spatialvla.checkpoint import save_released
from spatial_models.spatialvla.policy import SpatialVlaPolicy
from spatial_models.spatialvla.positions import MissingDepth, Request
from spatial_models.spatialvla.prompt import image_tensor
from spatial_vla.geometry import PinholeCamera
from spatial_vla.geometry.ego3d import patch_points

from .oracle import Oracle

EDGES = {
    "translation": {
        "theta_bins": [0.0, 3.0],
        "phi_bins": [-3.0, -1.0, 0.5, 3.0],
        "r_bins": [0.0, 0.4, 1.6],
    },
    "rotation": {
        "roll_bins": [-1.0, 0.1, 1.0],
        "pitch_bins": [-1.0, 0.0, 1.0],
        "yaw_bins": [-1.0, -0.2, 1.0],
    },
}
LOW = [-0.02, -0.04, -0.03, -0.1, -0.2, -0.3, 0.0]
HIGH = [0.04, 0.05, 0.06, 0.3, 0.2, 0.4, 1.0]
RELEASED_K = [[60.0, 0.0, 31.0], [0.0, 62.0, 23.5], [0.0, 0.0, 1.0]]


def rng_image(seed, height=48, width=64):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rng_depth(seed, height=48, width=64):
    return np.random.default_rng(seed).uniform(0.4, 2.5, (height, width)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(make_model, make_tokenizer, tmp_path_factory):
    """A whole tiny checkpoint, depth network and all."""
    path = tmp_path_factory.mktemp("policy")
    save_released(make_model(depth=True), path)
    make_tokenizer(path)
    fields = {
        "action_chunk_size": 2,
        "bin_policy": EDGES,
        "intrinsic_config": {"default": {"width": 64, "height": 48, "intrinsic": RELEASED_K}},
        "statistics": {"lab/1.0.0": {"action": {"q01": LOW, "q99": HIGH, "mask": [True] * 6 + [False]}}},
    }
    (path / "processor_config.json").write_text(json.dumps(fields))
    return path


@pytest.fixture(scope="module")
def policy(folder):
    return SpatialVlaPolicy.from_folder(folder, "lab/1.0.0", dt=0.1, frame="base")


def physical(tokens):
    """A step's tokens to x, y, z [m], a rotation matrix and the gripper, by hand."""
    t, rotation, gripper = tokens
    (theta,) = [(0.0 + 3.0) / 2]
    phi = [-2.0, -0.25, 1.75][t // 2]
    r = [0.2, 1.0][t % 2]
    unit = [r * sin(theta) * cos(phi), r * sin(theta) * sin(phi), r * cos(theta)]
    unit = [min(1.0, max(-1.0, v)) for v in unit]
    unit += [[-0.45, 0.55][rotation // 4], [-0.5, 0.5][rotation // 2 % 2], [-0.6, 0.4][rotation % 2]]
    real = [0.5 * (u + 1) * (high - low) + low for u, low, high in zip(unit, LOW, HIGH, strict=False)]
    a, b, c = real[3:]
    about_x = np.array([[1, 0, 0], [0, cos(a), -sin(a)], [0, sin(a), cos(a)]])
    about_y = np.array([[cos(b), 0, sin(b)], [0, 1, 0], [-sin(b), 0, cos(b)]])
    about_z = np.array([[cos(c), -sin(c), 0], [sin(c), cos(c), 0], [0, 0, 1]])
    return real[:3], about_z @ about_y @ about_x, float(gripper)


def rotation_matrix(w):
    angle = np.linalg.norm(w)
    x, y, z = w / angle
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + sin(angle) * k + (1 - cos(angle)) * k @ k


def test_a_chunk_is_what_the_oracle_says_in_metres_and_radians(policy, cells):
    image, depth = rng_image(1), rng_depth(2)
    K = [[55.0, 0.0, 30.0], [0.0, 50.0, 22.0], [0.0, 0.0, 1.0]]
    chunk = policy(image, depth, K, "Lift the cup", stamp_ns=7)
    request = Request(image, "Lift the cup", depth, K)
    sequences = policy.prompts(["lift the cup"])
    pixels = image_tensor(image, 28)
    points = policy.positions([request], pixels[None])[0]
    tokens, chances = Oracle(policy.model).constrained(
        sequences.ids[0].tolist(), pixels, points, cells, steps=2
    )
    assert chunk.token_ids.flatten().tolist() == tokens
    np.testing.assert_allclose(chunk.log_probabilities.flatten(), chances, atol=1e-3)
    assert (chunk.steps, chunk.dt, chunk.frame, chunk.stamp_ns) == (2, 0.1, "base", 7)
    for step in range(2):
        position, rotation, gripper = physical(tokens[3 * step : 3 * step + 3])
        np.testing.assert_allclose(chunk.deltas[step, :3], position, atol=1e-9)
        np.testing.assert_allclose(rotation_matrix(chunk.deltas[step, 3:]), rotation, atol=1e-9)
        assert chunk.gripper[step] == gripper


def test_points_are_those_of_the_camera_in_use(policy):
    depth = rng_depth(3)
    depth[:9, :20] = 0.0
    K = [[55.0, 0.0, 30.0], [0.0, 50.0, 22.0], [0.0, 0.0, 1.0]]
    request = Request(rng_image(3), "go", depth, K)
    found = policy.positions([request], torch.zeros(1, 3, 28, 28))[0]
    wanted = patch_points(depth, PinholeCamera.from_K(64, 48, K), size=28).points
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("compat", [False, True])
def test_without_intrinsics_points_are_as_in_training(compat, folder):
    """Middles of cells 7 i + 3.5 with the released matrix scaled by the sides' ratios."""
    policy = SpatialVlaPolicy.from_folder(folder, "lab/1.0.0", compat=compat)
    points = policy.positions(
        [Request(rng_image(0), "go", np.full((48, 64), 2.0))], torch.zeros(1, 3, 28, 28)
    )
    fx, fy, cx, cy = 60 * 28 / 64, 62 * 28 / 48, 31 * 28 / 64, 23.5 * 28 / 48
    for patch in range(4):
        for cell in range(4):
            u = 14 * (patch % 2) + 7 * (cell % 2) + 3.5
            v = 14 * (patch // 2) + 7 * (cell // 2) + 3.5
            wanted = [(u - cx) / fx * 2, (v - cy) / fy * 2, 2.0]
            np.testing.assert_allclose(points[0, patch, cell], wanted, atol=1e-5)


def test_a_batch_is_answered_as_one_by_one(policy):
    K = [[55.0, 0.0, 30.0], [0.0, 50.0, 22.0], [0.0, 0.0, 1.0]]
    requests = [
        Request(rng_image(1), "open the drawer", rng_depth(1), K, stamp_ns=1),
        Request(rng_image(2, 30, 30), "stop", stamp_ns=2),
        Request(rng_image(3), "put the cup on the plate", None, K, stamp_ns=3),
    ]
    together = policy.answer(requests)
    for request, chunk in zip(requests, together, strict=True):
        alone = policy.answer([request])[0]
        assert chunk.stamp_ns == request.stamp_ns
        assert np.array_equal(chunk.token_ids, alone.token_ids)
        np.testing.assert_allclose(chunk.deltas, alone.deltas)


def test_what_is_wrong_with_a_request_is_said(policy, folder):
    blind = SpatialVlaPolicy.from_folder(folder, "lab/1.0.0", depth_network=False)
    with pytest.raises(MissingDepth, match="request 1 has no depth"):
        blind.answer([Request(rng_image(0), "go", rng_depth(0)), Request(rng_image(0), "go")])
    with pytest.raises(ValueError, match=r"request 0 has shape \(24, 32\), its image \(48, 64\)"):
        policy.answer([Request(rng_image(0), "go", np.ones((24, 32)))])
    with pytest.raises(KeyError, match=r"lab/1\.0\.0"):
        SpatialVlaPolicy.from_folder(folder, "elsewhere/1.0.0")
    with pytest.raises(ValueError, match="choose one of the two"):
        SpatialVlaPolicy.from_folder(folder, "lab/1.0.0", bits=8, compiled=True)


def test_bfloat16_and_quantised_policies_answer(folder):
    pytest.importorskip("bitsandbytes")
    policy = SpatialVlaPolicy.from_folder(folder, "lab/1.0.0", dtype=torch.bfloat16, bits=8, compat=True)
    chunk = policy(rng_image(1), None, None, "lift the cup")
    assert chunk.deltas.shape == (2, 6) and np.isfinite(chunk.deltas).all()
    assert policy.model.dtype == torch.bfloat16
