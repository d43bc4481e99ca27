"""Deformable attention from voxels to the views that see them (Deformable DETR, arXiv 2010.04159), in plain PyTorch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

HEADS, POINTS = 8, 5


class DeformableAttention(nn.Module):
    """Each voxel reads a few points around its projection, in every view that sees it, and takes the mean.

    Offsets and weights depend on the query alone, and the output projection is linear. So both are computed once per
    voxel, not once per voxel and view, and only visible voxels are sampled.

    Args:
        channels: of query and result, a multiple of 8. feature_channels: of the feature maps.
        chunk: most voxels sampled at a time.
        recompute: sample again in the backward pass instead of keeping what was sampled.

    Raises:
        ValueError: ``channels`` is not a multiple of 8.
    """

    def __init__(
        self, channels: int = 64, feature_channels: int = 64, chunk: int = 65536, recompute: bool = False
    ) -> None:
        super().__init__()
        if channels % HEADS:
            raise ValueError(
                f"channels = {channels}: the attention has {HEADS} heads; give a multiple of {HEADS}"
            )
        self.chunk, self.recompute = chunk, recompute
        self.sampling_offsets = nn.Linear(channels, HEADS * POINTS * 2)
        self.attention_weights = nn.Linear(channels, HEADS * POINTS)
        self.value_proj = nn.Linear(feature_channels, channels)
        self.out_proj = nn.Linear(channels, channels)
        self._initialise()

    def _initialise(self) -> None:
        """Head h looks in direction h of eight on a square ring, point i at radius i + 1; all points weigh the same."""
        angle = torch.arange(HEADS) * (2 * math.pi / HEADS)
        ring = torch.stack((angle.cos(), angle.sin()), dim=-1)
        ring = ring / ring.abs().amax(-1, keepdim=True)
        radius = torch.arange(1, POINTS + 1)
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_((ring[:, None] * radius[:, None]).flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.out_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, features: Tensor, position: Tensor, visible: Tensor) -> Tensor:
        """Gather features of the views for N voxels.

        Args:
            query: (N, C). features: (V, F, h, w).
            position: (V, N, 2), (u, v) as fractions of image width and height.
            visible: (V, N) bool.

        Returns:
            (N, C): mean over the views that see the voxel of (attention + query); zero where no view does.
        """
        height, width = features.shape[-2:]
        offset = self.sampling_offsets(query).view(-1, HEADS, POINTS, 2)
        offset = offset / offset.new_tensor((width, height))
        weight = self.attention_weights(query).view(-1, HEADS, POINTS).softmax(-1)
        values = self.value_proj(features.movedim(1, -1))
        values = values.view(len(values), height, width, HEADS, -1).permute(0, 3, 4, 1, 2)
        seen_voxels, attended = [], []
        for view in range(len(features)):
            for voxels in visible[view].nonzero()[:, 0].split(self.chunk):
                centre = position[view, voxels]
                seen_voxels.append(voxels)
                attended.append(self._sample(values[view], centre, offset[voxels], weight[voxels]))
        count = visible.sum(0)[:, None]
        total = torch.zeros_like(query)
        if attended:
            total = total.index_add(0, torch.cat(seen_voxels), torch.cat(attended))
        mean = total / count.clamp(min=1)
        return (self.out_proj(mean) + query) * (count > 0)

    def _sample(self, values: Tensor, centre: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(_attend, values, centre, offset, weight, use_reentrant=False)
        return _attend(values, centre, offset, weight)


def _attend(values: Tensor, centre: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    """(M, C) from values (heads, c, h, w) at centre (M, 2) + offset (M, heads, points, 2), weighted (M, heads, points).

    Bilinear, zero outside, with pixel k of a map covering k/size to (k + 1)/size (``align_corners`` false).
    """
    location = (centre[:, None, None] + offset).transpose(0, 1)
    found = F.grid_sample(values, 2 * location - 1, align_corners=False)
    return (found * weight.transpose(0, 1)[:, None]).sum(-1).permute(2, 0, 1).flatten(1)
