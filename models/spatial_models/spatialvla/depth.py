"""Depth of the policy's image: from ZoeDepth as released, from any metric estimator of transformers, or given.

ZoeDepth has two heads, one for rooms and one for streets, metres apart, and a classifier that chooses. The network of
transformers adds up the classifier's scores of a batch and uses one head for all, so that an image's depth depends on
its neighbours. Here the choice is made for each image; ``compat`` restores the vote. Both heads are computed, which
costs little beside the backbone and keeps the choice on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from spatial_vla.geometry.ego3d import fill_depth
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForDepthEstimation, ZoeDepthForDepthEstimation
from transformers.image_processing_base import ImageProcessingMixin

ZOE_SIZE = 384
_METRIC = ("zoedepth", "depth_pro", "glpn")  # kinds of models that know no other depth


class DepthProvider(Protocol):
    """What gives depth for the policy's images."""

    def depth(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S), values in [0, 1], to metres (N, S, S) along the optical axis, without gradients."""
        ...


class ZoeDepth:
    """The released depth: padded by reflection, resized to 384, and back.

    Args:
        network: of transformers, on its device, in its type.
        compat: one head for a batch, chosen by vote, and resizing in the network's type.
        size: side that the network sees [px]; released 384, a multiple of the backbone's patch.
    """

    def __init__(
        self, network: ZoeDepthForDepthEstimation, *, compat: bool = False, size: int = ZOE_SIZE
    ) -> None:
        self.network, self.compat, self.size = network.eval(), compat, size

    @torch.no_grad()
    def depth(self, images: Tensor) -> Tensor:
        """See :class:`DepthProvider`; in the network's type with ``compat``, else float32."""
        side = images.shape[-1]
        pad = zoe_padding(side)
        kind = self.network.dtype
        pixels = images.to(kind if self.compat else torch.float32)
        pixels = functional.pad(pixels, (pad,) * 4, mode="reflect")
        pixels = _bicubic(pixels, self.size)
        metres = zoe_depth(self.network, ((pixels - 0.5) / 0.5).to(kind), vote=self.compat)
        metres = _bicubic((metres if self.compat else metres.float())[:, None], side + 2 * pad)
        return metres[:, 0, pad:-pad, pad:-pad]


def zoe_padding(side: int) -> int:
    """Pixels that ZoeDepth's images are padded by on each side: 31 for 224."""
    return int(3 * (side / 2) ** 0.5)


