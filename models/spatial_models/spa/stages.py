"""SPA's encoder as an engine: normalisation inside, resizing outside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..stage import Stage
from .encoder import SpaEncoder
from .preprocessing import normalise


class FeatureMapStage(nn.Module):
    """RGB in [0, 1] of the encoder's size to its class token (N, D) and its feature map (N, D, h, w), float32.

    Args:
        encoder: whatever it does with images by itself is not used.
        dtype: of the weights; normalisation, the convolution and outputs stay in float32.
    """

    def __init__(self, encoder: SpaEncoder, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.encoder, self.dtype = encoder.to(dtype), dtype
        self.encoder.patch_embed.float()  # ONNX has no convolution in bfloat16 before opset 22

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.encoder.transform(self.encoder.embed(normalise(image)).to(self.dtype)).float()
        side = self.encoder.grid
        return tokens[:, 0], tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side))


def encoder_stage(
    encoder: SpaEncoder, dtype: torch.dtype = torch.float32, batch: int = 1, seed: int = 0
) -> dict[str, Stage]:
    """The one stage of an encoder."""
    g = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, 3, encoder.image_size, encoder.image_size, generator=g)
    return {
        "encoder": Stage(
            FeatureMapStage(encoder, dtype).eval(), {"image": image}, ("class_token", "feature_map")
        )
    }
