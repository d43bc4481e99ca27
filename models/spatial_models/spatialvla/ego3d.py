"""Ego3D position encoding (SpatialVLA, arXiv 2501.15830, section III-A): where a patch is, added to what it shows.

Depth of the policy's image is back-projected through the middles of sub-cells; :mod:`spatial_vla.geometry.ego3d` does
the same without torch, for one camera. The points become sines and cosines, and those an embedding.

``compat`` computes in the type of what it is given, as the released code does. In bfloat16, which the released weights
were trained in, this rounds so much that the highest frequencies carry other values than in single precision.
"""

from __future__ import annotations

import torch
from spatial_vla.geometry.ego3d import RELEASED_PATCH, RELEASED_SIDE, cell_stride
from torch import Tensor, nn
from torch.nn import functional

RELEASED_CENTRE, RELEASED_EXTENT = (0.0, 0.0, 2.0), 2.0  # x, y in [-2, 2] m and z in [0, 4] m become [-1, 1]


def back_project(
    depth: Tensor,
    intrinsics: Tensor,
    *,
    patch: int = RELEASED_PATCH,
    side: int = RELEASED_SIDE,
    compat: bool = False,
) -> Tensor:
    """Points of every patch, in the camera's frame.

    Args:
        depth: (N, S, S) of the policy's image, metres along the optical axis, everywhere valid.
        intrinsics: (3, 3) or (N, 3, 3) of that image; principal points count from the centre of the first pixel.
        patch, side: patch side [px], sub-cells along an edge of a patch.
        compat: middles of cells half a pixel further, in the type of ``intrinsics``; depth averaged in its own.

    Returns:
        (N, P, side squared, 3) float32 [m], patches and the cells in them row by row.

    Raises:
        ValueError: shapes disagree, or sizes do not divide.
    """
    if depth.ndim != 3 or intrinsics.shape[-2:] != (3, 3) or intrinsics.ndim > 3:
        raise ValueError(
            f"depth {tuple(depth.shape)} and intrinsics {tuple(intrinsics.shape)}: expected (N, S, S) and (3, 3) or "
            "(N, 3, 3)"
        )
    stride = cell_stride(depth.shape[-1], patch, side)
    rows, columns = (n // stride for n in depth.shape[-2:])
    kept = depth if compat else depth.float()
    mean = functional.interpolate(kept[:, None], size=(rows, columns), mode="area").flatten(1)
    pixels = _middles(rows, columns, stride, intrinsics, compat)
    points = (torch.inverse(intrinsics.float()) @ pixels) * mean[:, None]
    split = points.unflatten(-1, (rows // side, side, columns // side, side))
    return split.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)


def _middles(rows: int, columns: int, stride: int, like: Tensor, compat: bool) -> Tensor:
    """Homogeneous pixels (3, rows * columns) float32 of the middles of the cells."""
    dtype = like.dtype if compat else torch.float32
    middle = stride / 2 if compat else (stride - 1) / 2
    u, v = (
        torch.arange(n, device=like.device, dtype=torch.float32) * stride + middle for n in (columns, rows)
    )
    u, v = u.to(dtype).float(), v.to(dtype).float()
    grid = torch.stack(
        (u.expand(rows, -1), v[:, None].expand(-1, columns), torch.ones_like(u).expand(rows, -1))
    )
    return grid.flatten(1)


def fourier_features(values: Tensor, frequencies: int) -> Tensor:
    """Every number q as [q, sin(q), sin(2 q), ... sin(2^(n-1) q), cos(q), ...]: (..., C) to (..., C (2 n + 1))."""
    # Made here, not kept in a buffer: one that is not stored would be left empty by loading without allocation.
    octaves = torch.exp2(torch.arange(frequencies, device=values.device, dtype=torch.float32)).to(
        values.dtype
    )
    angles = values[..., None] * octaves
    return torch.cat((values[..., None], angles.sin(), angles.cos()), dim=-1).flatten(-2)


class Ego3DPositionEncoding(nn.Module):
    """Points of the sub-cells of every patch to an embedding; parameters are named as in the released files.

    Args:
        hidden: width of the embedding, that of the vision tower.
        frequencies: octaves. side: sub-cells along an edge of a patch.
        centre, extent: centre ± extent [m] becomes [-1, 1]. The defaults are the released ones, for the camera's
            frame; for points in the robot's base frame, give the middle and half the size of the workspace.
        compat: round the normalised points to the type of the weights before they are multiplied.
    """

    def __init__(
        self,
        hidden: int,
        frequencies: int = 8,
        side: int = RELEASED_SIDE,
        *,
        centre: tuple[float, float, float] = RELEASED_CENTRE,
        extent: float = RELEASED_EXTENT,
        compat: bool = False,
    ) -> None:
        super().__init__()
        self.frequencies, self.side = frequencies, side
        self.centre, self.extent, self.compat = centre, extent, compat
        first, last = nn.Linear(side * side * 3 * (2 * frequencies + 1), hidden), nn.Linear(hidden, hidden)
        for layer in (first, last):
            nn.init.xavier_uniform_(layer.weight, gain=0.01)
        self.position_embedding_head = nn.Sequential(first, nn.LayerNorm(hidden), nn.ReLU(), last)

    def encode(self, points: Tensor) -> Tensor:
        """Sines and cosines (N, P, K 3 (2 n + 1)) of points (N, P, K, 3) [m], in the type of the weights."""
        dtype = next(self.position_embedding_head[1].parameters()).dtype
        axes = zip(points.float().unbind(-1), self.centre, strict=True)
        unit = torch.stack([(axis - middle) / self.extent for axis, middle in axes], dim=-1).flatten(-2)
        return fourier_features(unit.to(dtype) if self.compat else unit, self.frequencies).to(dtype)

    def forward(self, points: Tensor) -> Tensor:
        """Points (N, P, side squared, 3) [m] to embeddings (N, P, hidden)."""
        if points.shape[-2:] != (self.side**2, 3):
            raise ValueError(
                f"points have shape {tuple(points.shape)}; expected (images, patches, {self.side**2}, 3)"
            )
        return self.position_embedding_head(self.encode(points))
