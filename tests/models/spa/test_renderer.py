"""The renderer against loops over rays, samples and corners; its derivatives; a sphere."""

import itertools
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from spatial_models.spa.camera_rays import box_span
from spatial_models.spa.feature_volumes import SceneVolumes
from spatial_models.spa.multiview import Rays
from spatial_models.spa.renderer import Renderer

BOX = np.array([[-0.9, -0.6, 0.4], [0.8, 0.7, 2.6]])
SCALE = 1.4


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


class ByLoops:
    """Everything of one scene in single float64 numbers; the semantic volume is dense, gradients by differences."""

    def __init__(self, sdf, colour, semantic, sharpness) -> None:
        self.sdf, self.colour, self.semantic, self.sharpness = sdf, colour, semantic, sharpness

    def read(self, volume: np.ndarray, point: np.ndarray) -> np.ndarray:
        """(C,) of a volume (C, Z, Y, X) at a point in units of the scale."""
        sizes = np.array(volume.shape[:0:-1])
        unit = (point * SCALE - BOX[0]) / (BOX[1] - BOX[0]) * 2 - 1
        at = (unit + 1) / 2 * (sizes - 1)  # corners of the box on the centres of the corner cells
        low = np.floor(at)
        found = np.zeros(len(volume))
        for step in itertools.product((0, 1), repeat=3):
            cell = (low + step).astype(int)
            if (cell >= 0).all() and (cell < sizes).all():
                found += volume[:, cell[2], cell[1], cell[0]] * np.prod(1 - np.abs(at - cell))
        return found

    def gradient(self, point: np.ndarray) -> np.ndarray:
        """Exact differences: within a cell the field is linear in each coordinate."""
        sizes = np.array(self.sdf.shape[::-1])
        cells = (sizes - 1) / (BOX[1] - BOX[0]) * SCALE
        at = (point * SCALE - BOX[0]) / (BOX[1] - BOX[0]) * (sizes - 1)
        low, g = np.floor(at), np.zeros(3)
        for axis in range(3):
            ends = []
            for end in (0, 1):
                there = at.copy()
                there[axis] = low[axis] + end
                back = there / (sizes - 1) * (BOX[1] - BOX[0]) + BOX[0]
                ends.append(self.read(self.sdf[None], back / SCALE)[0])
            g[axis] = (ends[1] - ends[0]) * cells[axis]
        return np.where(np.abs(g) < 1e-9, 0, g)  # rounding, where all is zero

    def alpha(self, f, slope, length, sharpness) -> float:
        a, b = sigmoid((f - slope * length / 2) * sharpness), sigmoid((f + slope * length / 2) * sharpness)
        return min(max((a - b + 1e-5) / (a + 1e-5), 0.0), 1.0)

    def weights(self, alphas) -> list[float]:
        found, through = [], 1.0
        for alpha in alphas:
            found.append(alpha * through)
            through *= 1 - alpha + 1e-7
        return found

    def edges(self, origin, direction, near, far, uniform, refined, jitter) -> list[float]:
        fractions = [i / uniform for i in range(uniform + 1)]
        if jitter is not None:
            centres = [(a + b) / 2 for a, b in itertools.pairwise(fractions)]
            lower, upper = [0.0, *centres], [*centres, 1.0]
            fractions = [a + (b - a) * jitter[0] for a, b in zip(lower, upper, strict=True)]
        t = [near + (far - near) * x for x in fractions]
        f = [self.read(self.sdf[None], origin + direction * (a + b) / 2)[0] for a, b in itertools.pairwise(t)]
        length = [b - a for a, b in itertools.pairwise(t)]
        slopes = [(f[i + 1] - f[i]) / (length[i] + 1e-5) for i in range(uniform - 1)]
        alphas = []
        for i, slope in enumerate(slopes):
            slope = min(max(min(slope, slopes[i - 1] if i else 0.0), -1000.0), 0.0)
            alphas.append(self.alpha((f[i] + f[i + 1]) / 2, slope, length[i], 64.0))
        w = [*self.weights(alphas), 0.0]
        missing = max(1e-5 - sum(w), 0.0)
        cumulative = np.minimum(
            np.cumsum([0, *[(x + missing / uniform) / (sum(w) + missing) for x in w]]), 1.0
        )
        new = []
        for k in range(refined + 1):
            u = (k + (0.5 if jitter is None else jitter[1])) / (refined + 1)
            above = int((cumulative <= u).sum())
            below, above = above - 1, min(above, uniform)
            span = cumulative[above] - cumulative[below]
            share = min(max((u - cumulative[below]) / (span if span >= 1e-5 else 1.0), 0.0), 1.0)
            new.append(fractions[below] + share * (fractions[above] - fractions[below]))
        merged = [*sorted(fractions[:-1] + new[:-1]), max(fractions[-1], new[-1])]
        return [near + (far - near) * x for x in merged]

    def render(self, rays: Rays, uniform: int, refined: int, jitter=None) -> dict[str, np.ndarray]:
        out: dict[str, list] = {}
        for r in range(len(rays)):
            o, d, near, far = (
                x[r].double().numpy() for x in (rays.origin, rays.direction, rays.near, rays.far)
            )
            edges = self.edges(
                o / SCALE,
                d,
                near / SCALE,
                far / SCALE,
                uniform,
                refined,
                None if jitter is None else jitter[r].tolist(),
            )
            t = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
            points = [o / SCALE + d * x for x in t]
            f = [self.read(self.sdf[None], p)[0] for p in points]
            g = [self.gradient(p) for p in points]
            alphas = [
                self.alpha(f[i], min(g[i] @ d, 0.0), edges[i + 1] - edges[i], self.sharpness)
                for i in range(len(t))
            ]
            w = self.weights(alphas)
            samples = list(zip(w, points, g, strict=True))
            row = {
                "rgb": sum(
                    a * np.array([sigmoid(c + 0.5) for c in self.read(self.colour, p)]) for a, p, _ in samples
                ),
                "depth": np.dot(w, t) / (sum(w) + 1e-10),
                "normal": sum((a * n / np.linalg.norm(n) for a, _, n in samples if n.any()), np.zeros(3)),
                "semantic": sum(a * self.read(self.semantic, p) for a, p, _ in samples),
                "opacity": sum(w),
                "start": edges[:-1],
                "end": edges[1:],
                "weight": w,
                "sdf": f,
                "gradient": g,
                "middle": t,
            }
            for name, value in row.items():
                out.setdefault(name, []).append(value)
        found = {name: np.array(values) for name, values in out.items()}
        middle = found.pop("middle")
        return found | {"depth": found["depth"].clip(middle.min(), middle.max())}


