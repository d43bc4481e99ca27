"""What a step of SPA's pre-training costs, beside the straightforward way to write it, in the same run.

    python benchmarks/spa_pretraining.py                       # small, for a CPU
    python benchmarks/spa_pretraining.py --preset released     # base encoder, the release's grid and teacher; for a GPU

Both ways share one model's parameters, and must agree in double precision before anything is timed. (In single
precision they may not, on single rays: rounding can move a new sample into the next interval.) The straightforward one
samples every voxel in every view, keeps a volume of all 27 colour coefficients and one of all semantic channels, reads
both at every sample of a ray, and differentiates the signed distance automatically, twice. A step is forward, losses
and backward.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from spatial_models.spa.camera_rays import box_span, pixel_rays
from spatial_models.spa.deformable import HEADS, POINTS, DeformableAttention
from spatial_models.spa.feature_volumes import FeatureVolumes
from spatial_models.spa.losses import LossWeights
from spatial_models.spa.masked import MaskedImageBranch
from spatial_models.spa.multiview import MultiViewSample, Rays
from spatial_models.spa.pretraining import SpaPretraining
from spatial_models.spa.ray_sampling import (
    interval_alpha,
    inverse_transform_edges,
    merged_edges,
    rendering_weights,
    uniform_edges,
    upsampling_weights,
)
from spatial_models.spa.renderer import Renderer, Rendering
from spatial_models.spa.volume import ViewTransform, project
from spatial_vla.report.environment import device as machine
from spatial_vla.report.environment import versions
from torch import Tensor
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]
WAYS = ("ours", "straightforward")


@dataclass(frozen=True)
class Preset:
    """Sizes of model and batch."""

    image: int
    width: int
    depth: int
    heads: int
    grid: tuple[int, int, int]
    channels: int
    semantic: int
    scenes: int
    views: int
    rays: int
    """per scene"""


PRESETS = {
    "small": Preset(112, 192, 4, 3, (32, 32, 16), 32, 256, scenes=2, views=2, rays=256),
    "released": Preset(224, 768, 12, 12, (128, 128, 32), 64, 1280, scenes=2, views=8, rays=4096),
}


@dataclass
class Args:
    """Time training steps of SPA's pre-training, ours and the straightforward ones in turn."""

    preset: Literal["small", "released"] = "small"
    """sizes of model and batch"""
    steps: int = 10
    """timed steps of each way"""
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    """where to run"""
    recompute: bool = False
    """ours alone: recompute in the backward pass instead of keeping"""
    output: Path = ROOT / "benchmarks" / "results" / "spa_pretraining.json"
    """file for the figures"""


def made_up_sample(preset: Preset, device: str, dtype: torch.dtype, seed: int) -> MultiViewSample:
    """Cameras side by side that look into a box, random images, random depth."""
    g = torch.Generator().manual_seed(seed)
    size = preset.image
    intrinsics = torch.eye(4)
    intrinsics[0, 0] = intrinsics[1, 1] = 0.9 * size
    intrinsics[:2, 2] = (size - 1) / 2
    poses = torch.eye(4).repeat(preset.views, 1, 1)
    poses[:, 0, 3] = -0.1 * torch.arange(preset.views)
    box = torch.tensor([[-1.2, -1.2, 0.5], [1.5, 1.2, 3.0]])
    view = torch.arange(preset.rays) % preset.views
    pixel = torch.randint(0, size, (preset.rays, 2), generator=g).float()
    origin, direction = torch.empty(preset.rays, 3), torch.empty(preset.rays, 3)
    for v in range(preset.views):
        origin[view == v], direction[view == v] = pixel_rays(pixel[view == v], intrinsics, poses[v])
    near, far = box_span(origin, direction, box)
    depth = near + (far - near) * (0.5 + 0.3 * torch.rand(preset.rays, generator=g))
    rays = (x.to(dtype) for x in (pixel, origin, direction, depth, near, far))
    sample = MultiViewSample(
        images=torch.rand(preset.views, 3, size, size, generator=g).to(dtype),
        intrinsics=intrinsics.expand(preset.views, 4, 4).to(dtype),
        world_to_camera=poses.to(dtype),
        box=box.to(dtype),
        scale=depth.mean().to(dtype),
        rays=Rays(view, *rays),
        originals=(),
        pixel_to_original=torch.eye(3).expand(preset.views, 3, 3).to(dtype),
    )
    return sample.to(device)