def zoe_depth(network: ZoeDepthForDepthEstimation, pixels: Tensor, *, vote: bool = False) -> Tensor:
    """ZoeDepth's metres (N, H, W) for its own images (N, 3, H, W), in [-1, 1].

    Args:
        vote: one head for all images, as transformers does; without, each image has the head it would have alone.
    """
    backbone: Any = network.backbone
    features = backbone(pixels).feature_maps
    grid = tuple(n // network.patch_size for n in pixels.shape[-2:])
    blocks, bottleneck = network.neck(features, *grid)
    relative, activation = network.relative_head(blocks)
    heads: Any = network.metric_head
    if not hasattr(heads, "mlp_classifier"):
        metres, _ = heads(activation, bottleneck, blocks, relative)
        return metres[:, 0]
    x = heads.conv2(bottleneck)
    scores = heads.mlp_classifier(heads.patch_transformer(x)[:, 0])
    chosen = (scores.sum(0, keepdim=True).softmax(-1) if vote else scores).argmax(-1)
    metres = torch.stack(
        [_head_depth(heads, conf, x, blocks, activation) for conf in heads.bin_configurations], dim=1
    )
    chosen = chosen.expand(len(metres))[:, None, None, None].expand(-1, 1, *metres.shape[-2:])
    return metres.gather(1, chosen)[:, 0]


def _head_depth(
    heads: Any, configuration: dict[str, Any], x: Tensor, blocks: Sequence[Tensor], activation: Tensor
) -> Tensor:
    """Metres (N, H, W) of one head: bins are seeded, drawn to attractors scale by scale, and weighted."""
    name = configuration["name"]
    _, bins = heads.seed_bin_regressors[name](x)
    if heads.bin_centers_type == "normed":
        low, high = configuration["min_depth"], configuration["max_depth"]
        bins = (bins - low) / (high - low)
    centres, embedding = bins, heads.seed_projector(x)
    for project, attract, block in zip(heads.projectors, heads.attractors[name], blocks, strict=True):
        projected = project(block)
        bins, centres = attract(projected, bins, embedding, interpolate=True)
        embedding = projected
    centres, embedding = (_bilinear(t, activation.shape[-2:]) for t in (centres, embedding))
    return (heads.conditional_log_binomial[name](activation, embedding) * centres).sum(1)


class TransformersDepth:
    """Any metric depth estimator of transformers, for example Depth-Anything-V2-Metric or ZoeDepth-NYU.

    Args:
        network: called with ``pixel_values``, gives ``predicted_depth``.
        size: side that it sees [px]. mean, std: its normalisation.
        metric: vouch for the unit of a network whose configuration does not say metres.

    Raises:
        ValueError: the network gives relative depth, which has no unit.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        size: int = 518,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        metric: bool = False,
    ) -> None:
        config: Any = network.config
        said = getattr(config, "depth_estimation_type", None)
        if said == "relative" or not (metric or said == "metric" or config.model_type in _METRIC):
            raise ValueError(
                f"a {config.model_type!r} with depth_estimation_type {said!r} gives no metres; take a metric one, such "
                "as depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf, or say metric=True if it is one"
            )
        self.network: Any = network.eval()
        self.size, self.mean, self.std = size, tuple(mean), tuple(std)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> TransformersDepth | ZoeDepth:
        """Load network and normalisation by name or folder; a ZoeDepth comes as :class:`ZoeDepth`."""
        network: Any = AutoModelForDepthEstimation.from_pretrained(str(name_or_path), dtype=dtype).to(device)
        if isinstance(network, ZoeDepthForDepthEstimation):
            return ZoeDepth(network)
        fields, _ = ImageProcessingMixin.get_image_processor_dict(str(name_or_path))
        size = fields.get("size") or {}
        side = max(size.get("height", 0), size.get("width", 0), size.get("shortest_edge", 0)) or 518
        named = {name: fields[f"image_{name}"] for name in ("mean", "std") if f"image_{name}" in fields}
        return cls(network, size=side, **named)

    @torch.no_grad()
    def depth(self, images: Tensor) -> Tensor:
        """See :class:`DepthProvider`; float32."""
        channels = [
            (channel - mean) / std
            for channel, mean, std in zip(images.float().unbind(1), self.mean, self.std, strict=True)
        ]
        pixels = functional.interpolate(torch.stack(channels, dim=1), (self.size,) * 2, mode="bicubic")
        metres = self.network(pixel_values=pixels.to(self.network.dtype)).predicted_depth.float()
        return functional.interpolate(metres[:, None], images.shape[-2:], mode="bilinear")[:, 0]


class GivenDepth:
    """Depth that was measured, for the images of one call.

    Args:
        metres: (N, H, W) or (H, W), registered to the colour images; 0, NaN and infinity are filled from the nearest
            pixel that was measured.
    """

    def __init__(self, metres: ArrayLike) -> None:
        images = np.asarray(metres, dtype=np.float32)
        if images.ndim not in (2, 3):
            raise ValueError(f"depth has shape {images.shape}; expected (N, H, W) or (H, W)")
        full = [fill_depth(image)[0] for image in images.reshape(-1, *images.shape[-2:])]
        self.metres = torch.from_numpy(np.stack(full))

    def depth(self, images: Tensor) -> Tensor:
        """See :class:`DepthProvider`; the nearest pixels where sizes differ."""
        if len(self.metres) != len(images):
            raise ValueError(f"{len(self.metres)} depth images for {len(images)} colour images")
        # Exact: between an object and what is behind it there is nothing to interpolate.
        metres = functional.interpolate(self.metres[:, None], images.shape[-2:], mode="nearest-exact")
        return metres[:, 0].to(images.device)


def _bicubic(images: Tensor, size: int) -> Tensor:
    return functional.interpolate(images, (size, size), mode="bicubic", align_corners=True)


def _bilinear(images: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(images, tuple(size), mode="bilinear", align_corners=True)
