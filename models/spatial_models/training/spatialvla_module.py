"""Supervised fine-tuning of SpatialVLA, as a LightningModule, and how demonstrations become its batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from spatial_vla.actions import ActionStatistics, SpatialActionTokenizer
from torch import Tensor

from ..spatialvla.masks import PromptAttention
from ..spatialvla.model import IGNORED, Sequences, SpatialVla
from ..spatialvla.positions import Positions, Request
from ..spatialvla.prompt import Prompts, image_tensor
from ..spatialvla.trainable import trainable

Batch = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Demonstration:
    """A moment of a recording and what was done next.

    Attributes:
        request: what the policy would be asked, depth included.
        actions: (T, 7) x, y, z [m], roll, pitch, yaw [rad], gripper, for the steps of a chunk.
    """

    request: Request
    actions: ArrayLike


class Batches:
    """Puts demonstrations into batches; give it to a ``DataLoader`` as ``collate_fn``."""

    def __init__(
        self,
        prompts: Prompts,
        tokenizer: SpatialActionTokenizer,
        statistics: ActionStatistics,
        positions: Positions,
    ) -> None:
        self.prompts, self.tokenizer, self.statistics = prompts, tokenizer, statistics
        self.positions = positions

    def __call__(self, demonstrations: Sequence[Demonstration]) -> Batch:
        """A batch, see :meth:`SpatialVlaModule.loss`."""
        requests = [d.request for d in demonstrations]
        actions = np.stack([np.asarray(d.actions, dtype=np.float64) for d in demonstrations])
        ids: NDArray[np.int64] = self.tokenizer.encode(self.statistics.normalise(actions))
        texts = [request.instruction for request in requests]
        sequences, labels = self.prompts.with_actions(texts, ids.tolist())
        assert sequences.suffix is not None
        side = self.prompts.config.image_size
        images = torch.stack([image_tensor(request.image, side) for request in requests])
        return {
            "ids": sequences.ids,
            "valid": sequences.valid,
            "suffix": sequences.suffix,
            "labels": labels,
            "images": images,
            "points": self.positions(requests, images),
        }


class SpatialVlaModule(L.LightningModule):
    """Trains what :func:`..spatialvla.trainable.prepare` left trainable; checkpoints hold that alone.

    Args:
        prompt_attention: of the prompt's tokens among themselves; the published weights were trained causally.
        learning_rate: as published 5e-4 for LoRA and 2e-5 for everything. warmup: share of ``total_steps``, after
            which the rate falls linearly to 0.
    """

    def __init__(
        self,
        model: SpatialVla,
        *,
        prompt_attention: PromptAttention = "causal",
        learning_rate: float = 5e-4,
        warmup: float = 0.005,
        weight_decay: float = 0.0,
        total_steps: int = 10_000,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore="model")
        self.model = model
        self.strict_loading = False  # a checkpoint has no frozen weights

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy of a batch's action tokens and end of sequence, and the share that is predicted."""
        sequences = Sequences(batch["ids"], batch["valid"], batch["suffix"])
        attention: PromptAttention = self.hparams["prompt_attention"]
        labels = batch["labels"]
        loss, scores = self.model.loss(sequences, labels, batch["images"], batch["points"], attention)
        wanted = labels[:, 1:]
        right = scores.argmax(-1) == wanted[wanted != IGNORED]
        return loss, right.float().mean()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss, logged with the share of tokens that is predicted."""
        loss, right = self.loss(batch)
        self.log_dict({"loss": loss, "accuracy": right}, prog_bar=True, batch_size=len(batch["ids"]))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises and falls linearly."""
        rate, decay = self.hparams["learning_rate"], self.hparams["weight_decay"]
        optimiser = torch.optim.AdamW(trainable(self.model).values(), lr=rate, weight_decay=decay)
        total = self.hparams["total_steps"]
        rising = max(1, round(self.hparams["warmup"] * total))

        def factor(step: int) -> float:
            return min((step + 1) / rising, max(0.0, (total - step) / max(1, total - rising)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what is frozen."""
        kept = {f"model.{name}" for name in trainable(self.model)}
        checkpoint["state_dict"] = {n: t for n, t in checkpoint["state_dict"].items() if n in kept}
