"""Optimiser of SPA's pre-training: AdamW whose rate falls from the last block of the ViT to its stem.

Source: HaoyiZhu/SPA: spa/utils/optimizer.py, scheduler.py. The reference's configuration asks for betas (0.9, 0.95),
but they never reach its optimiser; it runs with the default ones, of which the one-cycle schedule moves the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

_STEM = ("cls_token", "pos_embed", "patch_embed.")


def layer_scale(name: str, blocks: int, decay: float) -> float:
    """Factor on the learning rate of parameter ``name`` of a ``SpaPretraining``, whose ViT has so many blocks.

    Stem: decay^(blocks + 1); block i: decay^(blocks - i); final norm: as the last block; everything else: 1.
    """
    inside = name.partition("img_backbone.")[2]
    if inside.startswith(_STEM):
        return decay ** (blocks + 1)
    if block := re.match(r"blocks\.(\d+)\.", inside):
        return decay ** (blocks - int(block[1]))
    return decay if inside.startswith("norm.") else 1.0


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]], blocks: int, rate: float, decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for AdamW with their own rates; vectors get no weight decay, tokens and position table do."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            key = (layer_scale(name, blocks, decay), weight_decay if parameter.ndim > 1 else 0.0)
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "lr": rate * scale, "weight_decay": wd}
        for (scale, wd), parameters in groups.items()
    ]


def one_cycle(optimiser: torch.optim.Optimizer, steps: int, warmup: float) -> OneCycleLR:
    """Cosine: from a hundredth of each group's rate up to it in the share ``warmup`` of the steps, then to nearly 0."""
    return OneCycleLR(
        optimiser,
        [group["lr"] for group in optimiser.param_groups],
        total_steps=steps,
        pct_start=warmup,
        div_factor=100.0,
        final_div_factor=1000.0,
    )
