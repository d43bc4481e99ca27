"""The table of position embeddings: how it starts, and how it is taken to another image size.

Tables are (1, 1 + grid², D): the class token's row, then the patches row by row.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor
from torch.nn import functional as F


def sincos_position_table(width: int, grid: int) -> Tensor:
    """MAE's fixed 2D table (1, 1 + grid², width): class row zero, first half of the channels encodes the column."""
    omega = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    angle = torch.arange(grid, dtype=torch.float64)[:, None] * omega
    axis = torch.cat((angle.sin(), angle.cos()), dim=1)
    column = axis[None, :, :].expand(grid, grid, -1)
    row = axis[:, None, :].expand(grid, grid, -1)
    table = torch.cat((column, row), dim=-1).reshape(1, grid * grid, width)
    return torch.cat((torch.zeros(1, 1, width), table), dim=1).float()


def resample_position_table(table: Tensor, grid: int) -> Tensor:
    """A trained table (1, 1 + g², D) as (1, 1 + grid², D); the class row is kept.

    Bicubic, align_corners False and without antialiasing, as the released loader does it. The antialias flag would
    change the result even when enlarging: PyTorch's bicubic has a = -0.75 without it and -0.5 with it.
    """
    old = isqrt(table.shape[1] - 1)
    if old == grid:
        return table
    rows = table[:, 1:].unflatten(1, (old, old)).permute(0, 3, 1, 2)
    rows = F.interpolate(rows, size=(grid, grid), mode="bicubic", align_corners=False, antialias=False)
    return torch.cat((table[:, :1], rows.flatten(2).transpose(1, 2)), dim=1)