def dense_attention(
    attention: DeformableAttention, query: Tensor, features: Tensor, position: Tensor, visible: Tensor
) -> Tensor:
    """Every voxel in every view, masked afterwards."""
    height, width = features.shape[-2:]
    total = torch.zeros_like(query)
    for maps, centre, seen in zip(features, position, visible, strict=True):
        offset = attention.sampling_offsets(query).view(-1, HEADS, POINTS, 2)
        offset = offset / offset.new_tensor((width, height))
        weight = attention.attention_weights(query).view(-1, HEADS, POINTS).softmax(-1)
        values = attention.value_proj(maps.movedim(0, -1)).movedim(-1, 0).view(HEADS, -1, height, width)
        location = (centre[:, None, None] + offset).transpose(0, 1)
        found = F.grid_sample(values, 2 * location - 1, align_corners=False)
        found = (found * weight.transpose(0, 1)[:, None]).sum(-1).permute(2, 0, 1).flatten(1)
        total = total + (attention.out_proj(found) + query) * seen[:, None]
    return total / visible.sum(0).clamp(min=1)[:, None]


def dense_volumes(
    transform: ViewTransform, features: Sequence[Tensor], samples: Sequence[MultiViewSample]
) -> Tensor:
    """As `ViewTransform` does it, with `dense_attention`."""
    centres = (transform.voxels.flatten(0, 2) + 0.5) / transform.voxels.new_tensor(transform.shape[::-1])
    query = transform.position_encoding(centres)
    layer: Any = transform.decoder.layers[0]
    scenes = []
    for maps, sample in zip(features, samples, strict=True):
        points = sample.box[0] + centres * (sample.box[1] - sample.box[0])
        camera = sample.intrinsics @ sample.world_to_camera
        seen = project(points, camera, *sample.images.shape[-2:])
        scenes.append(layer.norms[0](dense_attention(layer.attentions[0], query, maps, *seen)))
    x = layer.attentions[1](torch.stack(scenes).mT.unflatten(2, transform.shape)).flatten(2).mT
    return layer.norms[2](layer.ffns[0](layer.norms[1](x))).mT.unflatten(2, transform.shape)


def dense_heads(net: FeatureVolumes, volume: Tensor) -> list[tuple[Tensor, ...]]:
    """All channels of all voxels, per scene: (1, Z, Y, X), (27, Z, Y, X), (K, Z, Y, X)."""
    assert net.semantic_conv3d is not None
    shared = net.shared_conv3d(volume)
    sdf = net.sdf_conv3d(shared)
    both = torch.cat((shared, sdf[:, 1:]), dim=1)
    return list(zip(sdf[:, :1], net.rgb_conv3d(both), net.semantic_conv3d(both), strict=True))


def read(volume: Tensor, points: Tensor, sample: MultiViewSample) -> Tensor:
    """(..., C) of (C, Z, Y, X) at points in units of the scale, corner by corner, differentiable twice."""
    sizes = points.new_tensor(volume.shape[:0:-1])
    at = (points * sample.scale - sample.box[0]) / (sample.box[1] - sample.box[0]) * (sizes - 1)
    low = at.detach().floor()
    total = points.new_zeros(*points.shape[:-1], len(volume))
    for corner in range(8):
        cell = low + low.new_tensor((corner & 1, corner >> 1 & 1, corner >> 2))
        inside = ((cell >= 0) & (cell < sizes)).all(-1)
        x, y, z = cell.clamp(min=0).minimum(sizes - 1).long().unbind(-1)
        weight = (1 - (at - cell).abs()).prod(-1) * inside
        total = total + volume[:, z, y, x].movedim(0, -1) * weight[..., None]
    return total


