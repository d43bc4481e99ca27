"""Loss terms against loops, their edge cases, the weights of the release."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from spatial_models.spa.losses import LossWeights, mean_over_scenes, psnr, ray_colours, scene_losses
from spatial_models.spa.multiview import Rays
from spatial_models.spa.renderer import Rendering

R, S, K = 9, 11, 4
SCALE = torch.tensor(1.6, dtype=torch.float64)


def rays_of(depth: torch.Tensor) -> Rays:
    n = len(depth)
    return Rays(
        torch.zeros(n).long(), torch.zeros(n, 2), *[torch.zeros(n, 3)] * 2, depth, *[torch.zeros(n)] * 2
    )


@pytest.fixture
def made_up() -> tuple[Rendering, Rays, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    edges = torch.rand(R, S + 1, generator=g, dtype=torch.float64).sort(dim=1).values * 2
    rendering = Rendering(
        rgb=normal(R, 3).sigmoid(),
        depth=normal(R).abs(),
        normal=normal(R, 3),
        semantic=normal(R, K),
        opacity=normal(R),
        start=edges[:, :-1],
        end=edges[:, 1:],
        weight=normal(R, S),
        sdf=normal(R, S) * 0.3,
        gradient=normal(R, S, 3),
    )
    depth = torch.rand(R, generator=g, dtype=torch.float64) * 3 + 0.2
    depth[::4] = 0
    return rendering, rays_of(depth), normal(R, 3).sigmoid(), normal(R, K)


def by_loops(
    rendering: Rendering, rays: Rays, colour: torch.Tensor, semantic: torch.Tensor
) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in asdict(LossWeights())}
    tr = 0.25 / SCALE.item()
    assert rendering.semantic is not None
    for r in range(R):
        for c in range(3):
            found["colour"].append(abs(rendering.rgb[r, c].item() - colour[r, c].item()))
        a, b = rendering.semantic[r].numpy(), semantic[r].numpy()
        found["semantic"].append(1 - (a @ b) / math.sqrt(a @ a) / math.sqrt(b @ b))
        d = rays.depth[r].item() / SCALE.item()
        if d > 0:
            found["depth"].append(abs(rendering.depth[r].item() - d))
        for s in range(S):
            z, f = rendering.start[r, s].item(), rendering.sdf[r, s].item()
            found["eikonal"].append((np.linalg.norm(rendering.gradient[r, s].numpy()) - 1) ** 2)
            if d > 0 and abs(z - d) <= tr:
                found["sdf"].append(abs(z + f - d))
            if d > 0 and z < d - tr:
                found["free_space"].append(max(tr - f, 0))
    assert min(len(values) for values in found.values()) > 3
    return {name: float(np.mean(values)) for name, values in found.items()}


def test_terms_are_those_of_loops(made_up) -> None:
    rendering, rays, colour, semantic = made_up
    ours = scene_losses(rendering, rays, SCALE, colour, semantic)
    expected = by_loops(rendering, rays, colour, semantic)
    assert {k: v.item() for k, v in ours.items()} == pytest.approx(expected, rel=1e-9)


def test_the_total_has_the_weights_of_the_release(made_up) -> None:
    rendering, rays, colour, semantic = made_up
    terms = scene_losses(rendering, rays, SCALE, colour, semantic)
    t = {k: v.item() for k, v in terms.items()}
    total = (
        10 * t["colour"] + t["depth"] + t["semantic"] + 10 * t["sdf"] + t["free_space"] + 0.01 * t["eikonal"]
    )
    assert LossWeights().total(terms).item() == pytest.approx(total)
    with pytest.raises(KeyError, match="psnr"):
        LossWeights().total(terms | {"psnr": terms["depth"]})


def test_without_depth_only_terms_that_need_none_remain(made_up) -> None:
    rendering, _, colour, _ = made_up
    terms = scene_losses(rendering, rays_of(torch.zeros(R, dtype=torch.float64)), SCALE, colour)
    assert [terms[name].item() for name in ("depth", "sdf", "free_space")] == [0, 0, 0]
    assert terms["eikonal"] > 0 and "semantic" not in terms


def test_a_perfect_rendering_costs_nothing(made_up) -> None:
    """A surface seen head-on: the signed distance is depth minus start."""
    rendering, rays, _, semantic = made_up
    d = (rays.depth / SCALE)[:, None]
    perfect = Rendering(
        **{
            **vars(rendering),
            "depth": d[:, 0],
            "semantic": 3 * semantic,
            "sdf": d - rendering.start,
            "gradient": torch.nn.functional.normalize(rendering.gradient, dim=-1),
        }
    )
    terms = scene_losses(perfect, rays, SCALE, rendering.rgb, semantic)
    assert max(v.item() for v in terms.values()) < 1e-12


def test_targets_of_another_width_are_refused(made_up) -> None:
    rendering, rays, colour, semantic = made_up
    with pytest.raises(ValueError, match=r"\(9, 3\).*\(9, 4\).*semantic_channels=3"):
        scene_losses(rendering, rays, SCALE, colour, semantic[:, :3])


def test_scenes_weigh_the_same() -> None:
    one, three = torch.tensor(1.0), torch.tensor(3.0)
    means = mean_over_scenes([{"depth": one, "semantic": one}, {"depth": three}])
    assert means == {"depth": 2, "semantic": 1}


def test_colour_targets_are_the_pixels(make_sample) -> None:
    sample = make_sample()
    colours = ray_colours(sample, sample.rays)
    for i in range(len(sample.rays)):
        u, v = sample.rays.pixel[i].int().tolist()
        expected = sample.images[sample.rays.view[i], :, v, u]
        torch.testing.assert_close(colours[i], expected, atol=1e-4, rtol=0)


def test_psnr() -> None:
    assert psnr(torch.full((4, 3), 0.6), torch.full((4, 3), 0.5)).item() == pytest.approx(20, abs=1e-4)
