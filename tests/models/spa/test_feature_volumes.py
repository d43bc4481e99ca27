"""The three heads against loops over cells: every layer as published, nothing folded."""

import math

import numpy as np
import pytest
import torch
from spatial_models.spa.feature_volumes import FeatureVolumes

C, K = 16, 5
SHAPE = (3, 4, 2)

erf = np.vectorize(math.erf)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / math.sqrt(2))) / 2


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, 100 * x) / 100


def convolve(p: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    kernel = p[name + ".weight"]
    bias = p.get(name + ".bias", np.zeros(len(kernel)))
    border = kernel.shape[-1] // 2
    padded = np.pad(x, ((0, 0), *[(border, border)] * 3))
    out = np.zeros((len(kernel), *x.shape[1:]))
    for z, y, x_ in np.ndindex(*x.shape[1:]):
        n = kernel.shape[-1]
        out[:, z, y, x_] = (kernel * padded[:, z : z + n, y : y + n, x_ : x_ + n]).sum((1, 2, 3, 4)) + bias
    return out


def group_norm(p: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    out = np.zeros_like(x)
    for start in range(0, len(x), 16):
        part = x[start : start + 16]
        out[start : start + 16] = (part - part.mean()) / math.sqrt(part.var() + 1e-5)
    return out * p[name + ".weight"][:, None, None, None] + p[name + ".bias"][:, None, None, None]


def by_loops(p: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signed distance, 27 colour coefficients, semantics of every cell."""
    s = "shared_conv3d"
    y = gelu(group_norm(p, f"{s}.bn1", convolve(p, f"{s}.conv1", x)))
    y = group_norm(p, f"{s}.bn2", convolve(p, f"{s}.conv2", y))
    skip = group_norm(p, f"{s}.downsample_layer.1", convolve(p, f"{s}.downsample_layer.0", x))
    shared = gelu(y + skip)

    def head(name, value, activation):
        hidden = activation(group_norm(p, f"{name}.1", convolve(p, f"{name}.0", value)))
        return convolve(p, f"{name}.3", hidden)

    sdf = head("sdf_conv3d", shared, softplus)
    both = np.concatenate((shared, sdf[1:]))
    return sdf[0], head("rgb_conv3d", both, gelu), head("semantic_conv3d", both, gelu)


@pytest.mark.parametrize("channels", [16, 32])
def test_volumes_are_those_of_loops(channels) -> None:
    torch.manual_seed(0)
    net = FeatureVolumes(channels, K).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    x = torch.randn(channels, *SHAPE, dtype=torch.float64)
    sdf, coefficients, semantic = by_loops({k: v.numpy() for k, v in net.state_dict().items()}, x.numpy())
    colour = coefficients.reshape(3, 9, *SHAPE).sum(1)
    for dtype, close in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        with torch.no_grad():
            (volumes,) = net.to(dtype)(x[None].to(dtype))
            ours = (volumes.semantic @ volumes.semantic_weight.T + volumes.semantic_bias).movedim(-1, 0)
        np.testing.assert_allclose(volumes.sdf, sdf, rtol=close, atol=close)
        np.testing.assert_allclose(volumes.colour, colour, rtol=close, atol=10 * close)
        np.testing.assert_allclose(ours, semantic, rtol=close, atol=10 * close)


def test_without_a_teacher_there_is_no_semantic_head() -> None:
    net = FeatureVolumes(16, 0)
    assert not [name for name in net.state_dict() if name.startswith("semantic")]
    assert [v.semantic for v in net(torch.randn(2, 16, *SHAPE))] == [None, None]


def test_channels_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"channels = 24.*multiple of 16"):
        FeatureVolumes(24)
