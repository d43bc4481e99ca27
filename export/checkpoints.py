"""PyTorch checkpoints of every kind as stages to export, with what their manifest says about them."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from spatial_models.policy.stages import policy_stages
from spatial_models.spa import load_encoder
from spatial_models.spa.stages import encoder_stage
from spatial_models.spatialvla.checkpoint import load as load_spatialvla
from spatial_models.spatialvla.checkpoint import load_depth_network
from spatial_models.spatialvla.configuration import SpatialVlaConfig
from spatial_models.spatialvla.stages import depth_stage, spatialvla_stages
from spatial_models.stage import Stage
from spatial_models.training.bundle import DESCRIPTION, GRID, WEIGHTS, read_bundle, read_policy
from spatial_vla.actions import SpatialActionTokenizer
from spatial_vla.policy.manifest import ACTIONS, FORMAT, MANIFEST, PREPROCESSING, read_manifest, sha256

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Checkpoint:
    """A model to export.

    Attributes:
        kind: of its manifest.
        stages: (precision, seed) to stages by name; a new copy of the model each time.
        fields: of the manifest: all but files, precision, parity and versions.
        weights: files to put beside the engines.
    """

    kind: str
    stages: Callable[[str, int], dict[str, Stage]]
    fields: dict[str, Any]
    weights: tuple[Path, ...] = ()


@dataclass
class Shape:
    """What a checkpoint leaves open.

    Attributes:
        image_size: of SPA's encoder [px]. batch: images at once, of SPA's encoder.
        text: longest prompt of SpatialVLA, in tokens. cells: tokens of its three slots; None: from its files.
    """

    image_size: int = 224
    batch: int = 1
    text: int = 32
    cells: tuple[int, int, int] | None = None


def read_checkpoint(source: str, shape: Shape) -> Checkpoint:
    """A folder that training wrote, a bundle, a SpatialVLA's folder, or a file or Hub id of SPA's weights.

    Raises:
        FileNotFoundError: it is none of these.
    """
    folder = Path(source)
    if (folder / DESCRIPTION).is_file() or (folder / MANIFEST).is_file():
        return _policy(folder)
    if (folder / "config.json").is_file():
        return _spatialvla(folder, shape)
    if folder.is_dir():
        raise FileNotFoundError(
            f"{folder} holds no checkpoint: expected {DESCRIPTION} (a trained policy), {MANIFEST} (a bundle) or "
            "config.json (SpatialVLA); for SPA give the file itself"
        )
    return _spa(source, shape)


def versions() -> dict[str, str]:
    """Of what exports."""
    return {"torch": torch.__version__, "onnx": onnx.__version__, "python": platform.python_version()}


def _policy(folder: Path) -> Checkpoint:
    trained = (folder / DESCRIPTION).is_file()
    read = read_policy if trained else read_bundle
    policy, grid, words = read(folder)
    encoder, decoder = policy.encoder, policy.decoder
    if trained:
        architecture = json.loads((folder / DESCRIPTION).read_text())["model"]
        source = {name: sha256(folder / name) for name in (WEIGHTS, DESCRIPTION, GRID)}
    else:
        architecture = read_manifest(folder).architecture
        source = {name: sha256(folder / name) for name in (WEIGHTS, MANIFEST)}
    fields = {
        "licence": "Apache-2.0",
        "architecture": architecture,
        "image_size": encoder.image_size,
        "patch": encoder.patch,
        "cells": decoder.localiser.cells,
        "channels": encoder.width,
        "steps": decoder.steps,
        "dt": 0.2,
        "base_frame": "panda_link0",
        "tcp_frame": "panda_tcp",
        "rotation_form": "rotation_vector",
        "grid": json.loads(grid.to_json()),
        "words": list(words.words),
        "max_words": words.max_words,
        "reserved": list(words.reserved),
        "preprocessing": PREPROCESSING,
        "actions": ACTIONS,
        "source": source,
    }

    def stages(precision: str, seed: int) -> dict[str, Stage]:
        model, _, vocabulary = read(folder)
        return policy_stages(model, vocabulary, DTYPES[precision], seed)

    return Checkpoint("policy", stages, fields, (folder / WEIGHTS,))


def _spa(source: str, shape: Shape) -> Checkpoint:
    def load() -> Any:
        return load_encoder(source, shape.image_size)

    encoder = load()
    fields = {
        "licence": "as of the weights; SPA's release: MIT",
        "architecture": {
            "image_size": encoder.image_size,
            "patch": encoder.patch,
            "width": encoder.width,
            "depth": len(encoder.blocks),
            "heads": encoder.heads,
        },
        "preprocessing": PREPROCESSING
        | {"resize": "shorter side", "interpolation": "bicubic, antialiased; square images alone"},
        "actions": {},
        "source": {Path(source).name: sha256(Path(source))} if Path(source).is_file() else {"hub": source},
    }
    return Checkpoint("spa", lambda p, seed: encoder_stage(load(), DTYPES[p], shape.batch, seed), fields)


def _spatialvla(folder: Path, shape: Shape) -> Checkpoint:
    config = SpatialVlaConfig.read(folder)
    processor = folder / "processor_config.json"
    cells, steps = shape.cells, 4
    if processor.is_file():
        tokenizer = SpatialActionTokenizer.from_processor_config(
            json.loads(processor.read_text()), begin=config.action_begin
        )
        cells, steps = cells or tokenizer.grid.cells, tokenizer.steps
    if cells is None:
        raise FileNotFoundError(
            f"no {processor}, which tells how many tokens a slot has; or give --shape.cells"
        )
    fields = {
        "licence": "as of the weights; SpatialVLA's release: MIT, with Gemma's terms",
        "architecture": config.fields(),
        "preprocessing": PREPROCESSING | {"interpolation": "bicubic"},
        "actions": {
            "frame": "axes of the robot's base in the data set that statistics are taken from",
            "rotation": "angles about fixed x, y, z, rad per step",
            "gripper": "1 open, 0 closed",
            "tokens": f"slots of {cells[0]}, {cells[1]} and {cells[2]} tokens, {steps} steps",
        },
        "source": {p.name: sha256(p) for p in sorted(folder.glob("*.json"))},
    }
    fields = json.loads(json.dumps(fields, default=list))

    def stages(precision: str, seed: int) -> dict[str, Stage]:
        def of(dtype: torch.dtype) -> dict[str, Stage]:
            model = load_spatialvla(folder, dtype=dtype, depth_network=False)
            return spatialvla_stages(model, cells, steps=steps, text=shape.text, seed=seed)

        found = of(DTYPES[precision])
        if precision == "bf16":
            # ONNX has no convolution in bfloat16 before opset 22; SigLIP is as good in float16.
            found["vision"] = of(torch.float16)["vision"]
        if config.depth:
            found["depth"] = depth_stage(load_depth_network(folder), config.image_size, seed)
        return found

    return Checkpoint("spatialvla", stages, fields)


def manifest_fields(
    checkpoint: Checkpoint, name: str, precision: str, folder: Path, **more: Any
) -> dict[str, Any]:
    """The whole manifest of the files in ``folder``."""
    files = {p.name: sha256(p) for p in sorted(folder.iterdir()) if p.name != MANIFEST}
    return {
        "format": FORMAT,
        "kind": checkpoint.kind,
        "name": name,
        "precision": precision,
        "files": files,
        "trained": versions() | {"numpy": np.__version__},
        "camera": None,
        "parity": [],
        **checkpoint.fields,
        **more,
    }
