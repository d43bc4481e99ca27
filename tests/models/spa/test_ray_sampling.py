"""Samples on a ray against loops over single numbers."""

import math
import random

import numpy as np
import pytest
import torch
from spatial_models.spa.camera_rays import box_span, image_rays
from spatial_models.spa.ray_sampling import (
    interval_alpha,
    inverse_transform_edges,
    merged_edges,
    rendering_weights,
    uniform_edges,
    upsampling_weights,
)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def alpha_by_hand(f: float, slope: float, length: float, sharpness: float) -> float:
    a, b = sigmoid((f - slope * length / 2) * sharpness), sigmoid((f + slope * length / 2) * sharpness)
    return min(max((a - b + 1e-5) / (a + 1e-5), 0.0), 1.0)


def weights_by_hand(alphas: list[float]) -> list[float]:
    weights, through = [], 1.0
    for alpha in alphas:
        weights.append(alpha * through)
        through *= 1 - alpha + 1e-7
    return weights


def uniform_by_hand(count: int, r: float | None) -> list[float]:
    edges = [i / count for i in range(count + 1)]
    if r is None:
        return edges
    moved = []
    for i, edge in enumerate(edges):
        lower = edge if i == 0 else (edges[i - 1] + edge) / 2
        upper = edge if i == count else (edge + edges[i + 1]) / 2
        moved.append(lower + (upper - lower) * r)
    return moved


def upsampling_by_hand(f: list[float], length: list[float]) -> list[float]:
    slopes = [(f[i + 1] - f[i]) / (length[i] + 1e-5) for i in range(len(f) - 1)]
    alphas = []
    for i in range(len(slopes)):
        slope = min(slopes[i], slopes[i - 1] if i else 0.0)
        slope = min(max(slope, -1000.0), 0.0)
        alphas.append(alpha_by_hand((f[i] + f[i + 1]) / 2, slope, length[i], 64.0))
    return [*weights_by_hand(alphas), 0.0]


def inverse_by_hand(edges: list[float], weights: list[float], count: int, r: float | None) -> list[float]:
    total = sum(weights)
    missing = max(1e-5 - total, 0.0)
    cumulative = [0.0]
    for w in weights:
        cumulative.append(min(cumulative[-1] + (w + missing / len(weights)) / (total + missing), 1.0))
    new = []
    for k in range(count + 1):
        u = k / (count + 1) + (0.5 if r is None else r) / (count + 1)
        above = sum(c <= u for c in cumulative)  # right-sided search
        below, above = above - 1, min(above, len(edges) - 1)
        span = cumulative[above] - cumulative[below]
        t = (u - cumulative[below]) / (span if span >= 1e-5 else 1.0)
        new.append(edges[below] + min(max(t, 0.0), 1.0) * (edges[above] - edges[below]))
    return new


def merge_by_hand(a: list[float], b: list[float]) -> list[float]:
    return [*sorted(a[:-1] + b[:-1]), max(a[-1], b[-1])]


def a_wall(count: int, seed: int) -> tuple[list[float], list[float]]:
    """Signed distances that fall through zero, with noise, and interval lengths."""
    draw = random.Random(seed)
    return [0.8 - 1.5 * i / count + draw.gauss(0, 0.05) for i in range(count)], [
        draw.uniform(0.01, 0.05) for _ in range(count)
    ]


@pytest.mark.parametrize("r", [None, 0.0, 0.37, 0.999])
def test_uniform_edges(r) -> None:
    like = torch.zeros(1, dtype=torch.float64)
    jitter = None if r is None else torch.full((2,), r, dtype=torch.float64)
    np.testing.assert_allclose(uniform_edges(2, 7, jitter, like)[1], uniform_by_hand(7, r), rtol=1e-12)


