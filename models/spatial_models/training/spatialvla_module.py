"""Supervised fine-tuning of SpatialVLA, as a LightningModule, and how demonstrations become its batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from numpy.typing import ArrayLike, NDArray
from spatial_vla.actions import ActionStatistics, SpatialActionTokenizer
from torch import Tensor
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from transformers.modeling_layers import GradientCheckpointingLayer

from ..spatialvla.depth import DepthProvider
from ..spatialvla.ego3d import back_project
from ..spatialvla.masks import PromptAttention
from ..spatialvla.model import IGNORED, Sequences, SpatialVla
from ..spatialvla.positions import MissingDepth, Positions, Request
from ..spatialvla.prompt import Prompts, image_tensor
from ..spatialvla.trainable import trainable
from .schedule import linear_schedule

Batch = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Demonstration:
    """A moment of a recording and what was done next.

    Attributes:
        request: what the policy would be asked, depth included.
        actions: (T, 7) x, y, z [m], roll, pitch, yaw [rad], gripper, for the steps of a chunk.
        source: name of the data set, whose statistics apply; needed where there are several.
    """

    request: Request
    actions: ArrayLike
    source: str = ""


class Batches:
    """Puts demonstrations into batches; give it to a ``DataLoader`` as ``collate_fn``.

    Args:
        statistics: of the one data set, or of each by name.
        positions: without an estimator of depth; where depth is lacking, it is left to the module.
    """

    def __init__(
        self,
        prompts: Prompts,
        tokenizer: SpatialActionTokenizer,
        statistics: ActionStatistics | Mapping[str, ActionStatistics],
        positions: Positions,
    ) -> None:
        self.prompts, self.tokenizer, self.statistics = prompts, tokenizer, statistics
        self.positions = positions

    def normalised(self, demonstration: Demonstration) -> NDArray[np.float64]:
        """Its actions in [-1, 1]."""
        statistics = self.statistics
        if not isinstance(statistics, ActionStatistics):
            statistics = statistics[demonstration.source]
        return statistics.normalise(np.asarray(demonstration.actions, dtype=np.float64))

    def __call__(self, demonstrations: Sequence[Demonstration]) -> Batch:
        """A batch, see :meth:`SpatialVlaModule.loss`."""
        requests = [d.request for d in demonstrations]
        ids: NDArray[np.int64] = self.tokenizer.encode(np.stack([self.normalised(d) for d in demonstrations]))
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
            **self._places(requests, images),
        }

    def _places(self, requests: Sequence[Request], images: Tensor) -> Batch:
        """Points where depth was measured; where not, zeros, and the intrinsics to compute them with."""
        measured = [i for i, request in enumerate(requests) if request.depth is not None]
        if len(measured) == len(requests):
            return {"points": self.positions(requests, images)}
        config = self.prompts.config
        points = torch.zeros(len(requests), config.image_tokens, config.ego3d_cells**2, 3)
        if measured:
            points[measured] = self.positions([requests[i] for i in measured], images[measured])
        lacking = torch.tensor([request.depth is None for request in requests])
        return {"points": points, "lacking": lacking, "intrinsics": self.positions.intrinsics_of(requests)}


class SpatialVlaModule(L.LightningModule):
    """Trains what :func:`..spatialvla.trainable.prepare` left trainable; checkpoints hold that alone.

    Args:
        prompt_attention: of the prompt's tokens among themselves; the published weights were trained causally.
        depth: estimates depth where it was not measured.
        checkpointing: keep no activations inside layers, and compute them again: less memory, a third more work.
        learning_rate: as published 5e-4 for LoRA and 2e-5 for everything. warmup: share of ``total_steps``, after
            which the rate falls linearly to 0.
    """

    def __init__(
        self,
        model: SpatialVla,
        *,
        prompt_attention: PromptAttention = "causal",
        depth: DepthProvider | None = None,
        checkpointing: bool = False,
        learning_rate: float = 5e-4,
        warmup: float = 0.005,
        weight_decay: float = 0.0,
        total_steps: int = 10_000,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=("model", "depth"))
        self.model, self._depth, self._sharded = model, depth, False
        if checkpointing:
            for part in (model.language_model, model.vision_tower):
                part.gradient_checkpointing_enable({"use_reentrant": False})
                part.train()  # nothing is dropped out; the layers keep activations unless they train
        self.strict_loading = False  # a checkpoint has no frozen weights

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy of a batch's action tokens and end of sequence, and the share that is predicted."""
        sequences = Sequences(batch["ids"], batch["valid"], batch["suffix"])
        attention: PromptAttention = self.hparams["prompt_attention"]
        labels = batch["labels"]
        points = self.points(batch)
        loss, scores = self.model.loss(sequences, labels, batch["images"], points, attention)
        wanted = labels[:, 1:]
        right = scores.argmax(-1) == wanted[wanted != IGNORED]
        return loss, right.float().mean()

    @torch.no_grad()
    def points(self, batch: Batch) -> Tensor:
        """Points of a batch, from estimated depth where none was measured.

        Raises:
            MissingDepth: nothing estimates it.
        """
        points = batch["points"]
        if "lacking" not in batch:
            return points
        if self._depth is None:
            raise MissingDepth(
                "the data has steps without depth and the checkpoint was loaded without its depth network: "
                "set depth_network=true, or take data with depth"
            )
        lacking, config = batch["lacking"], self.model.config
        metres = self._depth.depth(batch["images"][lacking])
        found = back_project(
            metres, batch["intrinsics"][lacking], patch=config.patch_size, side=config.ego3d_cells
        )
        points = points.clone()
        points[lacking] = found.to(points.dtype)
        return points

    def configure_model(self) -> None:
        """Spread the weights over the processes, layer by layer, if the strategy is to (`ModelParallelStrategy`)."""
        if not isinstance(self.trainer.strategy, ModelParallelStrategy) or self._sharded:
            return
        mesh, model = self.trainer.strategy.device_mesh["data_parallel"], self.model
        layers = [*model.vision_tower.modules(), *model.language_model.modules()]
        for layer in layers:
            if isinstance(layer, GradientCheckpointingLayer):
                fully_shard(layer, mesh=mesh)
        # Depth is estimated outside of the loss, by a network that every process has whole.
        depth = model.vision_zoe_model
        whole = None if depth is None else set(depth.parameters())
        fully_shard(model, mesh=mesh, ignored_params=whole)
        register_fsdp_forward_method(model, "loss")
        self._sharded = True

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss, logged with the share of tokens that is predicted."""
        loss, right = self.loss(batch)
        figures, size = {"loss": loss, "accuracy": right}, len(batch["ids"])
        self.log_dict(figures, prog_bar=True, batch_size=size, sync_dist=True)
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises and falls linearly."""
        rate, decay = self.hparams["learning_rate"], self.hparams["weight_decay"]
        optimiser = torch.optim.AdamW(trainable(self.model).values(), lr=rate, weight_decay=decay)
        return linear_schedule(optimiser, self.hparams["warmup"], self.hparams["total_steps"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what is frozen."""
        kept = {f"model.{name}" for name in trainable(self.model)}
        checkpoint["state_dict"] = {n: t for n, t in checkpoint["state_dict"].items() if n in kept}