def scene(dtype=torch.float64) -> SceneVolumes:
    """A wall with bumps; hidden semantic features of 4 channels, 3 rendered ones."""
    g = torch.Generator().manual_seed(0)
    z, y, x = 6, 4, 5

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=g).to(dtype)

    slope = torch.linspace(0.7, -0.5, z, dtype=dtype)[:, None, None]
    return SceneVolumes(
        slope + 0.1 * normal(z, y, x), normal(3, z, y, x), normal(z, y, x, 4), normal(3, 4), normal(3)
    )


def dense_semantic(volumes: SceneVolumes) -> np.ndarray:
    assert volumes.semantic is not None and volumes.semantic_weight is not None
    return (volumes.semantic @ volumes.semantic_weight.T + volumes.semantic_bias).movedim(-1, 0).numpy()


def some_rays(n: int = 6, dtype=torch.float64) -> Rays:
    """From around the origin into the box; the last one misses it."""
    g = torch.Generator().manual_seed(4)
    origin = torch.randn(n, 3, dtype=torch.float64, generator=g) * 0.1
    direction = torch.randn(n, 3, dtype=torch.float64, generator=g) * 0.25
    direction[:, 2] = 1
    direction[-1] = torch.tensor([1.0, 0, 0])
    direction = direction / direction.norm(dim=1, keepdim=True)
    near, far = box_span(origin, direction, torch.from_numpy(BOX))
    assert near[-1] == far[-1] == 0 and far[:-1].min() > 0
    zero = torch.zeros(n, dtype=torch.int64)
    rays = Rays(zero, torch.zeros(n, 2), origin, direction, torch.zeros(n), near, far)
    return Rays(rays.view, *(getattr(rays, f.name).to(dtype) for f in fields(rays)[1:]))


