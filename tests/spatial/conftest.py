"""What other programs say about the same scenes: exact solids, and a search for placements that knows no grid."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest


def gap_to_solids(arrangement, point, skip_table=True):
    """Distance [m] of a point to the nearest solid of a model, by the primitives' formulas; 0 inside one."""
    model, data = arrangement.model, arrangement.data
    best = np.inf
    for geom in range(1 if skip_table else 0, model.ngeom):
        local = np.abs(data.geom_xmat[geom].reshape(3, 3).T @ (point - data.geom_xpos[geom]))
        size, kind = model.geom_size[geom], model.geom_type[geom]
        if kind == mujoco.mjtGeom.mjGEOM_BOX:
            gap = np.linalg.norm(np.maximum(local - size, 0.0))
        elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            gap = max(np.linalg.norm(local) - size[0], 0.0)
        else:
            gap = np.hypot(max(np.hypot(*local[:2]) - size[0], 0.0), max(local[2] - size[1], 0.0))
        best = min(best, float(gap))
    return best


@pytest.fixture(name="gap_to_solids")
def _gap_to_solids():
    return gap_to_solids
