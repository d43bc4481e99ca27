"""What a rendering should agree with (HaoyiZhu/SPA: base_surface_model.py).

Distances are in units of the sample's scale. Two conventions are SPA's and kept: the signed distance is read at an
interval's **midpoint** and compared at its **start**, and masked patches have no loss of their own (rays come from the
whole image).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .multiview import MultiViewSample, Rays
from .renderer import Rendering

TRUNCATION = 0.25
"""distance from the surface up to which depth supervises the signed distance [m]"""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; those of the release."""

    colour: float = 10.0
    depth: float = 1.0
    semantic: float = 1.0
    sdf: float = 10.0
    free_space: float = 1.0
    eikonal: float = 0.01

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum () of the terms that are there.

        Raises:
            KeyError: a term that has no weight.
        """
        weights = asdict(self)
        if unknown := sorted(set(terms) - set(weights)):
            raise KeyError(f"no weight for the terms {unknown}; known: {sorted(weights)}")
        return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def ray_colours(sample: MultiViewSample, rays: Rays) -> Tensor:
    """(R, 3), colour of the sample's images at the rays' pixels, bilinear, pixel centres at integers."""
    height, width = sample.images.shape[-2:]
    last = rays.pixel.new_tensor((width - 1, height - 1))
    colours = rays.pixel.new_zeros(len(rays), 3)
    for view in range(len(sample.images)):
        chosen = (rays.view == view).nonzero()[:, 0]
        at = (2 * rays.pixel[chosen] / last - 1)[None, None]
        found = F.grid_sample(sample.images[view : view + 1], at, align_corners=True)
        colours = colours.index_copy(0, chosen, found[0, :, 0].T)
    return colours


def scene_losses(
    rendering: Rendering, rays: Rays, scale: Tensor, colour: Tensor, semantic: Tensor | None = None
) -> dict[str, Tensor]:
    """Terms of one scene, not yet weighted.

    Args:
        rendering: of R rays. rays: with their depth [m], 0 where unknown. scale: () [m].
        colour: (R, 3) in [0, 1]. semantic: (R, K), the teacher's features, or None: no such term.

    Returns:
        By the names of `LossWeights`, each (). A mean over nothing is 0.

    Raises:
        ValueError: semantic targets that the rendering has no counterpart for.
    """
    depth = (rays.depth / scale)[:, None]
    truncation = TRUNCATION / scale
    known = depth > 0
    near_surface = known & ((rendering.start - depth).abs() <= truncation)
    before = known & (rendering.start < depth - truncation)
    off = rendering.start + rendering.sdf - depth
    terms = {
        "colour": (rendering.rgb - colour).abs().mean(),
        "depth": _mean((rendering.depth[:, None] - depth).abs(), known),
        "sdf": _mean(off.abs(), near_surface),
        "free_space": _mean(F.relu(truncation - rendering.sdf), before),
        "eikonal": (rendering.gradient.norm(dim=-1) - 1).square().mean(),
    }
    if semantic is not None:
        terms["semantic"] = _semantic(rendering, semantic)
    return terms


def mean_over_scenes(scenes: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Each term's mean over the scenes that have it."""
    found: dict[str, list[Tensor]] = {}
    for terms in scenes:
        for name, term in terms.items():
            found.setdefault(name, []).append(term)
    return {name: torch.stack(values).mean() for name, values in found.items()}


def psnr(rgb: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio () [dB] of colours in [0, 1], any shape."""
    return -10 * torch.log10((rgb - target).square().mean())


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)


def _semantic(rendering: Rendering, target: Tensor) -> Tensor:
    if rendering.semantic is None or rendering.semantic.shape != target.shape:
        shape = None if rendering.semantic is None else tuple(rendering.semantic.shape)
        raise ValueError(
            f"semantic targets {tuple(target.shape)}, rendered {shape}: they must agree; build the model with "
            f"semantic_channels={target.shape[-1]}, or give no targets"
        )
    return 1 - F.cosine_similarity(rendering.semantic, target, dim=-1).mean()
