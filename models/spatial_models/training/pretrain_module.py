"""SPA's pre-training as a LightningModule. Parameter names are those of the released checkpoints."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import torch
from torch import Tensor

from ..spa.losses import LossWeights, psnr, ray_colours
from ..spa.masked import MaskedImageBranch
from ..spa.multiview import MultiViewSample
from ..spa.pretraining import SpaPretraining
from ..spa.teacher import SemanticTeacher, sample_teacher
from .layer_decay import one_cycle, parameter_groups


@dataclass(frozen=True)
class OptimiserConfig:
    """Values of the release.

    Attributes:
        rate: learning rate per 8 scenes of effective batch. layer_decay: its factor from block to block.
        weight_decay: of matrices. warmup: share of the steps.
    """

    rate: float = 5e-6
    layer_decay: float = 0.8
    weight_decay: float = 0.04
    warmup: float = 0.05


class SpaModule(L.LightningModule):
    """Trains `SpaPretraining` (attribute ``model``) and measures it on views that it was not shown.

    Args:
        branch: arguments of `MaskedImageBranch`. volume: of `SpaPretraining`, but for the branch.
        weights: of the losses. optimiser: fields of `OptimiserConfig`.
        batch: scenes in an optimiser step, over all processes. steps: of the whole training.
        seed: of masks and places on rays; what a scene gets in a step depends on nothing else.
        teacher: of semantic features; None: no such term.
    """

    def __init__(
        self,
        branch: dict[str, Any],
        volume: dict[str, Any],
        weights: dict[str, float],
        optimiser: dict[str, float],
        batch: int,
        steps: int,
        seed: int = 0,
        teacher: SemanticTeacher | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["teacher"])
        self.weights, self.optimiser = LossWeights(**weights), OptimiserConfig(**optimiser)
        self.batch, self.steps, self.seed = batch, steps, seed
        self.model = SpaPretraining(
            MaskedImageBranch(**branch),
            grid=tuple(volume["grid"]),
            channels=volume["channels"],
            semantic_channels=teacher.channels if teacher else 0,
            recompute=volume["recompute"],
        )
        self._teacher = (teacher,)  # in a tuple, so that it is neither trained nor saved

    def transfer_batch_to_device(
        self, batch: list[MultiViewSample], device: torch.device, dataloader_idx: int
    ) -> list[MultiViewSample]:
        """Lightning hook."""
        return [sample.to(device) for sample in batch]

    def training_step(self, batch: list[MultiViewSample], _: int) -> Tensor:
        """Lightning hook."""
        renderings = self.model(batch, [self._generator(sample) for sample in batch])
        terms = self.model.losses(renderings, batch, self._targets(batch))
        loss = self.weights.total(terms)
        count = len(batch)
        self.log_dict({f"train/{name}": term for name, term in terms.items()}, batch_size=count)
        self.log("train/loss", loss, prog_bar=True, batch_size=count)
        rgb = torch.cat([rendering.rgb for rendering in renderings]).detach()
        self.log("train/psnr", psnr(rgb, self._colours(batch)), prog_bar=True, batch_size=count)
        return loss

    def validation_step(self, batch: list[MultiViewSample], _: int) -> None:
        """Show all views but the last and render that one."""
        for sample in batch:
            for name, value in held_out_errors(self.model, sample).items():
                self.log(f"val/{name}", value, batch_size=1, sync_dist=True, prog_bar=name == "psnr")

    def configure_optimizers(self) -> Any:
        """Lightning hook."""
        o = self.optimiser
        groups = parameter_groups(
            self.named_parameters(),
            len(self.model.img_backbone.blocks),
            o.rate * self.batch / 8,
            o.layer_decay,
            o.weight_decay,
        )
        optimiser = torch.optim.AdamW(groups)
        schedule = one_cycle(optimiser, self.steps, o.warmup)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _generator(self, sample: MultiViewSample) -> torch.Generator:
        key = f"{self.seed} {self.global_step} {sample.name}"
        return torch.Generator().manual_seed(zlib.crc32(key.encode()))

    def _targets(self, batch: list[MultiViewSample]) -> list[Tensor] | None:
        teacher = self._teacher[0]
        if teacher is None:
            return None
        return [sample_teacher(teacher.features(sample.originals), sample) for sample in batch]

    @staticmethod
    def _colours(batch: list[MultiViewSample]) -> Tensor:
        return torch.cat([ray_colours(sample, sample.rays) for sample in batch])


def without_last_view(sample: MultiViewSample) -> MultiViewSample:
    """The sample as a model may see it that shall render its last view."""
    return replace(
        sample,
        images=sample.images[:-1],
        intrinsics=sample.intrinsics[:-1],
        world_to_camera=sample.world_to_camera[:-1],
        rays=sample.rays[sample.rays.view < len(sample.images) - 1],
        originals=sample.originals[:-1],
        pixel_to_original=sample.pixel_to_original[:-1],
    )


def true_depth(sample: MultiViewSample, view: int) -> Tensor:
    """(H, W) distance along the rays of a view [m], 0 where unknown; the sample has all its rays."""
    depth = sample.images.new_zeros(sample.images.shape[-2:])
    rays = sample.rays[sample.rays.view == view]
    u, v = rays.pixel.round().long().unbind(-1)
    depth[v, u] = rays.depth
    return depth


def held_out_errors(model: SpaPretraining, sample: MultiViewSample) -> dict[str, Tensor]:
    """Agreement of the last view, rendered from the others, with the truth: psnr [dB], depth_error [m], its share."""
    seen, height_width = without_last_view(sample), sample.images.shape[-2:]
    image = model.render_camera(
        seen, sample.intrinsics[-1], sample.world_to_camera[-1], (height_width[0], height_width[1])
    )
    depth = true_depth(sample, len(sample.images) - 1)
    known = depth > 0
    error = (image.depth - depth).abs()[known]
    return {
        "psnr": psnr(image.rgb, sample.images[-1]),
        "depth_error": error.mean(),
        "depth_error_relative": (error / depth[known]).mean(),
    }
