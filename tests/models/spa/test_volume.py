"""The volume against loops over voxels, views, heads, points and channels."""

import math

import numpy as np
import pytest
import torch
from spatial_models.spa.deformable import HEADS, POINTS, DeformableAttention
from spatial_models.spa.volume import ViewTransform, project

GRID = (4, 3, 5)  # X, Y, Z
CHANNELS, FEATURES = 16, 6


def arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {k: v.detach().double().numpy() for k, v in module.state_dict().items()}


def linear(p: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    return p[name + ".weight"] @ x + p[name + ".bias"]


def layer_norm(p: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    scaled = (x - x.mean()) / math.sqrt(x.var() + 1e-5)
    return scaled * p[name + ".weight"] + p[name + ".bias"]


def bilinear(image: np.ndarray, u: float, v: float) -> np.ndarray:
    """(C,) from (C, h, w) at fractions of its size; pixel k covers k / size to (k + 1) / size; zero outside."""
    height, width = image.shape[1:]
    x, y = u * width - 0.5, v * height - 0.5
    found = np.zeros(len(image))
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                found += image[:, row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return found


def see(point: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, size: tuple[int, int]):
    """(u / W, v / H) or None where the view does not see the point."""
    x, y, z, _ = intrinsics @ pose @ np.append(point, 1)
    if z <= 1e-5:
        return None
    u, v = x / z / size[1], y / z / size[0]
    return (u, v) if 0 < u < 1 and 0 < v < 1 else None


def attend(p: dict[str, np.ndarray], query: np.ndarray, values: list[np.ndarray], seen: list) -> np.ndarray:
    """One voxel's cross-attention: the mean over the views that see it."""
    outputs = []
    for image, position in zip(values, seen, strict=True):
        if position is None:
            continue
        offsets = linear(p, "sampling_offsets", query).reshape(HEADS, POINTS, 2)
        logits = linear(p, "attention_weights", query).reshape(HEADS, POINTS)
        width = CHANNELS // HEADS
        result = np.zeros(CHANNELS)
        for head in range(HEADS):
            share = np.exp(logits[head]) / np.exp(logits[head]).sum()
            part = image[head * width : (head + 1) * width]
            for point in range(POINTS):
                u = position[0] + offsets[head, point, 0] / image.shape[2]
                v = position[1] + offsets[head, point, 1] / image.shape[1]
                result[head * width : (head + 1) * width] += share[point] * bilinear(part, u, v)
        outputs.append(linear(p, "out_proj", result) + query)
    return np.mean(outputs, axis=0) if outputs else np.zeros(CHANNELS)


def volume_by_loops(p: dict[str, np.ndarray], maps: np.ndarray, sample, training: bool) -> np.ndarray:
    """(C, Z, Y, X)."""
    nx, ny, nz = GRID
    cells = [(k, j, i) for k in range(nz) for j in range(ny) for i in range(nx)]
    box = sample.box.double().numpy()
    name = "position_encoding.position_embedding"
    centres = [(np.array([i, j, k]) + 0.5) / np.array(GRID) for k, j, i in cells]
    hidden = np.array([linear(p, f"{name}.0", c) for c in centres])
    mean, var = (hidden.mean(0), hidden.var(0)) if training else (p[f"{name}.1.running_mean"], 0)
    var = var if training else p[f"{name}.1.running_var"]
    hidden = (hidden - mean) / np.sqrt(var + 1e-5) * p[f"{name}.1.weight"] + p[f"{name}.1.bias"]
    queries = [linear(p, f"{name}.3", np.maximum(h, 0)) for h in hidden]

    layer = "decoder.layers.0"
    cross = {k.removeprefix(f"{layer}.attentions.0."): v for k, v in p.items()}
    values = [
        np.einsum("of,fhw->ohw", cross["value_proj.weight"], m) + cross["value_proj.bias"][:, None, None]
        for m in maps
    ]
    size = sample.images.shape[-2:]
    grid = np.zeros((CHANNELS, nz + 2, ny + 2, nx + 2))  # with a border of zeros
    for cell, centre, query in zip(cells, centres, queries, strict=True):
        point = box[0] + centre * (box[1] - box[0])
        seen = [
            see(point, k.double().numpy(), e.double().numpy(), size)
            for k, e in zip(sample.intrinsics, sample.world_to_camera, strict=True)
        ]
        x = layer_norm(p, f"{layer}.norms.0", attend(cross, query, values, seen))
        grid[(slice(None), *(c + 1 for c in cell))] = x
    kernel = p[f"{layer}.attentions.1.conv_layer.0.0.weight"]
    out = np.zeros((CHANNELS, nz, ny, nx))
    for k, j, i in cells:
        around = grid[:, k : k + 3, j : j + 3, i : i + 3]
        x = (kernel * around).sum((1, 2, 3, 4)) + p[f"{layer}.attentions.1.conv_layer.0.0.bias"]
        x = layer_norm(p, f"{layer}.norms.1", np.maximum(x, 0))
        inner = np.maximum(linear(p, f"{layer}.ffns.0.layers.0.0", x), 0)
        x = x + linear(p, f"{layer}.ffns.0.layers.1", inner)
        out[:, k, j, i] = layer_norm(p, f"{layer}.norms.2", x)
    return out


@pytest.fixture
def transform() -> ViewTransform:
    """With all parameters away from where they start, so that none goes unnoticed."""
    torch.manual_seed(0)
    made = ViewTransform(GRID, CHANNELS, FEATURES)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
        bn = made.position_encoding.position_embedding[1]
        bn.running_mean.normal_()
        bn.running_var.uniform_(0.5, 2)
    return made


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_volume_is_that_of_loops(transform, make_sample, training, dtype) -> None:
    sample = make_sample(dtype=dtype)
    maps = torch.randn(2, FEATURES, 6, 8, dtype=torch.float64)
    expected = volume_by_loops(arrays(transform), maps.numpy(), sample, training)
    transform.to(dtype).train(training)
    (volume,) = transform([maps.to(dtype)], [sample])
    assert volume.shape == (CHANNELS, 5, 3, 4)
    close = 1e-9 if dtype == torch.float64 else 1e-5
    np.testing.assert_allclose(volume.detach().double(), expected, rtol=close, atol=close)


def test_visibility_is_strict_and_in_front() -> None:
    """A camera at the origin with f = 10 px and the centre at (5, 5) of a 10 x 10 image."""
    camera = torch.eye(4)
    camera[0, 0] = camera[1, 1] = 10
    camera[0, 2] = camera[1, 2] = 5
    points = torch.tensor([[0.0, 0, 1], [0, 0, -1], [0.5, 0, 1], [-0.5, 0, 1], [0.49, 0.49, 1], [0, 0, 0]])
    position, visible = project(points, camera[None], 10, 10)
    assert visible[0].tolist() == [True, False, False, False, True, False]
    torch.testing.assert_close(position[0, 0], torch.tensor([0.5, 0.5]))


def attention_inputs(dtype=torch.float64):
    g = torch.Generator().manual_seed(3)
    query = torch.randn(7, 8, dtype=dtype, generator=g)
    features = torch.randn(2, 4, 5, 6, dtype=dtype, generator=g)
    position = torch.rand(2, 7, 2, dtype=dtype, generator=g)
    visible = torch.rand(2, 7, generator=g) < 0.6
    visible[:, 0] = False
    return query, features, position, visible


@pytest.fixture
def attention() -> DeformableAttention:
    torch.manual_seed(1)
    made = DeformableAttention(8, 4).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return made


def test_unseen_voxels_are_zero(attention) -> None:
    query, features, position, visible = attention_inputs()
    out = attention(query, features, position, visible)
    assert not out[0].any() and out[visible.any(0)].abs().sum(1).min() > 0
    assert not attention(query, features, position, torch.zeros_like(visible)).any()


def test_chunks_and_recomputing_change_nothing(attention) -> None:
    query, features, position, visible = attention_inputs()

    def result():
        attention.zero_grad()
        out = attention(query, features, position, visible)
        out.square().sum().backward()
        return out.detach(), [p.grad for p in attention.parameters()]

    whole = result()
    attention.chunk, attention.recompute = 2, True
    torch.testing.assert_close(result(), whole)


def test_gradients_of_the_attention(attention) -> None:
    query, features, position, visible = attention_inputs()
    names = [name for name, _ in attention.named_parameters()]
    parameters = [p.detach().clone().requires_grad_() for p in attention.parameters()]

    def function(q, f, *values):
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(attention, given, (q, f, position, visible))

    inputs = (query.requires_grad_(), features.requires_grad_(), *parameters)
    assert torch.autograd.gradcheck(function, inputs)


def test_attention_starts_on_a_square_ring() -> None:
    bias = DeformableAttention().sampling_offsets.bias.detach().view(HEADS, POINTS, 2)
    torch.testing.assert_close(bias.abs().amax(-1), torch.arange(1.0, 6).expand(HEADS, POINTS))
    torch.testing.assert_close(bias[0, 2], torch.tensor([3.0, 0.0]))
    torch.testing.assert_close(bias[1, 2], torch.tensor([3.0, 3.0]))


def test_channels_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"channels = 20.*multiple of 8"):
        DeformableAttention(20)