@pytest.mark.parametrize("r", [None, 0.61])
@pytest.mark.parametrize("seed", range(5))
def test_refinement(r, seed) -> None:
    """Weights, inverse transform and merge, each and in a chain."""
    f, length = a_wall(12, seed)
    edges = uniform_by_hand(12, r)
    expected_weights = upsampling_by_hand(f, length)
    expected_new = inverse_by_hand(edges, expected_weights, 5, r)

    def row(values):
        return torch.tensor([values], dtype=torch.float64)

    weights = upsampling_weights(row(f), row(length))
    np.testing.assert_allclose(weights[0], expected_weights, rtol=1e-9, atol=1e-14)
    jitter = None if r is None else torch.tensor([r], dtype=torch.float64)
    new = inverse_transform_edges(row(edges), weights, 5, jitter)
    np.testing.assert_allclose(new[0], expected_new, rtol=1e-9)
    merged = merged_edges(row(edges), new)
    np.testing.assert_allclose(merged[0], merge_by_hand(edges, expected_new), rtol=1e-9)


def test_an_empty_ray_is_refined_evenly() -> None:
    edges = torch.linspace(0, 1, 5, dtype=torch.float64)[None]
    new = inverse_transform_edges(edges, torch.zeros(1, 4, dtype=torch.float64), 3, None)
    np.testing.assert_allclose(new[0], inverse_by_hand(edges[0].tolist(), [0.0] * 4, 3, None), rtol=1e-9)
    np.testing.assert_allclose(new[0], [0.125, 0.375, 0.625, 0.875], rtol=1e-6)


def test_new_samples_lie_at_the_surface() -> None:
    """A plane at 60 % of the way: nearly all of the 24 new intervals are near it."""
    edges = torch.linspace(0, 1, 73)[None]
    middle = (edges[:, 1:] + edges[:, :-1]) / 2
    weights = upsampling_weights(0.6 - middle, edges.diff())
    new = inverse_transform_edges(edges, weights, 24, None)
    assert ((new - 0.6).abs() < 0.1).float().mean() > 0.9
    assert merged_edges(edges, new).shape == (1, 97)
    assert (merged_edges(edges, new).diff() >= 0).all()


def test_alpha_and_weights() -> None:
    draw = random.Random(0)
    cases = [
        (draw.gauss(0, 0.3), -abs(draw.gauss(0, 1)), draw.uniform(0, 0.2), draw.uniform(1, 80))
        for _ in range(40)
    ]
    f, slope, length, sharp = torch.tensor(cases, dtype=torch.float64).T
    alpha = interval_alpha(f, slope, length, sharp)
    expected = [alpha_by_hand(*case) for case in cases]
    np.testing.assert_allclose(alpha, expected, rtol=1e-9)
    weights = rendering_weights(alpha[None])
    np.testing.assert_allclose(weights[0], weights_by_hand(expected), rtol=1e-9)
    assert 0 < weights.sum() < 1 + 1e-5


def test_a_ray_meets_a_box_where_geometry_says() -> None:
    box = torch.tensor([[-1.0, -1.0, 1.0], [1.0, 1.0, 3.0]])
    origin = torch.tensor([[0.0, 0, 0], [0, 0, 2], [5, 0, 0], [0, 0, 0]])
    direction = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, -1]])
    near, far = box_span(origin, direction, box)
    np.testing.assert_allclose(near, [1, 0.1, 0, 0], atol=1e-4)  # inside: not nearer than 0.1 m; misses: 0
    np.testing.assert_allclose(far, [3, 1, 0, 0], atol=1e-4)


def test_rays_of_an_image_go_through_pixels_at_integers() -> None:
    intrinsics = torch.eye(4)
    intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2] = 20, 25, 3, 1.5
    pose = torch.eye(4)
    pose[:3, :3] = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    pose[:3, 3] = torch.tensor([0.3, -0.2, 0.1])
    rays = image_rays(intrinsics, pose, (4, 6), torch.tensor([[-2.0, -2, 0], [2, 2, 4]]))
    assert len(rays) == 24 and rays.pixel[7].tolist() == [1, 1]
    seen = (rays.origin + 2 * rays.direction) @ pose[:3, :3].T + pose[:3, 3]
    image = seen @ intrinsics[:3, :3].T
    torch.testing.assert_close(image[:, :2] / image[:, 2:], rays.pixel)
    torch.testing.assert_close(rays.direction.norm(dim=1), torch.ones(24))
