"""Ego3D: against the geometry without torch, against loops in double precision, and the released roundings."""

import math

import numpy as np
import pytest
import torch
from spatial_models.spatialvla.ego3d import Ego3DPositionEncoding, back_project, fourier_features
from spatial_vla.geometry import PinholeCamera
from spatial_vla.geometry.ego3d import bfloat16, patch_points
from torch.nn import functional

K = np.array([[218.2558, 0, 111.82535], [0, 291.0077, 111.78767], [0, 0, 1]])
GENERATOR = torch.Generator().manual_seed(0)
DEPTH = torch.rand(3, 224, 224, generator=GENERATOR) * 3 + 0.2


def test_torch_and_numpy_agree_without_roundings():
    found = back_project(DEPTH, torch.from_numpy(K).float())
    camera = PinholeCamera.from_K(224, 224, K)
    for points, depth in zip(found, DEPTH, strict=True):
        assert points.numpy() == pytest.approx(patch_points(depth.numpy(), camera).points, abs=2e-6)


def test_every_image_has_its_own_camera():
    cameras = torch.from_numpy(np.stack((K, K * [[2.0], [1.0], [1.0]], K))).float()
    found = back_project(DEPTH, cameras)
    assert torch.allclose(found[1], back_project(DEPTH[1:2], cameras[1])[0])
    assert not torch.allclose(found[1], back_project(DEPTH[1:2], cameras[0])[0])


