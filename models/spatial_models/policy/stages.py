"""The small policy as engines: an encoder and a decoder."""

from __future__ import annotations

import torch
from spatial_vla.language.vocabulary import Vocabulary
from torch import Tensor, nn

from ..spa.preprocessing import normalise
from ..stage import Stage
from .decoder import CellHead
from .policy import SpatialPolicy


class EncoderStage(nn.Module):
    """Image to patch features.

    Args:
        dtype: of the weights; normalisation, the convolution and features stay in float32.
    """

    def __init__(self, policy: SpatialPolicy, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.encoder, self.dtype = policy.encoder.to(dtype), dtype
        self.encoder.patch_embed.float()  # ONNX has no convolution in bfloat16 before opset 22

    def forward(self, image: Tensor) -> Tensor:
        patches = self.encoder.embed(normalise(image)).to(self.dtype)
        return self.encoder.transform(patches)[:, 1:].float()


class _TrainedHead(nn.Module):
    """A head whose embeddings of the cells are computed once: they depend on weights alone."""

    table: Tensor

    def __init__(self, head: CellHead) -> None:
        super().__init__()
        self.register_buffer("table", head.table().detach().T.contiguous() / head.own.shape[-1] ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.table


class DecoderStage(nn.Module):
    """Features to tokens; choosing the tokens happens inside the engine."""

    def __init__(self, policy: SpatialPolicy) -> None:
        super().__init__()
        self.decoder = policy.decoder
        self.decoder.translation = _TrainedHead(self.decoder.translation)
        self.decoder.rotation = _TrainedHead(self.decoder.rotation)

    def forward(
        self, features: Tensor, points: Tensor, valid: Tensor, state: Tensor, words: Tensor
    ) -> tuple[Tensor, ...]:
        out = self.decoder(features, points, valid, state, words)
        logs = [x.log_softmax(-1) for x in (out.translation, out.rotation, out.gripper)]
        best = [x.max(-1) for x in logs]
        tokens = torch.stack([b.indices for b in best], dim=-1)
        chances = torch.stack([b.values for b in best], dim=-1)
        pointer = out.cell_logits.softmax(-1)
        return tokens, chances, out.target, pointer[:, -1], pointer[:, :-1]


def policy_stages(
    policy: SpatialPolicy, words: Vocabulary, dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Stage]:
    """Encoder and decoder.

    Args:
        dtype: of the encoder's weights. The decoder computes with positions, which half precision would round to
            millimetres, and stays in float32.
        seed: other seeds give other examples.
    """
    g = torch.Generator().manual_seed(seed)
    size, patches, cells = policy.encoder.image_size, policy.encoder.grid**2, policy.decoder.localiser.cells
    ids = torch.zeros(1, words.max_words, dtype=torch.int64)
    ids[0, :4] = torch.randint(1, len(words), (4,), generator=g)
    return {
        "encoder": Stage(
            EncoderStage(policy, dtype).eval(),
            {"image": torch.rand(1, 3, size, size, generator=g)},
            ("features",),
        ),
        "decoder": Stage(
            DecoderStage(policy).eval(),
            {
                "features": torch.randn(1, patches, policy.encoder.width, generator=g),
                "points": torch.rand(1, patches, cells, 3, generator=g) - 0.2,
                "valid": torch.ones(1, patches, cells, dtype=torch.bool),
                "state": torch.rand(1, 10, generator=g),
                "words": ids,
            },
            ("tokens", "log_probabilities", "target", "absent", "pointer"),
            single_precision=True,
        ),
    }
