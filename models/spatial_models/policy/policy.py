"""The small policy that ships: SPA-style encoder, Ego3D action decoder, one adaptive grid, one vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from spatial_vla.actions import ActionGrid
from torch import Tensor, nn

from ..spa import VisionTransformer
from .decoder import ActionDecoder, DecoderOutput


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of the policy. ``width``, ``depth`` and ``heads`` are the encoder's."""

    image_size: int = 224
    patch: int = 16
    width: int = 192
    depth: int = 6
    heads: int = 3
    decoder_width: int = 192
    decoder_depth: int = 2
    decoder_heads: int = 6
    steps: int = 4
    cells: int = 16
    max_words: int = 12


class SpatialPolicy(nn.Module):
    """Encoder and decoder together, as trained; each is exported on its own."""

    def __init__(self, config: PolicyConfig, grid: ActionGrid, vocabulary: int) -> None:
        super().__init__()
        translation, rotation = grid.centres()
        self.encoder = VisionTransformer(
            config.image_size, config.patch, config.width, config.depth, config.heads
        )
        self.decoder = ActionDecoder(
            config.width,
            vocabulary,
            torch.from_numpy(translation / grid.translation_scale),
            torch.from_numpy(rotation / grid.rotation_scale),
            width=config.decoder_width,
            heads=config.decoder_heads,
            depth=config.decoder_depth,
            steps=config.steps,
            cells=config.cells,
            max_words=config.max_words,
        )

    def forward(
        self,
        image: Tensor,
        points: Tensor,
        valid: Tensor,
        state: Tensor,
        words: Tensor,
        teacher: Tensor | None = None,
    ) -> DecoderOutput:
        """Images (N, 3, S, S) in [0, 1]; the rest as in :meth:`ActionDecoder.forward`."""
        _, features = self.encoder(image)
        return self.decoder(features, points, valid, state, words, teacher)