def released_points(depth, intrinsics):
    """The published arithmetic, operation by operation: what is bfloat16 in, is pooled and sampled in bfloat16."""
    n = 32
    at = (torch.arange(n) * 7 + 3.5).to(intrinsics.dtype)
    v, u = torch.meshgrid(at, at, indexing="ij")
    pixels = torch.stack((u, v, torch.ones_like(u))).reshape(3, -1)
    pooled = functional.adaptive_avg_pool2d(depth[:, None], (n, n)).reshape(len(depth), 1, -1)
    camera = (torch.linalg.inv(intrinsics.float()) @ pixels.float()) * pooled
    points = torch.empty(len(depth), 256, 4, 3, dtype=camera.dtype)
    image = camera.reshape(-1, 3, n, n)
    for patch in range(256):
        row, column = patch // 16 * 2, patch % 16 * 2
        for cell in range(4):
            points[:, patch, cell] = image[:, :, row + cell // 2, column + cell % 2]
    return points


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compat_has_the_published_bits(dtype):
    depth, intrinsics = DEPTH.to(dtype), torch.from_numpy(K).to(dtype)
    assert torch.equal(back_project(depth, intrinsics, compat=True), released_points(depth, intrinsics))


def test_compat_without_torch_has_the_same_bits():
    """In bfloat16: both in single precision after the roundings."""
    torch_points = back_project(DEPTH.bfloat16(), torch.from_numpy(K).bfloat16(), compat=True)
    camera = PinholeCamera.from_K(224, 224, K)
    for points, depth in zip(torch_points, DEPTH, strict=True):
        found = patch_points(depth.numpy(), camera, compat=True).points
        assert np.array_equal(found, points.numpy())


def test_bfloat16_rounds_as_torch_does():
    values = torch.randn(100_000, generator=GENERATOR) * 100
    assert np.array_equal(bfloat16(values.numpy()), values.bfloat16().float().numpy())


def scalar_encoding(patch):
    """Twelve numbers [m] to 204, by loops in double precision."""
    out = []
    for point in patch:
        for value, middle in zip(point, (0.0, 0.0, 2.0), strict=True):
            q = (value - middle) / 2
            out += [q, *(math.sin(2**k * q) for k in range(8)), *(math.cos(2**k * q) for k in range(8))]
    return out


def test_the_encoding_agrees_with_loops():
    points = back_project(DEPTH[:1], torch.from_numpy(K).float())
    found = Ego3DPositionEncoding(16).encode(points)
    assert found.shape == (1, 256, 204)
    for patch in (0, 17, 255):
        expected = scalar_encoding(points[0, patch].double().tolist())
        assert found[0, patch].tolist() == pytest.approx(expected, abs=3e-5)


def test_the_embedding_agrees_with_arithmetic_in_double_precision():
    torch.manual_seed(1)
    module = Ego3DPositionEncoding(16)
    points = back_project(DEPTH[:1], torch.from_numpy(K).float())[:, :5]
    weights = {name: p.detach().double().numpy() for name, p in module.named_parameters()}
    w = {name.removeprefix("position_embedding_head."): value for name, value in weights.items()}
    for patch in range(5):
        x = np.array(scalar_encoding(points[0, patch].double().tolist())) @ w["0.weight"].T + w["0.bias"]
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w["1.weight"] + w["1.bias"]
        x = np.maximum(x, 0) @ w["3.weight"].T + w["3.bias"]
        # Points may be metres away in single precision, times 128, before a norm that divides by little.
        assert module(points)[0, patch].tolist() == pytest.approx(x.tolist(), abs=2e-4)


def test_names_shapes_and_size_are_the_released_ones():
    with torch.device("meta"):
        module = Ego3DPositionEncoding(1152)
    shapes = {name: tuple(p.shape) for name, p in module.state_dict().items()}
    assert shapes == {
        "position_embedding_head.0.weight": (1152, 204),
        "position_embedding_head.0.bias": (1152,),
        "position_embedding_head.1.weight": (1152,),
        "position_embedding_head.1.bias": (1152,),
        "position_embedding_head.3.weight": (1152, 1152),
        "position_embedding_head.3.bias": (1152,),
    }
    assert sum(p.numel() for p in module.parameters()) == 1_566_720 and not list(module.buffers())


def test_loading_without_allocation_leaves_nothing_undefined():
    module = Ego3DPositionEncoding(16)
    with torch.device("meta"):
        loaded = Ego3DPositionEncoding(16)
    loaded.load_state_dict(module.state_dict(), assign=True)
    points = back_project(DEPTH, torch.from_numpy(K).float())
    assert torch.equal(loaded(points), module(points))


def test_compat_rounds_before_it_multiplies():
    points = torch.rand(2, 256, 4, 3, generator=GENERATOR) * 8 - 4
    exact, rounded = (
        Ego3DPositionEncoding(16, compat=c).bfloat16().encode(points).float() for c in (False, True)
    )
    q = ((points - torch.tensor([0.0, 0.0, 2.0])) / 2).flatten(2).bfloat16()
    octaves = torch.tensor([2.0**k for k in range(8)]).bfloat16()
    angles = q[..., None] * octaves
    published = torch.cat((q[..., None], torch.sin(angles), torch.cos(angles)), dim=-1).flatten(2)
    assert torch.equal(rounded, published.float())
    difference = (exact - rounded).abs().unflatten(-1, (12, 17))
    # At frequencies 1 and 128.
    assert difference[..., 1].max() < 0.01 and difference[..., 8].max() > 0.3
    assert difference[..., 8].mean() > 0.03


def test_in_single_precision_compat_changes_nothing():
    points = back_project(DEPTH, torch.from_numpy(K).float())
    plain, compat = Ego3DPositionEncoding(16), Ego3DPositionEncoding(16, compat=True)
    compat.load_state_dict(plain.state_dict())
    assert torch.equal(plain(points), compat(points))


def test_a_workspace_in_the_base_frame_has_its_own_limits():
    module = Ego3DPositionEncoding(16, centre=(0.5, 0.0, 0.1), extent=0.5)
    corner = torch.tensor([1.0, -0.5, 0.6]).expand(1, 1, 4, 3)
    assert module.encode(corner)[0, 0].unflatten(-1, (12, 17))[:3, 0].tolist() == pytest.approx([1, -1, 1])


def test_wrong_shapes_are_errors():
    with pytest.raises(ValueError, match="expected"):
        back_project(DEPTH[:, None], torch.eye(3))
    with pytest.raises(ValueError, match="divide"):
        back_project(DEPTH, torch.eye(3), side=4)
    with pytest.raises(ValueError, match="patches, 4, 3"):
        Ego3DPositionEncoding(16)(torch.zeros(1, 256, 12))
    assert fourier_features(torch.zeros(2, 3), 4).shape == (2, 27)
