"""The comparison to neural rendering: the same ViT learns to fill in the hidden half of the same pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..spa.masked import MaskedImageBranch
from ..spa.multiview import MultiViewSample
from .pretrain_module import SpaModule


class _Painter(nn.Module):
    """The image branch and one linear layer from its features to colours."""

    def __init__(self, branch: MaskedImageBranch) -> None:
        super().__init__()
        self.img_backbone = branch
        self.colour = nn.Conv2d(branch.channels, 3, 1)

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        return self.colour(self.img_backbone(images, noise)).sigmoid()


class MaskedImageModule(SpaModule):
    """Mean absolute error of all pixels from half of the patches, no geometry; everything else as in `SpaModule`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.model: Any = _Painter(self.model.img_backbone)

    def training_step(self, batch: list[MultiViewSample], _: int) -> Tensor:
        """Lightning hook."""
        loss = self._error(batch)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: list[MultiViewSample], _: int) -> None:
        """Lightning hook."""
        self.log("val/error", self._error(batch), batch_size=len(batch), sync_dist=True)

    def _error(self, batch: list[MultiViewSample]) -> Tensor:
        patches = self.model.img_backbone.grid**2
        noise = torch.cat([torch.rand(len(s.images), patches, generator=self._generator(s)) for s in batch])
        images = torch.cat([sample.images for sample in batch])
        return (self.model(images, noise.to(images.device)).float() - images).abs().mean()
