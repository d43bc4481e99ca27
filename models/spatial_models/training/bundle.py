"""Weights on disk: safetensors, the grid, and what is needed to build the model again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load_file, save_file
from spatial_vla.actions import ActionGrid
from spatial_vla.language.vocabulary import Vocabulary
from spatial_vla.policy.manifest import read_manifest

from ..policy import PolicyConfig, SpatialPolicy

WEIGHTS, GRID, DESCRIPTION = "policy.safetensors", "grid.json", "policy.json"


def write_policy(
    policy: SpatialPolicy, config: PolicyConfig, grid: ActionGrid, words: Vocabulary, out: Path
) -> None:
    """Write weights, grid and description into a folder, each aside and renamed."""
    out.mkdir(parents=True, exist_ok=True)
    sentences = {"words": list(words.words), "max_words": words.max_words, "reserved": list(words.reserved)}
    description = {"model": asdict(config), **sentences}
    (out / (GRID + ".tmp")).write_text(grid.to_json())
    (out / (DESCRIPTION + ".tmp")).write_text(json.dumps(description, indent=1))
    save_file({k: v.contiguous() for k, v in policy.state_dict().items()}, out / (WEIGHTS + ".tmp"))
    for name in (WEIGHTS, GRID, DESCRIPTION):
        (out / (name + ".tmp")).rename(out / name)


def read_policy(folder: Path) -> tuple[SpatialPolicy, ActionGrid, Vocabulary]:
    """The trained policy of a folder, in evaluation mode, with its grid and vocabulary."""
    description = json.loads((folder / DESCRIPTION).read_text())
    grid = ActionGrid.from_json((folder / GRID).read_text())
    reserved = tuple(description.get("reserved", ()))
    words = Vocabulary(tuple(description["words"]), description["max_words"], reserved)
    policy = SpatialPolicy(PolicyConfig(**description["model"]), grid, len(words))
    policy.load_state_dict(load_file(folder / WEIGHTS))
    return policy.eval(), grid, words


def read_bundle(folder: Path) -> tuple[SpatialPolicy, ActionGrid, Vocabulary]:
    """The policy that an exported bundle was made from, as :func:`read_policy` gives it."""
    manifest = read_manifest(folder)
    grid, words = manifest.action_grid(), manifest.vocabulary()
    policy = SpatialPolicy(PolicyConfig(**manifest.architecture), grid, len(words))
    policy.load_state_dict(load_file(folder / WEIGHTS))
    return policy.eval(), grid, words
