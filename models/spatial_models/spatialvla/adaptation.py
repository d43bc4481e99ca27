"""Spatial embedding adaptation (SpatialVLA, arXiv 2501.15830, section III-C): a new robot's grid, and a start for it.

New actions have other Gaussians and these another grid, whose cells mean other motions. Each new cell's embedding
starts as what the old table says at the new cell's centre: trilinear interpolation between the centres of the old
cells, in (theta, phi, r) and in (roll, pitch, yaw). Beyond the outermost centres the table goes on as at its edge.

The released code scatters the cells over the wrong axes: it numbers grid points with the first two axes exchanged and
table rows without, so that a point has another cell's row. ``compat`` reproduces it, and its interpolation on
tetrahedra.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from spatial_vla.actions import ActionGrid
from torch import Tensor

_AXES = (("theta", "phi", "r"), ("roll", "pitch", "yaw"))
GRIPPER = 2
Array = NDArray[np.float64]


def adapted_rows(rows: Tensor, old: ActionGrid, new: ActionGrid, *, compat: bool = False) -> Tensor:
    """Rows of action tokens for a new grid, in the order of its tokens: translation, rotation, gripper.

    The same for the table of embeddings and for the action rows of the output head. The gripper's rows stay. A token
    for no motion that the old grid lacks starts at the old table's centre of motion: the mean over all directions of
    the shortest translations, and the table at rotation zero.

    Args:
        rows: (tokens of ``old``, width), any floating type.

    Returns:
        (tokens of ``new``, width), same type and device.

    Raises:
        ValueError: ``rows`` are not those of the old grid, or ``compat`` is asked of grids with tokens for no motion.
    """
    if rows.ndim != 2 or len(rows) != sum(old.cells):
        raise ValueError(
            f"rows have shape {tuple(rows.shape)}; expected ({sum(old.cells)}, width), a row for each token of the old "
            "grid. A checkpoint's grid is in its processor_config.json"
        )
    if compat and (old.zero_motion or new.zero_motion):
        raise ValueError("compat knows no tokens for no motion; fit the grid without a dead zone")
    translation, rotation, gripper = rows.float().split(old.cells)
    slots = []
    for table, names, axis in zip((translation, rotation), _AXES, range(2), strict=True):
        edges = tuple((getattr(old, n), getattr(new, n)) for n in names)
        shape = old.shape[3 * axis : 3 * axis + 3]
        cells = table[: int(np.prod(shape))]
        slots.append(_released(cells, edges) if compat else _trilinear(cells.view(*shape, -1), edges))
        if new.zero_motion:
            still = table[-1] if old.zero_motion else _still(cells.view(*shape, -1), names, old)
            slots.append(still[None])
    return torch.cat((*slots, gripper)).to(rows.dtype)


def centres(edges: Array) -> Array:
    """Mid-points of cells."""
    return np.array([(low + high) / 2 for low, high in pairwise(edges)])


def axis_weights(old: Array, at: Array) -> Tensor:
    """(points, old cells) float32: weights of the old cells' centres at points along one axis; rows sum to 1."""
    middles = centres(old)
    columns = [np.interp(at, middles, one) for one in np.eye(len(middles))]
    return torch.from_numpy(np.stack(columns, axis=1)).float()


def _trilinear(table: Tensor, edges: Sequence[tuple[Array, Array]]) -> Tensor:
    """(new cells, width) of a table (a, b, c, width). Centres form a grid too, so the axes go one after the other."""
    for axis, (old, new) in enumerate(edges):
        weights = axis_weights(old, centres(new)).to(table.device)
        table = torch.movedim(torch.tensordot(weights, table.movedim(axis, 0), dims=1), 0, axis)
    return table.flatten(0, 2)


def _still(table: Tensor, names: Sequence[str], old: ActionGrid) -> Tensor:
    """(width,) of no motion, where the old grid has no token for it."""
    if names == _AXES[0]:
        return table[:, :, 0].mean((0, 1))
    zero = np.zeros(1)
    for name in names:  # the first axis is used up each time
        table = torch.tensordot(axis_weights(getattr(old, name), zero)[0].to(table.device), table, dims=1)
    return table


def _released(cells: Tensor, edges: Sequence[tuple[Array, Array]]) -> Tensor:
    """The released interpolation, on the CPU: (new cells, width), the points in another order than the rows."""
    units = [
        [np.concatenate(([0.0], (centres(axis) - old[0]) / (old[-1] - old[0]), [1.0])) for axis in (old, new)]
        for old, new in edges
    ]
    padding = [(1, 1)] * 3 + [(0, 0)]
    before, after = ([len(pair[i]) for pair in units] for i in (0, 1))
    table = cells.cpu().numpy().reshape(*(n - 2 for n in before), -1)
    rows = np.pad(table, padding, mode="edge").reshape(-1, table.shape[-1])
    # "xy" exchanges the first two axes; the rows keep theirs. This is the defect.
    known, wanted = (
        np.stack(np.meshgrid(*(pair[i] for pair in units), indexing="xy"), axis=-1).reshape(-1, 3)
        for i in (0, 1)
    )
    found = LinearNDInterpolator(known, rows)(wanted).reshape(*after, -1)
    return torch.from_numpy(found[1:-1, 1:-1, 1:-1]).flatten(0, 2).float().to(cells.device)
