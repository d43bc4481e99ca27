"""Colour jitter: brightness, contrast, saturation, hue and order of the channels, the same for all views of a scene.

Ranges, order and formulas are those of torchvision's ``RandomPhotometricDistort``, which needs torchvision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_GREY = (0.2989, 0.587, 0.114)


@dataclass(frozen=True)
class ColorJitter:
    """One draw of the parameters; None leaves that step out.

    Attributes:
        brightness, contrast, saturation: factors. hue: shift in turns of the colour circle.
        contrast_first: contrast before saturation and hue instead of after them.
        permutation: new order of the three channels.
    """

    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    hue: float | None = None
    contrast_first: bool = True
    permutation: tuple[int, ...] | None = None

    @classmethod
    def draw(cls, rng: np.random.Generator) -> ColorJitter:
        """Each step with probability one half."""

        def maybe(low: float, high: float) -> float | None:
            value = float(rng.uniform(low, high))
            return value if rng.random() < 0.5 else None

        return cls(
            brightness=maybe(0.875, 1.125),
            contrast=maybe(0.5, 1.5),
            saturation=maybe(0.5, 1.5),
            hue=maybe(-0.05, 0.05),
            contrast_first=bool(rng.random() < 0.5),
            permutation=tuple(rng.permutation(3).tolist()) if rng.random() < 0.5 else None,
        )

    def apply(self, images: Tensor) -> Tensor:
        """Jittered copy of RGB images (V, 3, H, W) in [0, 1], again in [0, 1]."""
        if self.brightness is not None:
            images = (images * self.brightness).clamp(0.0, 1.0)
        if self.contrast_first:
            images = self._with_contrast(images)
        if self.saturation is not None:
            images = _blend(images, _grey(images), self.saturation)
        if self.hue is not None:
            images = shift_hue(images, self.hue)
        if not self.contrast_first:
            images = self._with_contrast(images)
        return images if self.permutation is None else images[:, list(self.permutation)]

    def _with_contrast(self, images: Tensor) -> Tensor:
        if self.contrast is None:
            return images
        return _blend(images, _grey(images).mean(dim=(-3, -2, -1), keepdim=True), self.contrast)


def shift_hue(images: Tensor, turns: float) -> Tensor:
    """RGB images (..., 3, H, W) with the hue turned, in the HSV hexcone."""
    red, green, blue = images.unbind(-3)
    value, low = images.amax(-3), images.amin(-3)
    chroma = value - low
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    hue = torch.where(value == red, (green - blue) / safe, 2.0 + (blue - red) / safe)
    hue = torch.where((value == blue) & (value != red) & (value != green), 4.0 + (red - green) / safe, hue)
    hue = hue + 6.0 * turns
    # Colour n of the hexcone: value - chroma * max(0, min(k, 4 - k, 1)) with k = (n + hue) mod 6.
    channels = []
    for n in (5.0, 3.0, 1.0):
        k = torch.remainder(n + hue, 6.0)
        channels.append(value - chroma * torch.minimum(k, 4.0 - k).clamp(0.0, 1.0))
    return torch.stack(channels, dim=-3)


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor(_GREY, dtype=images.dtype, device=images.device).view(3, 1, 1)
    return (images * weights).sum(dim=-3, keepdim=True)


def _blend(images: Tensor, other: Tensor, factor: float) -> Tensor:
    return (factor * images + (1.0 - factor) * other).clamp(0.0, 1.0)