def dense_render(
    renderer: Renderer, volumes: tuple[Tensor, ...], sample: MultiViewSample, jitter: Tensor
) -> Rendering:
    """Every channel at every sample; the gradient of the signed distance by automatic differentiation."""
    rays, scale = sample.rays, sample.scale
    origin, near, far = rays.origin / scale, (rays.near / scale)[:, None], (rays.far / scale)[:, None]

    def points(edges: Tensor) -> tuple[Tensor, Tensor]:
        distance = near + (far - near) * edges
        middle = (distance[:, 1:] + distance[:, :-1]) / 2
        return distance, origin[:, None] + rays.direction[:, None] * middle[..., None]

    edges = uniform_edges(len(rays), renderer.uniform, jitter[:, 0], like=origin)
    with torch.no_grad():
        distance, at = points(edges)
        weight = upsampling_weights(read(volumes[0], at, sample)[..., 0], distance.diff())
        edges = merged_edges(edges, inverse_transform_edges(edges, weight, renderer.refined, jitter[:, 1]))
    distance, at = points(edges)
    at.requires_grad_()
    sdf = read(volumes[0], at, sample)[..., 0]
    (gradient,) = torch.autograd.grad(sdf.sum(), at, create_graph=True)
    slope = -F.relu(-(gradient * rays.direction[:, None]).sum(-1))
    alpha = interval_alpha(sdf, slope, distance.diff(), renderer.field.deviation_network())
    weight = rendering_weights(alpha)
    middle = (distance[:, 1:] + distance[:, :-1]) / 2
    colour = torch.sigmoid(read(volumes[1], at, sample).unflatten(-1, (3, 9)).sum(-1) + 0.5)
    depth = (weight * middle).sum(-1) / (weight.sum(-1) + 1e-10)
    return Rendering(
        rgb=(weight[..., None] * colour).sum(1),
        depth=depth.clamp(middle.min(), middle.max()),
        normal=(weight[..., None] * F.normalize(gradient, dim=-1)).sum(1),
        semantic=(weight[..., None] * read(volumes[2], at, sample)).sum(1),
        opacity=weight.sum(-1),
        start=distance[:, :-1],
        end=distance[:, 1:],
        weight=weight,
        sdf=sdf,
        gradient=gradient,
    )


class Bench:
    """One model, a batch of scenes, and a training step in either way."""

    def __init__(
        self, preset: Preset, device: str, recompute: bool, dtype: torch.dtype = torch.float32
    ) -> None:
        torch.manual_seed(0)
        branch = MaskedImageBranch(preset.image, preset.width, preset.depth, preset.heads)
        model = SpaPretraining(branch, preset.grid, preset.channels, preset.semantic, recompute)
        self.model = model.to(device, dtype)
        self.samples = [made_up_sample(preset, device, dtype, seed) for seed in range(preset.scenes)]
        g = torch.Generator().manual_seed(1)
        self.targets = [
            torch.randn(preset.rays, preset.semantic, generator=g).to(device, dtype) for _ in self.samples
        ]

    def ours(self, generator: torch.Generator) -> list[Rendering]:
        """The model as it is."""
        return self.model(self.samples, [generator] * len(self.samples))

    def straightforward(self, generator: torch.Generator) -> list[Rendering]:
        """The same, written plainly."""
        images = torch.cat([sample.images for sample in self.samples])

        def draw(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, dtype=images.dtype).to(images.device)

        branch, head = self.model.img_backbone, self.model.dense_head
        maps = branch(images, draw(len(images), branch.grid**2)).chunk(len(self.samples))
        volumes = dense_heads(head.proj_net, dense_volumes(self.model.view_transform, maps, self.samples))
        return [
            dense_render(head.renderer, scene, sample, draw(len(sample.rays), 2))
            for scene, sample in zip(volumes, self.samples, strict=True)
        ]

    def step(self, way: str, seed: int) -> tuple[list[Rendering], Tensor]:
        """Forward, losses and backward; the gradients stay on the parameters."""
        self.model.zero_grad()
        renderings = getattr(self, way)(torch.Generator().manual_seed(seed))
        total = LossWeights().total(self.model.losses(renderings, self.samples, self.targets))
        total.backward()
        return renderings, total.detach()

    def disagreement(self) -> dict[str, float]:
        """Largest difference of the two ways: of loss and pictures, and of gradients relative to their largest."""
        results = []
        for way in WAYS:
            renderings, total = self.step(way, 0)
            pictures = [x for r in renderings for x in (r.rgb, r.depth, r.semantic) if x is not None]
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            results.append(([total], pictures, gradients))
        loss, pictures, gradients = (_largest_gap(a, b) for a, b in zip(*results, strict=True))
        largest = max(float(g.abs().max()) for g in results[1][2])
        return {"loss": loss, "pictures": pictures, "gradients": gradients / largest}


