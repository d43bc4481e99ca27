"""Trilinear interpolation from gathered corners: values and gradients, differentiable twice.

``torch.nn.functional.grid_sample`` has no second derivative in 3D, and the renderer trains through the gradient of the
signed distance. Here the gradient is a weighted sum of the same eight corners as the value, so that training through
it needs first derivatives only; automatic differentiation of either gives the second ones.

A volume is (Z, Y, X); coordinates are (x, y, z) in cells, 0 at the centre of the first cell. Outside is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def cell_coordinates(points: Tensor, box: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Where points lie in a volume [cells], with the box's corners on the **centres** of the corner cells.

    The volume is built with the corners on the outer faces of those cells (`ViewTransform`); the half cell between the
    two conventions (``align_corners`` true here, false there) is SPA's, and its weights were trained with it.

    Args:
        points: (..., 3), xyz. box: (2, 3), lowest and highest corner, same frame and unit. shape: (Z, Y, X).

    Returns:
        (..., 3), xyz.
    """
    return (points - box[0]) / (box[1] - box[0]) * cells_across(box, shape)


def cells_across(box: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(3,) steps from the first to the last cell of each axis, xyz, with the type and device of ``box``."""
    return box.new_tensor([size - 1 for size in reversed(shape)])


@dataclass(frozen=True, eq=False)
class Corners:
    """The eight cells around each of N points.

    Attributes:
        index: (N, 8) int64 into the flattened volume; some cell, with weight zero, where the corner is outside.
        factor: (N, 3, 2), per axis (x, y, z) the weight of the lower and the upper cell; zero where outside.
        slope: (N, 3, 2), the derivative of ``factor`` by the coordinate.
    """

    index: Tensor
    factor: Tensor
    slope: Tensor

    @property
    def weight(self) -> Tensor:
        """(N, 8), the product of the factors; at most 1 in sum, less where the point is not inside."""
        return _product(*self.factor.unbind(1))

    @property
    def gradient(self) -> Tensor:
        """(N, 8, 3), derivative of ``weight`` by the coordinates xyz [1/cell]."""
        x, y, z = self.factor.unbind(1)
        dx, dy, dz = self.slope.unbind(1)
        return torch.stack((_product(dx, y, z), _product(x, dy, z), _product(x, y, dz)), dim=-1)


def corners(coordinates: Tensor, shape: tuple[int, int, int]) -> Corners:
    """The cells around points at ``coordinates`` (N, 3) [cells, xyz] in a volume of ``shape`` (Z, Y, X)."""
    low = coordinates.detach().floor()
    fraction = coordinates - low
    position = low.long()[..., None] + torch.arange(2, device=low.device)
    size = torch.tensor(tuple(reversed(shape)), device=low.device)[:, None]
    inside = (position >= 0) & (position < size)
    position = position.clamp(min=0).minimum(size - 1)
    x, y, z = position.unbind(1)
    index = (z[:, :, None, None] * shape[1] + y[:, None, :, None]) * shape[2] + x[:, None, None, :]
    sign = torch.tensor((-1.0, 1.0), dtype=coordinates.dtype, device=coordinates.device)
    factor = torch.stack((1 - fraction, fraction), dim=-1) * inside
    return Corners(index.flatten(1), factor, sign * inside)


def interpolate(volume: Tensor, at: Corners) -> Tensor:
    """Values (C, N) of a volume (C, Z, Y, X) at N points."""
    found = _gather(volume.flatten(1), at.index)
    return (found * at.weight).sum(-1)


def interpolate_with_gradient(volume: Tensor, at: Corners) -> tuple[Tensor, Tensor]:
    """Values (N,) of a volume (Z, Y, X) at N points, and their gradient (N, 3) by the coordinates xyz [1/cell].

    At a cell's centre, where the gradient jumps, it is that of the side of the larger coordinate.
    """
    found = _gather(volume.reshape(1, -1), at.index)[0]
    return (found * at.weight).sum(-1), (found[..., None] * at.gradient).sum(-2)


def _gather(cells: Tensor, index: Tensor) -> Tensor:
    """(C, N, 8) from cells (C, M) at index (N, 8)."""
    flat = index.reshape(1, -1).expand(len(cells), -1)
    return cells.gather(1, flat).view(len(cells), *index.shape)


def _product(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """(N, 8) from three (N, 2): x varies fastest, as in the index."""
    return (z[:, :, None, None] * y[:, None, :, None] * x[:, None, None, :]).flatten(1)
