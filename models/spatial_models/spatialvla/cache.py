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
    """

    def __init__(
        self, config: Gemma2Config, batch: int, columns: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (config.num_hidden_layers, batch, config.num_key_value_heads, columns, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.start = self.stop = 0

    def next(self, tokens: int) -> None:
        """The following tokens go behind what is there; 0 columns are there after :meth:`restart`."""
        self.start, self.stop = self.stop, self.stop + tokens
        if self.stop > self.keys.shape[3]:
            raise ValueError(f"{self.stop} tokens do not fit a cache of {self.keys.shape[3]}")

    def restart(self) -> None:
        """Forget everything."""
        self.start = self.stop = 0

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keep what a layer computed and give all it is to attend to, (B, heads, columns so far, width)."""
        self.keys[layer, :, :, self.start : self.stop] = keys
        self.values[layer, :, :, self.start : self.stop] = values
        return self.keys[layer, :, :, : self.stop], self.values[layer, :, :, : self.stop]