def place(dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(BOX).to(dtype), torch.tensor(SCALE, dtype=dtype)


@pytest.mark.parametrize("jittered", [False, True])
def test_rendering_is_that_of_loops(jittered) -> None:
    volumes, rays = scene(), some_rays()
    drawn = torch.rand(len(rays), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    jitter = drawn if jittered else None
    renderer = Renderer(12, 5).double().train(jittered)
    sharpness = math.exp(10 * renderer.field.deviation_network.variance.item())
    with torch.no_grad():
        ours = renderer(volumes, rays, *place(), jitter)
    loops = ByLoops(volumes.sdf.numpy(), volumes.colour.numpy(), dense_semantic(volumes), sharpness)
    for name, expected in loops.render(rays, 12, 5, jitter).items():
        np.testing.assert_allclose(getattr(ours, name), expected, rtol=1e-9, atol=1e-12, err_msg=name)


def test_single_precision_is_close_to_double() -> None:
    """72 + 24 samples. Single rays whose new samples fall into a neighbouring interval may differ; none does here."""
    with torch.no_grad():
        double = Renderer().double()(scene(), some_rays(), *place())
        single = Renderer()(scene(torch.float32), some_rays(dtype=torch.float32), *place(torch.float32))
    for name in ("rgb", "depth", "normal", "semantic", "opacity"):
        torch.testing.assert_close(
            getattr(single, name).double(), getattr(double, name), rtol=1e-5, atol=2e-5
        )
    assert double.weight.shape == (6, 96)


def test_rays_are_left_as_they_were() -> None:
    """So a second rendering is equal to the first."""
    volumes, rays, renderer = scene(), some_rays(), Renderer(8, 4).double()
    before = {f.name: getattr(rays, f.name).clone() for f in fields(rays)}
    first = renderer(volumes, rays, *place())
    second = renderer(volumes, rays, *place())
    assert all(torch.equal(getattr(rays, name), value) for name, value in before.items())
    assert torch.equal(first.rgb, second.rgb) and torch.equal(first.depth, second.depth)


def test_weights_are_shares() -> None:
    rendering = Renderer().double()(scene(), some_rays(), *place())
    assert (rendering.weight >= 0).all() and (rendering.opacity < 1 + 2e-5).all()
    assert all(torch.isfinite(getattr(rendering, f.name)).all() for f in fields(rendering))


def test_no_rays_and_no_semantics() -> None:
    volumes = replace(scene(), semantic=None, semantic_weight=None, semantic_bias=None)
    rendering = Renderer(8, 4).double()(volumes, some_rays()[:0], *place())
    assert rendering.rgb.shape == (0, 3) and rendering.semantic is None


def test_a_sphere_is_seen_where_it_is() -> None:
    """A sphere on a fine grid: depth within a third of a cell, normals outwards, nothing beside it."""
    cells, box, radius = 48, torch.tensor([[-1.0, -1, 1], [1, 1, 3]]), 0.6
    axis = torch.linspace(-1, 1, cells)  # as the renderer reads it: corner cells at the corners
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    scale = torch.tensor(2.0)
    sdf = ((x * x + y * y + z * z).sqrt() - radius) / scale
    direction = torch.tensor([[0.0, 0, 1], [0.1, 0.05, 1], [-0.15, 0.1, 1], [0.4, 0.4, 1]])
    direction = direction / direction.norm(dim=1, keepdim=True)
    origin = torch.zeros(4, 3)
    near, far = box_span(origin, direction, box)
    rays = Rays(torch.zeros(4).long(), torch.zeros(4, 2), origin, direction, torch.zeros(4), near, far)
    renderer = Renderer()
    torch.nn.init.constant_(renderer.field.deviation_network.variance, 0.6)  # sharp, as after training
    with torch.no_grad():
        out = renderer(SceneVolumes(sdf, torch.zeros(3, cells, cells, cells)), rays, box, scale)
    centre = torch.tensor([0.0, 0, 2])
    along = direction[:3] @ centre
    expected = along - (radius**2 - 4 + along**2).sqrt()
    torch.testing.assert_close(out.depth[:3] * scale, expected, atol=2 / cells / 3, rtol=0)
    outward = (direction[:3] * expected[:, None] - centre) / radius
    assert ((out.normal[:3] * outward).sum(1) > 0.98).all()
    assert (out.opacity[:3] > 0.99).all() and out.opacity[3] < 0.01
    torch.testing.assert_close(out.rgb[:3], torch.full((3, 3), 1 / (1 + math.exp(-0.5))), atol=0.01, rtol=0)


def differentiable(semantic: bool):
    """A function of the volumes and the sharpness. Samples are at fixed places, for they carry no gradient."""
    renderer, rays = Renderer(6, 0).double().train(), some_rays(4)
    base = scene()

    def function(sdf, colour, hidden, weight, bias, variance):
        parts = (hidden, weight, bias) if semantic else (None, None, None)
        volumes = SceneVolumes(sdf, colour, *parts)
        given = {"field.deviation_network.variance": variance}
        out = torch.func.functional_call(renderer, given, (volumes, rays, *place()))
        eikonal = (out.gradient.norm(dim=-1) - 1).square().mean()
        found = (eikonal, out.rgb, out.depth, out.normal, out.sdf)
        return (*found, out.semantic) if semantic else found

    inputs = (base.sdf, base.colour, base.semantic, base.semantic_weight, base.semantic_bias)
    variance = torch.full((1,), 0.2, dtype=torch.float64)
    return function, [x.clone().requires_grad_(semantic or i < 2) for i, x in enumerate(inputs)] + [
        variance.requires_grad_()
    ]


def test_first_derivatives() -> None:
    function, inputs = differentiable(semantic=True)
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


def test_second_derivatives() -> None:
    """Through the gradient of the signed distance, as the eikonal term and the opacities need."""
    function, inputs = differentiable(semantic=False)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_the_eikonal_term_trains_the_volume_as_automatic_differentiation_of_the_field_would() -> None:
    """Against torch's double backward through a plain trilinear read, at the renderer's own points."""
    volumes, rays = scene(), some_rays(4)[:3]
    box, scale = place()
    sdf = volumes.sdf.clone().requires_grad_()
    out = Renderer(6, 0).double()(replace(volumes, sdf=sdf), rays, box, scale)
    (ours,) = torch.autograd.grad((out.gradient.norm(dim=-1) - 1).square().mean(), sdf)

    middle = ((out.start + out.end) / 2)[..., None]
    points = (rays.origin[:, None] / scale + rays.direction[:, None] * middle).reshape(-1, 3).requires_grad_()
    cells = torch.tensor([4.0, 3, 5], dtype=torch.float64)
    at = (points * scale - box[0]) / (box[1] - box[0]) * cells
    value = torch.zeros(len(points), dtype=torch.float64)
    for cell in itertools.product(range(6), range(4), range(5)):
        centre = torch.tensor(cell[::-1], dtype=torch.float64)
        value = value + sdf[cell] * (1 - (at - centre).abs()).clamp(min=0).prod(-1)
    (gradient,) = torch.autograd.grad(value.sum(), points, create_graph=True)
    (automatic,) = torch.autograd.grad((gradient.norm(dim=-1) - 1).square().mean(), sdf)
    torch.testing.assert_close(ours, automatic)
