"""The action grid in a checkpoint's ``processor_config.json``: its edges as they are, never computed anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .grid import ActionGrid

FILE = "processor_config.json"
_GROUPS = {"translation": ("theta", "phi", "r"), "rotation": ("roll", "pitch", "yaw")}


def read_processor_config(folder: str | Path) -> dict[str, Any]:
    """The fields of a checkpoint's ``processor_config.json``; ``folder`` may name the file itself.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = Path(folder)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"no {FILE} at {path}; give the folder of a SpatialVLA checkpoint")
    return json.loads(path.read_text())


def grid_from_bin_policy(policy: Mapping[str, Any]) -> ActionGrid:
    """The grid of a ``bin_policy``: ``{"translation": {"theta_bins": [...], ...}, "rotation": {...}}``.

    Raises:
        ValueError: edges are missing, or do not increase.
    """
    named = {
        name: policy.get(group, {}).get(f"{name}_bins") for group, names in _GROUPS.items() for name in names
    }
    if absent := [name for name, edges in named.items() if edges is None]:
        raise ValueError(
            f"bin_policy lacks {', '.join(f'{name}_bins' for name in absent)}; expected polar translation (theta, phi, "
            "r) and roll, pitch, yaw. A policy with x_bins, y_bins, z_bins was made with use_spherical off, which no "
            "released checkpoint has"
        )
    return ActionGrid(
        **named,
        zero_motion=bool(policy.get("zero_motion", False)),
        rotation_dead_zone=float(policy.get("rotation_dead_zone", 0.0)),
    )


def bin_policy_of(grid: ActionGrid) -> dict[str, Any]:
    """The ``bin_policy`` of a grid in normalised units; two fields more if it has tokens for no motion.

    Raises:
        ValueError: the grid is in metres and radians, which the format cannot say.
    """
    if (grid.translation_scale, grid.rotation_scale) != (1.0, 1.0):
        raise ValueError(
            f"the grid's units are {grid.translation_scale} m and {grid.rotation_scale} rad; a bin_policy is for "
            "normalised actions: fit the grid with ActionGaussians on actions in [-1, 1]"
        )
    policy: dict[str, Any] = {
        group: {f"{name}_bins": getattr(grid, name).tolist() for name in names}
        for group, names in _GROUPS.items()
    }
    if grid.zero_motion:
        policy |= {"zero_motion": True, "rotation_dead_zone": grid.rotation_dead_zone}
    return policy
