"""From the volume of features to what the renderer reads: signed distance, colour, semantics.

(HaoyiZhu/SPA: unet3d_utils.py, ExpConv3D.) Reading a volume and summing along a ray are linear, and so is the last
layer of the heads. Hence the sum over the nine coefficients of a colour, which no direction ever weighs, is done on
that layer's weights, and the semantic layer (1280 channels in the release) runs once per rendered ray instead of once
per voxel: same numbers, a twentieth of the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COEFFICIENTS = 9
"""per colour, left over from spherical harmonics that the reference computes and does not use"""


@dataclass(frozen=True, eq=False)
class SceneVolumes:
    """What is known of one scene at the centres of its voxels.

    Attributes:
        sdf: (Z, Y, X), signed distance [scene scales], positive in free space.
        colour: (3, Z, Y, X), RGB before "plus 0.5, sigmoid".
        semantic: (Z, Y, X, C), hidden features, or None.
        semantic_weight, semantic_bias: (K, C), (K,), from hidden features to semantic ones, or None.
    """

    sdf: Tensor
    colour: Tensor
    semantic: Tensor | None = None
    semantic_weight: Tensor | None = None
    semantic_bias: Tensor | None = None


class ResidualBlock3d(nn.Module):
    """Two 3x3x3 convolutions beside a 1x1x1 one, GELU. The "bn" of the names are group norms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = _norm(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = _norm(channels)
        self.downsample_layer = nn.Sequential(nn.Conv3d(channels, channels, 1, bias=False), _norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.gelu(self.bn1(self.conv1(x)))))
        return F.gelu(y + self.downsample_layer(x))


class Head(nn.Sequential):
    """3x3x3 convolution, group norm, activation, and a linear last layer: a 1x1x1 convolution."""

    def __init__(self, inputs: int, channels: int, activation: nn.Module, outputs: int) -> None:
        convolution = nn.Conv3d(inputs, channels, 3, padding=1)
        super().__init__(convolution, _norm(channels), activation, nn.Conv3d(channels, outputs, 1))

    def hidden(self, x: Tensor) -> Tensor:
        """What goes into the last layer."""
        for layer in list(self)[:-1]:
            x = layer(x)
        return x

    @property
    def last(self) -> tuple[Tensor, Tensor]:
        """Weight (outputs, channels) and bias (outputs,) of the last layer."""
        layer = self[-1]
        assert isinstance(layer, nn.Conv3d) and layer.bias is not None
        return layer.weight.flatten(1), layer.bias


class FeatureVolumes(nn.Module):
    """Three heads on a shared block; the colour and the semantic one also see the features of the distance's.

    Args:
        channels: of the volume, a multiple of 16. semantic_channels: of the teacher; 0: no semantic head.

    Raises:
        ValueError: ``channels`` is not a multiple of 16.
    """

    def __init__(self, channels: int = 64, semantic_channels: int = 1280) -> None:
        super().__init__()
        if channels % 16:
            raise ValueError(
                f"channels = {channels}: group norms have 16 channels a group; give a multiple of 16"
            )
        features = channels // 2
        self.shared_conv3d = ResidualBlock3d(channels)
        self.sdf_conv3d = Head(channels, channels, nn.Softplus(beta=100), 1 + features)
        self.rgb_conv3d = Head(channels + features, channels, nn.GELU(), 3 * COEFFICIENTS)
        self.semantic_conv3d = (
            Head(channels + features, channels, nn.GELU(), semantic_channels) if semantic_channels else None
        )
        self.apply(_initialise)

    def forward(self, volume: Tensor) -> list[SceneVolumes]:
        """The three volumes of each of B scenes from (B, C, Z, Y, X)."""
        shared = self.shared_conv3d(volume)
        sdf = self.sdf_conv3d(shared)
        both = torch.cat((shared, sdf[:, 1:]), dim=1)
        weight, bias = self.rgb_conv3d.last
        weight = weight.view(3, COEFFICIENTS, -1).sum(1)[..., None, None, None]
        colour = F.conv3d(self.rgb_conv3d.hidden(both), weight, bias.view(3, COEFFICIENTS).sum(1))
        if self.semantic_conv3d is None:
            return [SceneVolumes(*scene) for scene in zip(sdf[:, 0], colour, strict=True)]
        hidden = self.semantic_conv3d.hidden(both).movedim(1, -1)
        last = self.semantic_conv3d.last
        return [SceneVolumes(*scene, *last) for scene in zip(sdf[:, 0], colour, hidden, strict=True)]


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // 16, channels)


def _initialise(module: nn.Module) -> None:
    """Normal(0.02), truncated at 2, and zero biases: the signed distance does not start as a sphere."""
    if isinstance(module, nn.Conv3d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
