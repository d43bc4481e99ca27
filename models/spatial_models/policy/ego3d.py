"""Ego3D position encoding (SpatialVLA, arXiv 2501.15830, section III-A) in the robot's base frame.

Every patch token learns where its pixels lie in space: back-projected sub-cell points, sines and cosines at
2^0..2^7, and a small MLP whose output is added to the token. SpatialVLA stays in the camera frame; with TF at hand the
base frame makes the code independent of where the camera stands.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FourierFeatures(nn.Module):
    """Per scalar q: [q, sin(2^k q), cos(2^k q)] for k = 0..n-1; last dimension grows by 2n + 1."""

    frequencies: Tensor

    def __init__(self, n_freqs: int = 8) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.arange(n_freqs), persistent=False)

    def forward(self, q: Tensor) -> Tensor:
        angles = q[..., None] * self.frequencies
        return torch.cat((q[..., None], angles.sin(), angles.cos()), dim=-1).flatten(-2)


class Ego3DPositionEncoding(nn.Module):
    """Points of the sub-cells of every patch to an embedding that is added to the patch token.

    Args:
        width: channels of the token. points: sub-cell points per patch.
        centre, extent: workspace in the base frame [m]; centre ± extent maps to [-1, 1].
    """

    centre: Tensor

    def __init__(
        self,
        width: int,
        points: int = 4,
        n_freqs: int = 8,
        centre: tuple[float, float, float] = (0.5, 0.0, 0.1),
        extent: float = 0.5,
    ) -> None:
        super().__init__()
        self.extent = extent
        self.register_buffer("centre", torch.tensor(centre), persistent=False)
        self.fourier = FourierFeatures(n_freqs)
        self.head = nn.Sequential(
            nn.Linear(points * 3 * (2 * n_freqs + 1), width),
            nn.LayerNorm(width),
            nn.ReLU(),
            nn.Linear(width, width),
        )

    def forward(self, points: Tensor) -> Tensor:
        """(..., points, 3) metres in the base frame to (..., width)."""
        return self.head(self.fourier((points - self.centre) / self.extent).flatten(-2))
