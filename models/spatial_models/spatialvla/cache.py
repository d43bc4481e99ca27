"""Keys and values of the tokens seen so far, in one place each and of a length known beforehand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Gemma2Config


class KeyValueCache:
    """A cache for every layer of a text model; what is written next is said once for all layers.

    The columns are plain numbers, not tensors: no layer computes an index, attention sees no column that is not yet
    written, and a recorded graph of the steps has them as constants.

    Attributes:
        keys, values: by layer, (B, heads, columns, width).
        held: while True nothing is written: what layers give is there already.
    """

    def __init__(
        self, config: Gemma2Config, batch: int, columns: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (batch, config.num_key_value_heads, columns, config.head_dim)
        layers = range(config.num_hidden_layers)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in layers]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in layers]
        self.columns, self.held = columns, False
        self.start = self.stop = 0

    def next(self, tokens: int) -> None:
        """The following tokens go behind what is there."""
        self.start, self.stop = self.stop, self.stop + tokens
        if self.stop > self.columns:
            raise ValueError(f"{self.stop} tokens do not fit a cache of {self.columns}")

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keep what a layer computed and give all it is to attend to, (B, heads, columns so far, width)."""
        if not self.held:
            self.keys[layer][:, :, self.start : self.stop] = keys
            self.values[layer][:, :, self.start : self.stop] = values
        return self.keys[layer][:, :, : self.stop], self.values[layer][:, :, : self.stop]


class WholeCache:
    """Keys and values of which layers see every column, written or not: the mask hides the others.

    Args:
        keys, values: by layer, (B, heads, columns, width), written to. column: (1,) where the next token goes.
    """

    def __init__(self, keys: list[Tensor], values: list[Tensor], column: Tensor) -> None:
        self.keys, self.values, self.column = keys, values, column

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keep what a layer computed and give all columns, (B, heads, columns, width)."""
        self.keys[layer].index_copy_(2, self.column, keys)
        self.values[layer].index_copy_(2, self.column, values)
        return self.keys[layer], self.values[layer]
