"""What a fine-tuning leaves: a checkpoint in the released layout, and how well it says what it was shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..spatialvla.checkpoint import load, save_released
from ..spatialvla.configuration import SpatialVlaConfig
from ..spatialvla.depth import ZoeDepth
from ..spatialvla.generate import ActionDecoder
from ..spatialvla.model import Sequences, SpatialVla
from ..spatialvla.trainable import Trained, merged_state
from .spatialvla_module import Batches, SpatialVlaModule
from .steps import Steps

Array = NDArray[np.float64]


def write_weights(trainer: L.Trainer, trained: Trained, config: SpatialVlaConfig, out: Path) -> None:
    """The trainer's model with its corrections added, in the released layout. Every process takes part."""
    whole = trainer.strategy.lightning_module_state_dict()
    if not trainer.is_global_zero:
        return
    state = {
        name.removeprefix("model."): t.detach().cpu()
        for name, t in whole.items()
        if name.startswith("model.")
    }
    scale = trained.lora_alpha / trained.lora_rank if trained.lora_rank else 0.0
    state = {name: tensor.to(config.dtype) for name, tensor in merged_state(state, scale).items()}
    with torch.device("meta"):
        model = SpatialVla(config)
    known = model.state_dict().keys()
    model.load_state_dict({n: t for n, t in state.items() if n in known}, assign=True)
    save_released(model, out)


@torch.no_grad()
def report(folder: Path, steps: Steps, collate: Batches, most: int, path: Path, batch: int = 32) -> str:
    """Decode steps of the training's data and say how far the answers are from what was done; writes ``path`` too.

    Beside the model's errors stand the grid's, which no model can be better than by more than luck.

    Args:
        most: steps to take, evenly spread.
    """
    model = load(folder)
    module = SpatialVlaModule(model, depth=estimator(model))
    decoder = ActionDecoder(model, collate.tokenizer.grid.cells, collate.tokenizer.steps)
    indices = np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).astype(int))
    plain = Steps(steps.sets, steps.chunk)  # without variations
    slots = np.array([slot.start for slot in collate.tokenizer.slots])
    was, said, best, right = [], [], [], []
    for start in range(0, len(indices), batch):
        shown = [plain[int(i), 0] for i in indices[start : start + batch]]
        inputs = collate(shown)
        prompt = inputs["valid"] & ~inputs["suffix"]
        longest = int(prompt.sum(1).max())
        sequences = Sequences(inputs["ids"].masked_fill(~prompt, 0)[:, :longest], prompt[:, :longest])
        tokens = decoder(sequences, inputs["images"], module.points(inputs)).ids.cpu().numpy() + slots
        for demonstration, row in zip(shown, tokens, strict=True):
            statistics = collate.statistics
            one = statistics[demonstration.source] if isinstance(statistics, Mapping) else statistics
            wanted = collate.tokenizer.encode(collate.normalised(demonstration))
            was.append(np.asarray(demonstration.actions))
            said.append(one.denormalise(collate.tokenizer.decode(row.reshape(-1))))
            best.append(one.denormalise(collate.tokenizer.decode(wanted)))
            right.append(wanted == row.reshape(-1))
    figures = {
        "steps": len(was),
        "chunk": collate.tokenizer.steps,
        "tokens_right": float(np.mean(right)),
        "model": action_error(np.stack(said), np.stack(was)),
        "grid": action_error(np.stack(best), np.stack(was)),
    }
    path.write_text(json.dumps(figures, indent=1))
    rows = [
        f"{figures['steps']} steps, chunks of {figures['chunk']}, {figures['tokens_right']:.1%} of the tokens right"
    ]
    rows.append(f"{'':6s}  translation [mm]  rotation [deg]  gripper right")
    for name in ("model", "grid"):
        e = figures[name]
        rows.append(
            f"{name:6s}  {e['translation_mm']:16.2f}  {e['rotation_deg']:14.2f}  {e['gripper']:13.1%}"
        )
    return "\n".join(rows)


def action_error(said: Array, was: Array) -> dict[str, float]:
    """Mean length of the difference of translations [mm], mean angle between rotations [deg], share of equal grippers.

    Args:
        said, was: (..., 7) x, y, z [m], roll, pitch, yaw [rad], gripper.
    """
    a, b = said.reshape(-1, 7), was.reshape(-1, 7)
    turned = Rotation.from_euler("xyz", a[:, 3:6]).inv() * Rotation.from_euler("xyz", b[:, 3:6])
    return {
        "translation_mm": float(1e3 * np.linalg.norm(a[:, :3] - b[:, :3], axis=1).mean()),
        "rotation_deg": float(np.degrees(turned.magnitude()).mean()),
        "gripper": float(((a[:, 6] >= 0.5) == (b[:, 6] >= 0.5)).mean()),
    }


def estimator(model: SpatialVla) -> ZoeDepth | None:
    """The checkpoint's own depth network, if it was loaded."""
    if model.vision_zoe_model is None or model.config.depth is None:
        return None
    backbone: Any = model.config.depth.backbone_config
    return ZoeDepth(model.vision_zoe_model, size=backbone.image_size)
