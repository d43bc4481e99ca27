"""``python -m spatial_models.spatialvla.adapt``: a checkpoint and a new robot's actions to a grid and embeddings.

Writes ``adapted.safetensors`` (``spatial_embed_tokens.weight`` and, if asked, ``lm_head.action_rows``) and
``adapted.json`` with ``bin_policy`` and ``statistics``, named as in ``processor_config.json``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from spatial_vla.actions import (
    ActionGaussians,
    ActionStatistics,
    SpatialActionTokenizer,
    bin_policy_of,
    read_processor_config,
)
from spatial_vla.actions.gaussians import RELEASED_MIN_SIGMA
from spatial_vla.actions.recorded import read_actions
from torch import Tensor

from .adaptation import adapted_rows
from .configuration import SpatialVlaConfig

TABLE, HEAD = "spatial_embed_tokens.weight", "language_model.lm_head.weight"
HEAD_ROWS = "lm_head.action_rows"
WEIGHTS, FIELDS = "adapted.safetensors", "adapted.json"


@dataclass
class Adapt:
    """Fit an action grid to a robot's actions, and interpolate a checkpoint's action embeddings to it."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder with config.json, processor_config.json and .safetensors files."""

    actions: tyro.conf.Positional[Path]
    """Steps of seven numbers [m, rad]: a .npy or .csv file, or the folder of recorded demonstrations."""

    out: Path
    """Folder to write to."""

    name: str
    """Name of the data set, for example my_robot/1.0.0."""

    min_sigma: float = RELEASED_MIN_SIGMA
    """Floor for the standard deviations, as in the released grid. The released fine-tuning has 0."""

    dead_zone: float = 0.0
    """Above 0: tokens for no motion, below this share of the 99 % quantile; the vocabulary grows by two."""

    head: bool = False
    """Adapt the rows of the output head too."""

    compat: bool = False
    """Interpolate as the released code does, axes exchanged."""

    def run(self) -> int:
        """Write the pair; 0 when done, 2 when the input cannot be used."""
        try:
            fields, tensors = self.adapt()
            self.out.mkdir(parents=True, exist_ok=True)
            save_file(tensors, self.out / WEIGHTS)
            (self.out / FIELDS).write_text(json.dumps(fields, indent=1) + "\n")
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            print(f"spatial_models.spatialvla.adapt: {error}", file=sys.stderr)
            return 2
        shapes = ", ".join(f"{name} {list(t.shape)}" for name, t in tensors.items())
        print(f"{self.out / WEIGHTS}: {shapes}")
        return 0

    def adapt(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Fields of ``adapted.json``, and tensors."""
        return adapted_to(
            self.checkpoint,
            read_actions(self.actions),
            self.name,
            min_sigma=self.min_sigma,
            dead_zone=self.dead_zone,
            head=self.head,
            compat=self.compat,
        )


def adapted_to(
    checkpoint: Path,
    actions: ArrayLike,
    name: str,
    *,
    min_sigma: float = RELEASED_MIN_SIGMA,
    dead_zone: float = 0.0,
    head: bool = False,
    compat: bool = False,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Grid and rows for actions (N, 7) in metres and radians; fields of ``adapted.json``, and tensors.

    Args:
        name: of the data set. The others are as of :class:`Adapt`.
    """
    begin = SpatialVlaConfig.read(checkpoint).action_begin
    old = SpatialActionTokenizer.from_processor_config(read_processor_config(checkpoint), begin=begin)
    statistics = ActionStatistics.fit(actions, symmetric=dead_zone > 0.0)
    gaussians = ActionGaussians.fit(statistics.normalise(actions), dead_zone=dead_zone)
    grid = gaussians.grid(old.grid.shape, min_sigma=min_sigma, dead_zone=dead_zone)
    rows = {TABLE: read_rows(checkpoint, TABLE)}
    if head:
        rows[HEAD_ROWS] = read_rows(checkpoint, HEAD, begin)
    fields = {
        "action_token_begin_idx": begin,
        "spatial_token_num": sum(grid.cells),
        "action_chunk_size": old.steps,
        "bin_policy": bin_policy_of(grid),
        "gaussians": json.loads(gaussians.to_json()),
        "min_sigma": min_sigma,
        "statistics": {name: {"action": statistics.fields()}},
        "compat": compat,
    }
    with torch.no_grad():
        adapted = {n: adapted_rows(t, old.grid, grid, compat=compat) for n, t in rows.items()}
    return fields, {n: tensor.contiguous() for n, tensor in adapted.items()}


def read_rows(folder: Path, name: str, first: int = 0) -> Tensor:
    """The rows from ``first`` on of a tensor in the .safetensors files of a folder; the rest stays on the disk.

    Raises:
        KeyError: no file has it.
    """
    files = sorted(folder.glob("*.safetensors"))
    for path in files:
        with safe_open(path, framework="pt") as file:
            if name in file.keys():  # noqa: SIM118
                return file.get_slice(name)[first:]
    raise KeyError(
        f"no {name} in the .safetensors files of {folder} ({', '.join(p.name for p in files) or 'none'})"
    )


if __name__ == "__main__":
    sys.exit(tyro.cli(Adapt).run())
