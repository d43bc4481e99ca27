"""Where a ray is sampled: uniform intervals, refined once where the surface seems to be (NeuS, arXiv 2106.10689).

Edges are fractions of the way from near (0) to far (1). A sample is an interval between two edges; it is read at its
midpoint. Nothing here carries a gradient. Jitter is given, not drawn: without it the result is that of evaluation.
"""

from __future__ import annotations

import torch
from torch import Tensor

SHARPNESS = 64.0
"""of the logistic density that is assumed while up-sampling"""


def interval_alpha(sdf: Tensor, slope: Tensor, length: Tensor, sharpness: Tensor | float) -> Tensor:
    """Opacity of intervals: the fall of a sigmoid of the signed distance from one end to the other.

    Args:
        sdf: signed distance at the midpoint. slope: its derivative along the ray, not positive.
        length: of the interval, same unit as ``sdf``. sharpness: of the sigmoid.

    Returns:
        Opacity in [0, 1], broadcast shape of the arguments.
    """
    before = torch.sigmoid((sdf - slope * length / 2) * sharpness)
    after = torch.sigmoid((sdf + slope * length / 2) * sharpness)
    return ((before - after + 1e-5) / (before + 1e-5)).clamp(0, 1)


def rendering_weights(alpha: Tensor) -> Tensor:
    """Share of each interval in the pixel, (R, S) from opacities (R, S): alpha times what those before let through."""
    through = torch.cumprod(1 - alpha + 1e-7, dim=-1)
    return alpha * torch.cat((torch.ones_like(alpha[:, :1]), through[:, :-1]), dim=-1)


def uniform_edges(rays: int, count: int, jitter: Tensor | None, like: Tensor) -> Tensor:
    """Edges (R, count + 1) of ``count`` equal intervals.

    Args:
        jitter: (R,) in [0, 1) or None. One number moves all edges of a ray, each between the centres of the intervals
            on its two sides (the outer edges stop at the end of the ray).
        like: gives type and device.
    """
    edges = torch.linspace(0, 1, count + 1, dtype=like.dtype, device=like.device).expand(rays, -1)
    if jitter is None:
        return edges
    centres = (edges[:, 1:] + edges[:, :-1]) / 2
    lower = torch.cat((edges[:, :1], centres), dim=1)
    upper = torch.cat((centres, edges[:, -1:]), dim=1)
    return lower + (upper - lower) * jitter[:, None]


def upsampling_weights(sdf: Tensor, length: Tensor) -> Tensor:
    """How much of the surface each interval seems to hold.

    Args:
        sdf: (R, S) signed distance at the midpoints. length: (R, S) of the intervals, same unit.

    Returns:
        (R, S); the last is zero, for a slope needs two midpoints.
    """
    slope = (sdf[:, 1:] - sdf[:, :-1]) / (length[:, :-1] + 1e-5)
    previous = torch.cat((torch.zeros_like(slope[:, :1]), slope[:, :-1]), dim=1)
    slope = torch.minimum(slope, previous).clamp(-1000, 0)
    middle = (sdf[:, 1:] + sdf[:, :-1]) / 2
    weights = rendering_weights(interval_alpha(middle, slope, length[:, :-1], SHARPNESS))
    return torch.cat((weights, torch.zeros_like(weights[:, :1])), dim=1)


def inverse_transform_edges(edges: Tensor, weights: Tensor, count: int, jitter: Tensor | None) -> Tensor:
    """Edges (R, count + 1) of ``count`` intervals, drawn from a density that is constant within each given interval.

    Args:
        edges: (R, S + 1). weights: (R, S), not negative; a ray with none gets the uniform density.
        jitter: (R,) in [0, 1) or None: where in their equal shares of probability the new edges lie; None: the middle.
    """
    total = weights.sum(-1, keepdim=True)
    missing = (1e-5 - total).clamp(min=0)
    density = (weights + missing / weights.shape[-1]) / (total + missing)
    cumulative = density.cumsum(-1).clamp(max=1)
    cumulative = torch.cat((torch.zeros_like(cumulative[:, :1]), cumulative), dim=1)
    new = count + 1
    share = torch.full_like(total, 0.5) if jitter is None else jitter[:, None]
    target = torch.linspace(0, 1 - 1 / new, new, dtype=edges.dtype, device=edges.device) + share / new
    above = torch.searchsorted(cumulative, target.contiguous(), right=True)
    below = (above - 1).clamp(0, edges.shape[1] - 1)
    above = above.clamp(0, edges.shape[1] - 1)
    start, start_at = edges.gather(1, below), cumulative.gather(1, below)
    span = cumulative.gather(1, above) - start_at
    step = ((target - start_at) / torch.where(span < 1e-5, 1.0, span)).clamp(0, 1)
    return start + step * (edges.gather(1, above) - start)


def merged_edges(first: Tensor, second: Tensor) -> Tensor:
    """Edges (R, A + B + 1) from (R, A + 1) and (R, B + 1): all **starts** sorted, and the later of both ends."""
    starts = torch.cat((first[:, :-1], second[:, :-1]), dim=1).sort(dim=1).values
    return torch.cat((starts, torch.maximum(first[:, -1:], second[:, -1:])), dim=1)
