"""Losses and optimiser of the small policy, as a LightningModule."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import lightning as L
import torch
from spatial_vla.actions import ActionGrid
from torch import Tensor
from torch.nn import functional as F

from ..policy import DecoderOutput, PolicyConfig, SpatialPolicy


def soft_cell_loss(logits: Tensor, wanted: Tensor, centres: Tensor, floor: float, share: float) -> Tensor:
    """Cross-entropy against cells weighted by how near their motion is to the wanted one.

    A plain one-hot target calls the neighbouring cell as wrong as the opposite direction. The kernel is a Gaussian
    whose width grows with the motion, sigma = floor + share * |wanted|, as the polar cells do.

    Args:
        logits: (B, T, cells). wanted: (B, T, 3) and centres: (cells, 3) in the same units.
    """
    sigma = floor + share * wanted.norm(dim=-1, keepdim=True)
    distance = torch.cdist(wanted, centres[None].expand(len(wanted), -1, -1))
    goal = (-0.5 * (distance / sigma).square()).softmax(-1)
    return -(goal * logits.float().log_softmax(-1)).sum(-1)


class PolicyModule(L.LightningModule):
    """Trains :class:`SpatialPolicy`: where is the named object, and what would the expert do next."""

    def __init__(
        self,
        config: dict[str, Any],
        grid_json: str,
        vocabulary: int,
        *,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        warmup_steps: int = 300,
        total_steps: int = 10_000,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.grid = ActionGrid.from_json(grid_json)
        self.policy = SpatialPolicy(PolicyConfig(**config), self.grid, vocabulary)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms and metrics of a batch; N frames with K instructions each are flattened to N K rows."""
        asked = {k: batch[k].flatten(0, 1) for k in ("words", "owned", "present", "target", "actions")}
        teacher = asked["target"] + 0.004 * torch.randn_like(asked["target"])
        out: DecoderOutput = self.policy(
            batch["image"], batch["points"], batch["valid"], batch["state"], asked["words"], teacher
        )
        here = asked["present"]
        terms = {"point": self._pointing(out, asked), **self._acting(out, asked["actions"], here)}
        miss = (out.target - asked["target"]).norm(dim=-1)[here]
        terms["localise"] = miss.clamp(max=0.1).mean() * 10.0
        with torch.no_grad():
            terms["metric_hit_rate"] = (miss < 0.02).float().mean()
            terms["metric_miss_mm"] = miss.median() * 1000.0
            terms["metric_absent"] = (
                ((out.cell_logits.argmax(-1) == out.cell_logits.shape[1] - 1) == ~here).float().mean()
            )
        return terms

    def _pointing(self, out: DecoderOutput, asked: dict[str, Tensor]) -> Tensor:
        """Log-likelihood of pointing at any cell of the named object; "not in view" if none is visible."""
        nothing = ~asked["owned"].any(1, keepdim=True)
        wanted = torch.cat((asked["owned"], nothing), dim=1)
        log_p = out.cell_logits.log_softmax(-1)
        return -(log_p.masked_fill(~wanted, -math.inf).logsumexp(-1)).mean()

    def _acting(self, out: DecoderOutput, actions: Tensor, here: Tensor) -> dict[str, Tensor]:
        g = self.grid
        units = actions[..., :3] / g.translation_scale, actions[..., 3:6] / g.rotation_scale
        heads = self.policy.decoder.translation.centres, self.policy.decoder.rotation.centres
        translation = soft_cell_loss(out.translation, units[0], heads[0], 0.015, 0.08)
        rotation = soft_cell_loss(out.rotation, units[1], heads[1], 0.02, 0.08)
        gripper = F.cross_entropy(
            out.gripper.float().flatten(0, 1), (actions[..., 6] >= 0.5).long().flatten(), reduction="none"
        ).view_as(translation)
        mask = here[:, None].expand_as(translation).float()
        terms = {
            k: (v * mask).sum() / mask.sum()
            for k, v in (("translation", translation), ("rotation", rotation), ("gripper", gripper))
        }
        with torch.no_grad():
            chosen = heads[0][out.translation.argmax(-1)]
            error = (chosen - units[0]).norm(dim=-1) * g.translation_scale
            terms["metric_step_mm"] = (error * mask).sum() / mask.sum() * 1000.0
            terms["metric_gripper"] = (
                (out.gripper.argmax(-1) == (actions[..., 6] >= 0.5)) * mask
            ).sum() / mask.sum()
        return terms

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        terms = self.losses(batch)
        loss = torch.stack([v for k, v in terms.items() if not k.startswith("metric")]).sum()
        self.log_dict({f"train/{k}": v for k, v in terms.items()}, batch_size=len(batch["image"]))
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        terms = self.losses(batch)
        self.log_dict({f"val/{k}": v for k, v in terms.items()}, batch_size=len(batch["image"]))

    def configure_optimizers(self) -> Any:
        h = self.hparams
        decay = [p for p in self.parameters() if p.ndim >= 2]
        other = [p for p in self.parameters() if p.ndim < 2]
        groups = [
            {"params": decay, "weight_decay": h["weight_decay"]},
            {"params": other, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=h["learning_rate"], betas=(0.9, 0.98))

        def rate(step: int) -> float:
            warm = min(1.0, (step + 1) / h["warmup_steps"])
            return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / h["total_steps"]))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def config_dict(config: PolicyConfig) -> dict[str, Any]:
    """As plain values, for the checkpoint."""
    return asdict(config)
