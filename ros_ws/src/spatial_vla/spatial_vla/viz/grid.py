"""The action grid drawn in space: the cells that divide the next step, as points relative to the tool centre point."""

from __future__ import annotations

import numpy as np

from spatial_vla.actions import ActionChunk, ActionGrid

from .colours import GRID, ramp
from .points import PointSet

CELL_DIAMETER = 0.0015
CHOSEN_DIAMETER = 0.007


def grid_cells(grid: ActionGrid) -> PointSet:
    """Centres of all translation cells, faint and all of one colour."""
    positions = grid.centres()[0]
    colours = np.tile(np.array([*GRID, 110], dtype=np.float32) / 255.0, (len(positions), 1))
    return PointSet(positions, colours, CELL_DIAMETER)


def chosen_cells(grid: ActionGrid, chunk: ActionChunk) -> PointSet:
    """The translation cell that each step of a chunk chose, coloured by how sure the choice was.

    Dark is as probable as any cell, bright is certain; between them the scale is logarithmic, for with thousands of
    cells a good choice may still have a small probability.

    A chunk that was not decoded from tokens gives no points.
    """
    if chunk.token_ids is None:
        return PointSet(np.zeros((0, 3)), np.zeros((0, 4), dtype=np.float32), CHOSEN_DIAMETER)
    positions = grid.centres()[0][chunk.token_ids[:, 0]]
    certainty = np.ones(chunk.steps)
    if chunk.log_probabilities is not None:
        certainty += chunk.log_probabilities[:, 0] / np.log(grid.cells[0])
    colours = np.ones((chunk.steps, 4), dtype=np.float32)
    colours[:, :3] = ramp(certainty) / np.float32(255.0)
    return PointSet(positions, colours, CHOSEN_DIAMETER)
