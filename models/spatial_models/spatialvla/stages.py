"""SpatialVLA as engines: depth, vision, prefill and one step of decoding, twelve tokens without a word from the host.

Shapes are static. Prompts are padded on the right to a fixed length and their true length goes along; keys and values
are inputs and outputs of fixed size, and what is decoded overwrites the padding. The output head has the rows of the
action tokens alone, so nothing but actions can be said, and each token is chosen among those of its slot.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ZoeDepthForDepthEstimation

from ..stage import Stage
from .depth import ZoeDepth
from .model import SpatialVla


class DepthStage(nn.Module):
    """An image to metres, padding, resizing and choice of the head included."""

    def __init__(self, network: ZoeDepthForDepthEstimation) -> None:
        super().__init__()
        # BEiT's fused attention has no ONNX form.
        network.set_attn_implementation("eager")
        self.network, self.zoe = network, ZoeDepth(network)

    def forward(self, image: Tensor) -> Tensor:
        """Image (1, 3, S, S) in [0, 1] to metres (1, S, S) along the optical axis, float32."""
        return self.zoe.depth(image).float()


class VisionStage(nn.Module):
    """Image and points to what stands for the patches among the text."""

    def __init__(self, model: SpatialVla) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, points: Tensor) -> Tensor:
        """Image (1, 3, S, S) in [0, 1], points (1, P, cells, 3) [m, camera frame] to (1, P, width) float32."""
        return self.model.image_features(image, points).float()


class _Cells:
    """Keys and values of one pass, read and written the way an exporter can follow."""

    def __init__(self, past_keys: Tensor | None, past_values: Tensor | None, at: Tensor | None) -> None:
        self.past, self.at = (past_keys, past_values), at
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """What a layer is to attend to, (1, heads, columns, width)."""
        past_keys, past_values = self.past
        if past_keys is not None and past_values is not None:
            assert self.at is not None
            keys = torch.where(self.at, keys, past_keys[layer].to(keys.dtype))
            values = torch.where(self.at, values, past_values[layer].to(values.dtype))
        self.keys.append(keys)
        self.values.append(values)
        return keys, values

    def stacked(self, more: int = 0) -> tuple[Tensor, Tensor]:
        """(layers, 1, heads, columns + more, width) float32, zero where nothing is yet."""
        keys, values = (torch.stack(t).float() for t in (self.keys, self.values))
        return functional.pad(keys, (0, 0, 0, more)), functional.pad(values, (0, 0, 0, more))


class _ActionStage(nn.Module):
    """What prefill and decoding share: the text model, the head's action rows, and the slots.

    Args:
        cells: number of tokens of each slot.
    """

    blocked: Tensor

    def __init__(self, model: SpatialVla, cells: tuple[int, int, int]) -> None:
        super().__init__()
        if sum(cells) != model.config.action_tokens:
            raise ValueError(
                f"slots of {cells} tokens; the model has {model.config.action_tokens} action tokens"
            )
        self.model = model
        # A copy of the head's rows: of a slice the exporter would keep all 265,347.
        self.head = nn.Parameter(
            model.language_model.lm_head.weight[model.config.action_begin :].detach().clone()
        )
        # A block (3, action tokens): the lowest number for the tokens of other slots.
        slot = torch.repeat_interleave(torch.arange(3), torch.tensor(cells))
        blocked = torch.zeros(3, len(slot)).masked_fill(slot[None] != torch.arange(3)[:, None], -3e38)
        self.register_buffer("blocked", blocked, persistent=False)

    def choose(self, hidden: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """Likeliest token of a slot (1,), counted from the first action token, and its log-probability (1,)."""
        scores = self.model.capped(functional.linear(hidden, self.head)).float()
        scores = scores + functional.embedding(slot, self.blocked)
        token = scores.argmax(dim=-1)
        chance = scores.log_softmax(dim=-1).gather(1, token[:, None])[:, 0]
        return token, chance


class PrefillStage(_ActionStage):
    """The prompt to the first token; keys and values with room for the others."""

    def __init__(self, model: SpatialVla, cells: tuple[int, int, int], more: int) -> None:
        super().__init__(model, cells)
        self.more = more

    def forward(
        self, image_embeddings: Tensor, text_embeddings: Tensor, length: Tensor
    ) -> tuple[Tensor, ...]:
        """Prompt of fixed size P + T, of which ``length`` (1,) int64 tokens, patches included, are real.

        Returns:
            token (1,) int64, log-probability (1,), position (1,) int64 to write next, keys and values.
        """
        embeddings = torch.cat((image_embeddings, text_embeddings), dim=1).to(self.model.dtype)
        columns = embeddings.shape[1]
        column = torch.arange(columns)
        # The prompt is seen both ways, padding by none.
        mask = torch.where(column < length, 0.0, torch.finfo(embeddings.dtype).min)[None, None, None]
        cells = _Cells(None, None, None)
        hidden = self.model.decode(embeddings, mask.to(embeddings.dtype), column[None] + 1, cells)
        last = hidden.index_select(1, length - 1)[:, 0]
        token, chance = self.choose(last, torch.zeros_like(length))
        return token, chance, length * 1, *cells.stacked(self.more)


class DecodeStage(_ActionStage):
    """One token to the next; run it once less than there are tokens in a chunk."""

    def forward(
        self, token: Tensor, position: Tensor, slot: Tensor, past_keys: Tensor, past_values: Tensor
    ) -> tuple[Tensor, ...]:
        """Token (1,) counted from the first action token, the column it is written to (1,), the slot to choose next.

        Returns:
            The next token (1,), log-probability (1,), position (1,), slot (1,), keys and values.
        """
        embeddings = self.model.embed_actions(token)[:, None]
        column = torch.arange(past_keys.shape[3])
        cells = _Cells(past_keys, past_values, (column == position)[None, None, :, None])
        mask = torch.where(column <= position, 0.0, torch.finfo(embeddings.dtype).min)[None, None, None]
        hidden = self.model.decode(embeddings, mask.to(embeddings.dtype), position[None] + 1, cells)
        found, chance = self.choose(hidden[:, 0], slot)
        after = torch.where(slot == 2, torch.zeros_like(slot), slot + 1)
        return found, chance, position + 1, after, *cells.stacked()


def depth_stage(network: ZoeDepthForDepthEstimation, side: int, seed: int = 0) -> Stage:
    """ZoeDepth for images of ``side`` pixels; wants float32, in which its bins are told apart."""
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return Stage(DepthStage(network).eval(), {"image": image}, ("depth",), single_precision=True)


def spatialvla_stages(
    model: SpatialVla, cells: tuple[int, int, int], *, steps: int = 4, text: int = 32, seed: int = 0
) -> dict[str, Stage]:
    """Vision, prefill and decoding step.

    Args:
        cells: tokens of the translation, rotation and gripper slot.
        steps: actions of a chunk, three tokens each.
        text: tokens of the longest prompt behind the image.
    """
    c, g = model.config, torch.Generator().manual_seed(seed)
    patches, room = c.image_tokens, 3 * steps
    length = torch.tensor([patches + max(text // 2, 1)])
    depth, heads, width = c.text.num_hidden_layers, c.text.num_key_value_heads, c.text.head_dim
    past = [torch.randn(depth, 1, heads, patches + text + room, width, generator=g) for _ in range(2)]
    points = torch.rand(1, patches, c.ego3d_cells**2, 3, generator=g) + torch.tensor([-0.5, -0.5, 1.0])
    cached = ("keys", "values")
    return {
        "vision": Stage(
            VisionStage(model).eval(),
            {"image": torch.rand(1, 3, c.image_size, c.image_size, generator=g), "points": points},
            ("image_embeddings",),
        ),
        "prefill": Stage(
            PrefillStage(model, cells, room).eval(),
            {
                "image_embeddings": torch.randn(1, patches, c.width, generator=g),
                "text_embeddings": torch.randn(1, text, c.width, generator=g),
                "length": length,
            },
            ("token", "log_probability", "position", *cached),
        ),
        "decode_step": Stage(
            DecodeStage(model, cells).eval(),
            {
                "token": torch.tensor([1]),
                "position": length.clone(),
                "slot": torch.tensor([1]),
                "past_keys": past[0],
                "past_values": past[1],
            },
            ("next_token", "log_probability", "next_position", "next_slot", *cached),
        ),
    }
