"""Interpolation against loops, against torch's own, and its derivatives by finite differences."""

import itertools
import math

import numpy as np
import pytest
import torch
from spatial_models.spa.trilinear import cell_coordinates, corners, interpolate, interpolate_with_gradient
from torch.nn import functional as F

SHAPE = (3, 4, 5)


def by_loops(volume: np.ndarray, x: float, y: float, z: float) -> tuple[float, np.ndarray]:
    """Value and gradient (xyz) at a point given in cells; cells outside count as zero."""
    value, gradient = 0.0, np.zeros(3)
    low = [math.floor(c) for c in (x, y, z)]
    for step in itertools.product((0, 1), repeat=3):
        cell = [b + s for b, s in zip(low, step, strict=True)]
        if not all(0 <= c < n for c, n in zip(cell, reversed(volume.shape), strict=True)):
            continue
        v = volume[cell[2], cell[1], cell[0]]
        part = [1 - abs(c - k) for c, k in zip((x, y, z), cell, strict=True)]
        value += v * part[0] * part[1] * part[2]
        for axis in range(3):
            others = math.prod(part[a] for a in range(3) if a != axis)
            gradient[axis] += v * (1 if step[axis] else -1) * others
    return value, gradient


@pytest.fixture
def volume() -> torch.Tensor:
    return torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def points(n: int, beyond: float = 0.0) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    size = torch.tensor([4.0, 3.0, 2.0], dtype=torch.float64)
    return torch.rand(n, 3, dtype=torch.float64, generator=g) * (size + 2 * beyond) - beyond


def test_value_and_gradient_are_those_of_loops_inside_and_outside(volume) -> None:
    at = points(200, beyond=1.5)
    value, gradient = interpolate_with_gradient(volume, corners(at, SHAPE))
    for i, point in enumerate(at.tolist()):
        expected, slope = by_loops(volume.numpy(), *point)
        assert value[i].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
        np.testing.assert_allclose(gradient[i].numpy(), slope, rtol=1e-9, atol=1e-12)


def test_value_is_that_of_grid_sample_with_aligned_corners(volume) -> None:
    box = torch.tensor([[-1.0, 0.0, 2.0], [1.0, 3.0, 2.5]], dtype=torch.float64)
    at = box[0] + (torch.rand(50, 3, dtype=torch.float64) * 1.4 - 0.2) * (box[1] - box[0])
    ours = interpolate(volume[None], corners(cell_coordinates(at, box, SHAPE), SHAPE))[0]
    unit = 2 * (at - box[0]) / (box[1] - box[0]) - 1
    torchs = F.grid_sample(volume[None, None], unit.view(1, 1, 1, -1, 3), align_corners=True)
    torch.testing.assert_close(ours, torchs.flatten(), rtol=1e-9, atol=1e-12)


def test_a_linear_field_is_met_exactly() -> None:
    z, y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in SHAPE), indexing="ij")
    field = torch.from_numpy(2 * x - 3 * y + 0.5 * z + 1)
    at = points(20)
    value, gradient = interpolate_with_gradient(field, corners(at, SHAPE))
    torch.testing.assert_close(value, at @ torch.tensor([2, -3, 0.5], dtype=torch.float64) + 1)
    torch.testing.assert_close(gradient, torch.tensor([2, -3, 0.5], dtype=torch.float64).expand(20, 3))


def test_first_and_second_derivatives(volume) -> None:
    at = points(6).requires_grad_()
    volume.requires_grad_()

    def value(v, p):
        return interpolate(torch.stack((v, v * v)), corners(p, SHAPE))

    def both(v, p):
        return interpolate_with_gradient(v, corners(p, SHAPE))

    for function in (value, both):
        assert torch.autograd.gradcheck(function, (volume, at))
        assert torch.autograd.gradgradcheck(function, (volume, at))


def test_the_gradient_is_the_one_automatic_differentiation_gives(volume) -> None:
    at = points(30).requires_grad_()
    (automatic,) = torch.autograd.grad(interpolate(volume[None], corners(at, SHAPE)).sum(), at)
    torch.testing.assert_close(interpolate_with_gradient(volume, corners(at, SHAPE))[1], automatic)
