"""Differentiable rendering of a signed-distance volume (NeuS, arXiv 2106.10689; HaoyiZhu/SPA: sdf_field.py, neus.py).

Inside, lengths are in units of the sample's **scale** (its mean ray depth): ray origins, near, far, depth, signed
distance. Depth is the distance along the unit ray, not z. Colours have a black background.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .feature_volumes import SceneVolumes
from .multiview import Rays
from .ray_sampling import (
    interval_alpha,
    inverse_transform_edges,
    merged_edges,
    rendering_weights,
    uniform_edges,
    upsampling_weights,
)
from .trilinear import (
    Corners,
    cell_coordinates,
    cells_across,
    corners,
    interpolate,
    interpolate_with_gradient,
)


@dataclass(frozen=True, eq=False)
class Rendering:
    """What R rays show, and the S samples on each that the losses look at. Lengths in units of the scene's scale.

    Attributes:
        rgb: (R, 3). depth: (R,) along the ray. normal: (R, 3), in the world, not of unit length.
        semantic: (R, K) or None. opacity: (R,) sum of the weights.
        start, end: (R, S) of the intervals. weight: (R, S). sdf: (R, S) at the midpoints.
        gradient: (R, S, 3) of the signed distance, in the world.
    """

    rgb: Tensor
    depth: Tensor
    normal: Tensor
    semantic: Tensor | None
    opacity: Tensor
    start: Tensor
    end: Tensor
    weight: Tensor
    sdf: Tensor
    gradient: Tensor


class DeviationNetwork(nn.Module):
    """One learned number: how sharp the surface is."""

    def __init__(self) -> None:
        super().__init__()
        self.variance = nn.Parameter(torch.full((1,), 0.3))

    def forward(self) -> Tensor:
        """Sharpness (1,), exp(10 v) within [1e-6, 1e6]."""
        return torch.exp(10 * self.variance).clamp(1e-6, 1e6)


class SdfField(nn.Module):
    """The learned part of the renderer."""

    def __init__(self) -> None:
        super().__init__()
        self.deviation_network = DeviationNetwork()


class _Scene:
    """Volumes with the box they fill, to be read at points in units of the scale."""

    def __init__(self, volumes: SceneVolumes, box: Tensor, scale: Tensor) -> None:
        self.volumes, self.box, self.scale = volumes, box, scale
        z, y, x = volumes.sdf.shape
        self.shape = (z, y, x)

    def corners(self, points: Tensor) -> Corners:
        """Cells around points (..., 3)."""
        at = cell_coordinates(points.reshape(-1, 3) * self.scale, self.box, self.shape)
        return corners(at, self.shape)

    @property
    def cells_per_scale(self) -> Tensor:
        """(3,) cells in one unit of length, xyz."""
        return cells_across(self.box, self.shape) / (self.box[1] - self.box[0]) * self.scale


class Renderer(nn.Module):
    """Renders rays from the three volumes of a scene.

    Args:
        uniform: intervals at first. refined: intervals added where the surface seems to be.
    """

    def __init__(self, uniform: int = 72, refined: int = 24) -> None:
        super().__init__()
        self.uniform, self.refined = uniform, refined
        self.field = SdfField()

    def forward(
        self, volumes: SceneVolumes, rays: Rays, box: Tensor, scale: Tensor, jitter: Tensor | None = None
    ) -> Rendering:
        """Render R rays.

        Args:
            rays: in metres; not changed. box: (2, 3) [m]. scale: () [m].
            jitter: (R, 2) in [0, 1), moves the samples of each ray, at first and in the refinement; None: evaluation.

        Returns:
            The rendering; in evaluation mode of the module its colours are clamped to [0, 1]. A ray that misses the
            box (near = far = 0) has its samples at its origin.
        """
        scene = _Scene(volumes, box, scale)
        origin, near, far = rays.origin / scale, rays.near / scale, rays.far / scale
        edges = near[:, None] + (far - near)[:, None] * self._edges(scene, origin, rays, near, far, jitter)
        start, end = edges[:, :-1], edges[:, 1:]
        middle = (start + end) / 2
        at = scene.corners(_points(origin, rays.direction, middle))
        sdf, gradient = interpolate_with_gradient(volumes.sdf, at)
        sdf = sdf.view_as(middle)
        gradient = (gradient * scene.cells_per_scale).view(*middle.shape, 3)
        slope = -F.relu(-(gradient * rays.direction[:, None]).sum(-1))
        alpha = interval_alpha(sdf, slope, end - start, self.field.deviation_network())
        weight = rendering_weights(alpha)
        opacity = weight.sum(-1)
        rgb = (weight[..., None] * _colours(volumes, at).view(*middle.shape, 3)).sum(1)
        depth = (weight * middle).sum(-1) / (opacity + 1e-10)
        if len(rays):
            depth = depth.clamp(middle.min(), middle.max())
        return Rendering(
            rgb=rgb if self.training else rgb.clamp(0, 1),
            depth=depth,
            normal=(weight[..., None] * F.normalize(gradient, dim=-1)).sum(1),
            semantic=_semantics(volumes, at, weight),
            opacity=opacity,
            start=start,
            end=end,
            weight=weight,
            sdf=sdf,
            gradient=gradient,
        )

    @torch.no_grad()
    def _edges(
        self, scene: _Scene, origin: Tensor, rays: Rays, near: Tensor, far: Tensor, jitter: Tensor | None
    ) -> Tensor:
        """(R, S + 1) as fractions of the way from near to far."""
        first, second = (None, None) if jitter is None else jitter.unbind(1)
        edges = uniform_edges(len(rays), self.uniform, first, like=origin)
        distance = near[:, None] + (far - near)[:, None] * edges
        middle = (distance[:, 1:] + distance[:, :-1]) / 2
        at = scene.corners(_points(origin, rays.direction, middle))
        sdf = interpolate(scene.volumes.sdf[None], at).view_as(middle)
        weights = upsampling_weights(sdf, distance[:, 1:] - distance[:, :-1])
        return merged_edges(edges, inverse_transform_edges(edges, weights, self.refined, second))


def _points(origin: Tensor, direction: Tensor, distance: Tensor) -> Tensor:
    """(R, S, 3) at distance (R, S) along rays."""
    return origin[:, None] + direction[:, None] * distance[..., None]


def _colours(volumes: SceneVolumes, at: Corners) -> Tensor:
    """(N, 3) at points. They do not depend on the direction of view."""
    return torch.sigmoid(interpolate(volumes.colour, at).T + 0.5)


def _semantics(volumes: SceneVolumes, at: Corners, weight: Tensor) -> Tensor | None:
    """(R, K) from the hidden features of all cells that a ray touches, weighted and summed in one go."""
    if volumes.semantic is None or volumes.semantic_weight is None or volumes.semantic_bias is None:
        return None
    share = weight.reshape(-1, 1) * at.weight
    cells = volumes.semantic.flatten(0, 2)
    rays = len(weight)
    hidden = F.embedding_bag(
        at.index.view(rays, -1), cells, mode="sum", per_sample_weights=share.view(rays, -1)
    )
    covered = share.view(rays, -1).sum(-1, keepdim=True)
    return F.linear(hidden, volumes.semantic_weight) + covered * volumes.semantic_bias
