"""From the feature maps of posed views to one volume of features (HaoyiZhu/SPA: lss_voxelformer.py).

The grid is given as (X, Y, Z) cells and kept as (Z, Y, X). It fills the sample's box: cell i of an axis has its centre
at ``lowest + (i + 0.5) * extent / cells``; cells need not be cubes. World = camera of the first view, so the Z axis
looks along that view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .deformable import DeformableAttention
from .multiview import MultiViewSample

EPSILON = 1e-5
"""least depth at which a voxel is in front of a camera [m]"""


def project(points: Tensor, world_to_image: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where views see points. There is no occlusion test.

    Args:
        points: (N, 3) in the world [m]. world_to_image: (V, 4, 4), intrinsics times extrinsics.

    Returns:
        (V, N, 2) position (u / width, v / height), and (V, N) bool: in front of the camera and strictly inside.
    """
    seen = points @ world_to_image[:, :3, :3].mT + world_to_image[:, None, :3, 3]
    depth = seen[..., 2]
    size = seen.new_tensor((width, height))
    position = seen[..., :2] / depth.clamp(min=EPSILON)[..., None] / size
    inside = ((position > 0) & (position < 1)).all(-1)
    return position, inside & (depth > EPSILON)


@dataclass(frozen=True, eq=False)
class SeenViews:
    """The views of a scene, and where N voxels are in them.

    Attributes:
        features: (V, F, h, w). position: (V, N, 2), (u / width, v / height). visible: (V, N) bool.
    """

    features: Tensor
    position: Tensor
    visible: Tensor


class PositionEncoding(nn.Module):
    """MLP from voxel centres (N, 3) in (0, 1) to queries (N, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.position_embedding = nn.Sequential(
            nn.Linear(3, channels), nn.BatchNorm1d(channels), nn.ReLU(), nn.Linear(channels, channels)
        )
        self.apply(_initialise)

    def forward(self, centres: Tensor) -> Tensor:
        return self.position_embedding(centres)


class ConvolutionalAttention(nn.Module):
    """What stands for self-attention in SPA: a 3x3x3 convolution and ReLU, without residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layer = nn.Sequential(nn.Sequential(nn.Conv3d(channels, channels, 3, padding=1), nn.ReLU()))
        self.apply(_initialise)

    def forward(self, volume: Tensor) -> Tensor:
        """(B, C, Z, Y, X) to the same."""
        return self.conv_layer(volume)


class FeedForward(nn.Module):
    """Two linear layers with ReLU between them and a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 4 * channels
        self.layers = nn.Sequential(
            nn.Sequential(nn.Linear(channels, hidden), nn.ReLU()), nn.Linear(hidden, channels)
        )
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class VoxelLayer(nn.Module):
    """Post-norm layer: deformable attention to the views, convolution over the grid, feed-forward."""

    def __init__(self, channels: int, feature_channels: int, recompute: bool) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(
            (
                DeformableAttention(channels, feature_channels, recompute=recompute),
                ConvolutionalAttention(channels),
            )
        )
        self.ffns = nn.ModuleList((FeedForward(channels),))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))

    def forward(self, query: Tensor, scenes: Sequence[SeenViews], shape: tuple[int, int, int]) -> Tensor:
        """(B, C, Z, Y, X) from the queries (N, C) that all B scenes share."""
        attention = self.attentions[0]
        x = torch.stack([attention(query, s.features, s.position, s.visible) for s in scenes])
        x = _cells(self.attentions[1](_grid(self.norms[0](x), shape)))
        return _grid(self.norms[2](self.ffns[0](self.norms[1](x))), shape)


class VoxelDecoder(nn.Module):
    """The stack of layers, of which the release has one."""

    def __init__(self, channels: int, feature_channels: int, recompute: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList((VoxelLayer(channels, feature_channels, recompute),))


class ViewTransform(nn.Module):
    """Feature maps of the views of samples to one volume each.

    Args:
        grid: cells (X, Y, Z). channels: of the volume, a multiple of 8. feature_channels: of the feature maps.
        recompute: sample the views again in the backward pass instead of keeping what was sampled.
    """

    voxels: Tensor

    def __init__(
        self,
        grid: tuple[int, int, int] = (128, 128, 32),
        channels: int = 64,
        feature_channels: int = 64,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        z, y, x = torch.meshgrid(*(torch.arange(float(n)) for n in reversed(grid)), indexing="ij")
        self.register_buffer("voxels", torch.stack((x, y, z), dim=-1))
        self.position_encoding = PositionEncoding(channels)
        self.decoder = VoxelDecoder(channels, feature_channels, recompute)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells (Z, Y, X)."""
        z, y, x = self.voxels.shape[:3]
        return z, y, x

    def forward(self, features: Sequence[Tensor], samples: Sequence[MultiViewSample]) -> Tensor:
        """Volumes (B, C, Z, Y, X) of B samples, from the feature maps (V, F, h, w) of the views of each.

        Queries do not depend on the scene, so they are computed once for all.
        """
        centres = (self.voxels.flatten(0, 2) + 0.5) / self.voxels.new_tensor(tuple(reversed(self.shape)))
        scenes = []
        for maps, sample in zip(features, samples, strict=True):
            points = sample.box[0] + centres * (sample.box[1] - sample.box[0])
            camera = sample.intrinsics @ sample.world_to_camera
            scenes.append(SeenViews(maps, *project(points, camera, *sample.images.shape[-2:])))
        return self.decoder.layers[0](self.position_encoding(centres), scenes, self.shape)


def _grid(x: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(B, C, Z, Y, X) from (B, N, C)."""
    return x.mT.unflatten(2, shape)


def _cells(volume: Tensor) -> Tensor:
    """(B, N, C) from (B, C, Z, Y, X)."""
    return volume.flatten(2).mT


def _initialise(module: nn.Module) -> None:
    """Xavier-uniform weights, zero biases."""
    if isinstance(module, nn.Linear | nn.Conv3d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