def _largest_gap(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    return max(float((a - b).detach().abs().max()) for a, b in zip(one, other, strict=True))


def synchronise(device: str) -> None:
    """Wait for the GPU, if there is one."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def time_in_turn(bench: Bench, steps: int, device: str) -> dict[str, list[float]]:
    """Seconds of each step, the two ways alternating; the first of each is not counted."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(steps + 1):
        for way in WAYS:
            synchronise(device)
            start = time.perf_counter()
            bench.step(way, seed)
            synchronise(device)
            seconds[way].append(time.perf_counter() - start)
    return {way: values[1:] for way, values in seconds.items()}


def peak_on_gpu(bench: Bench, way: str) -> float:
    """GiB above what is held before a step."""
    bench.model.zero_grad()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    bench.step(way, 0)
    return (torch.cuda.max_memory_allocated() - before) / 2**30


def peak_on_cpu(preset: Preset, recompute: bool, threads: int, way: str) -> float:
    """GiB of resident memory above what is held before the first step, in the process that calls it (Linux)."""
    torch.set_num_threads(threads)
    bench = Bench(preset, "cpu", recompute)
    before = resident_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    bench.step(way, 0)
    return resident_memory("VmHWM") - before


def resident_memory(field: str) -> float:
    """GiB, now (VmRSS) or at most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def peaks(bench: Bench, preset: Preset, args: Args) -> dict[str, float]:
    """Peak memory of a step [GiB] by way. On a CPU each way has a process of its own, for memory is not given back."""
    if args.device.startswith("cuda"):
        return {way: peak_on_gpu(bench, way) for way in WAYS}
    found = {}
    for way in WAYS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            arguments = (preset, args.recompute, torch.get_num_threads(), way)
            found[way] = pool.apply(peak_on_cpu, arguments)
    return found


def summary(seconds: list[float], rays: int, peak: float) -> dict[str, float]:
    """Figures of one way."""
    median = float(np.median(seconds))
    return {
        "median_s": median,
        "p99_s": float(np.percentile(seconds, 99)),
        "steps_per_s": 1 / median,
        "rays_per_s": rays / median,
        "peak_gib": peak,
    }


def main(args: Args) -> None:
    """Check that both agree, time them in turn, print a table."""
    preset = PRESETS[args.preset]
    agreement = Bench(PRESETS["small"], args.device, args.recompute, torch.float64).disagreement()
    if max(agreement.values()) > 1e-6:
        raise SystemExit(f"the two ways disagree, so no figure would mean anything: {agreement}")
    bench = Bench(preset, args.device, args.recompute)
    seconds = time_in_turn(bench, args.steps, args.device)
    memory = peaks(bench, preset, args)
    ways = {way: summary(seconds[way], preset.scenes * preset.rays, memory[way]) for way in WAYS}
    ratios = np.array(seconds["straightforward"]) / np.array(seconds["ours"])
    figures: dict[str, Any] = {
        "preset": args.preset,
        "configuration": asdict(preset) | {"recompute": args.recompute, "steps": args.steps},
        **ways,
        "speed_up": {
            "median": float(np.median(ratios)),
            "least": float(ratios.min()),
            "most": float(ratios.max()),
        },
        "memory_ratio": memory["straightforward"] / memory["ours"],
        "largest_difference_in_double_precision": agreement,
        "device": machine()
        | ({"gpu": torch.cuda.get_device_name()} if args.device.startswith("cuda") else {})
        | {"torch_threads": str(torch.get_num_threads())},
        "versions": versions() | {"torch": torch.__version__},
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{'':<17}{'median':>10}{'p99':>10}{'steps/s':>10}{'rays/s':>10}{'peak':>11}")
    for way, row in ways.items():
        times = f"{row['median_s']:>9.3f}s{row['p99_s']:>9.3f}s{row['steps_per_s']:>10.2f}"
        print(f"{way:<17}{times}{row['rays_per_s']:>10.0f}{row['peak_gib']:>7.2f} GiB")
    speed = figures["speed_up"]
    print(
        f"{speed['median']:.2f} times as fast ({speed['least']:.2f} to {speed['most']:.2f}), "
        f"{figures['memory_ratio']:.2f} times less memory"
    )


if __name__ == "__main__":
    main(tyro.cli(Args))
