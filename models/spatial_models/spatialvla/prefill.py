"""The pass over a prompt: all that later tokens attend to, and what the first of them is chosen from.

Of the last layer, the prompt's tokens but one have no use beside their keys and values: what they would be made into is
read by nobody. So attention, output projection and MLP of that layer are computed at the last token alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .cache import KeyValueCache
from .model import SpatialVla


def last_hidden(
    model: SpatialVla, embeddings: Tensor, mask: Tensor | None, lengths: Tensor, cache: KeyValueCache
) -> Tensor:
    """Last hidden states (B, width), normalised, of the last token of each prompt; fills an empty cache.

    Args:
        embeddings: (B, T, width). mask: as of :meth:`.model.SpatialVla.decode`, the same for all rows of a prompt.
        lengths: (B,) tokens of each prompt; padding follows.
    """
    model.check_length(embeddings.shape[1])
    text: Any = model.language_model.model
    tokens = embeddings.shape[1]
    positions = torch.arange(1, tokens + 1, device=embeddings.device)[None]
    cos, sin = text.rotary_emb(embeddings, positions)
    cache.next(tokens)
    hidden = embeddings
    *layers, last = text.layers
    for layer in layers:
        hidden = layer(
            hidden,
            attention_mask=mask,
            position_embeddings=(cos, sin),
            position_ids=positions,
            past_key_values=cache,
        )
    attention = last.self_attn
    normed = last.input_layernorm(hidden)
    shape = (*normed.shape[:2], -1, attention.head_dim)
    keys, values = (f(normed).view(shape).transpose(1, 2) for f in (attention.k_proj, attention.v_proj))
    cache.update(_rotated(keys, cos[:, None], sin[:, None]), values, attention.layer_idx)
    rows, at = torch.arange(len(hidden), device=hidden.device), lengths - 1
    batch = (len(hidden), -1, -1)
    turn = tuple(t.expand(batch)[rows, at][:, None] for t in (cos, sin))
    cache.held = True
    hidden = last(
        hidden[rows, at][:, None],
        attention_mask=mask,
        position_embeddings=turn,
        position_ids=lengths[:, None],
        past_key_values=cache,
    )
    cache.held = False
    return text.norm(hidden)[:, 0]


def _rotated(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, as Gemma has them: the halves of a head are the two parts of complex numbers."""
    real, imaginary = keys.chunk(2, dim=-1)
    return keys * cos + torch.cat((-imaginary, real), dim=-1) * sin
