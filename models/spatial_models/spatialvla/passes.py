"""Passes of the text model over a prompt and over one token after another: operation by operation, or compiled.

Compiled passes have fixed shapes: every token attends to all columns there will be, those not yet written masked. One
compilation serves all tokens of a chunk, one all prompts of a length. Compiled code adds up in another order, so scores
may differ in the last digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .cache import KeyValueCache, WholeCache
from .masks import additive
from .model import Sequences, SpatialVla
from .prefill import last_hidden

Prompt = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""ids (B, T), valid (B, T), lengths (B,), images, points"""


class Passes:
    """A prompt read, and the tokens that follow it, one operation at a time.

    Args:
        prompt: the batch. more: tokens that will follow. padded: whether some rows have padding; True when unsure.

    Attributes:
        last: (B, width) hidden states of the last token of each prompt.
    """

    def __init__(self, model: SpatialVla, prompt: Prompt, more: int, padded: bool = True) -> None:
        ids, valid, lengths, images, points = prompt
        embeddings = model.embed_sequences(Sequences(ids, valid), images, points)
        batch, tokens = embeddings.shape[:2]
        self.model = model
        self.cache = KeyValueCache(
            model.config.text, batch, tokens + more, embeddings.dtype, embeddings.device
        )
        self.mask = prompt_mask(valid, more, embeddings.dtype) if padded else None
        self.last = last_hidden(model, embeddings, columns(self.mask, tokens), lengths, self.cache)

    def next(self, embedded: Tensor, positions: Tensor) -> Tensor:
        """Hidden states (B, width) of the next token (B, 1, width), at positions (B, 1)."""
        self.cache.next(1)
        return self.model.decode(embedded, columns(self.mask, self.cache.stop), positions, self.cache)[:, 0]


class Compiler:
    """Makes passes like :class:`Passes` whose insides ``torch.compile`` has fused.

    Args:
        options: for ``torch.compile``, such as ``mode``.
    """

    def __init__(self, model: SpatialVla, **options: Any) -> None:
        self.model = model
        self.prompt: Callable[..., Any] = torch.compile(self._prompt, dynamic=False, **options)
        self.token: Callable[..., Tensor] = torch.compile(self._token, dynamic=False, **options)

    def __call__(self, model: SpatialVla, prompt: Prompt, more: int, padded: bool = True) -> CompiledPasses:
        """Read a prompt; arguments as of :class:`Passes`. The model is the one given before."""
        return CompiledPasses(self, prompt, more)

    def _prompt(self, prompt: Prompt, more: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        passes = Passes(self.model, prompt, more)
        return passes.last, passes.cache.keys, passes.cache.values

    def _token(
        self,
        embedded: Tensor,
        mask: Tensor,
        positions: Tensor,
        column: Tensor,
        keys: list[Tensor],
        values: list[Tensor],
    ) -> Tensor:
        cache = WholeCache(keys, values, column)
        return self.model.decode(embedded, mask, positions, cache)[:, 0]


class CompiledPasses:
    """See :class:`Compiler`, which makes them."""

    def __init__(self, compiler: Compiler, prompt: Prompt, more: int) -> None:
        self._token = compiler.token
        self.last, self.keys, self.values = compiler.prompt(prompt, more)
        valid = prompt[1]
        self.mask = prompt_mask(valid, more, self.last.dtype)
        self.columns = torch.arange(self.mask.shape[-1], device=valid.device)
        self.column = valid.shape[1]

    def next(self, embedded: Tensor, positions: Tensor) -> Tensor:
        """As :meth:`Passes.next`."""
        lowest = torch.finfo(self.mask.dtype).min
        mask = self.mask.masked_fill(self.columns > self.column, lowest)
        column = self.columns[self.column : self.column + 1].clone()
        self.column += 1
        return self._token(embedded, mask, positions, column, self.keys, self.values)


def prompt_mask(valid: Tensor, more: int, dtype: torch.dtype) -> Tensor:
    """Hides padding: (B, 1, 1, P + more); prompts are seen both ways, and what follows sees all before it."""
    seen = torch.cat((valid, valid.new_ones(len(valid), more)), dim=1)
    return additive(seen[:, None], dtype)


def columns(mask: Tensor | None, count: int) -> Tensor | None:
    """The first columns of a mask, if there is one."""
    return None if mask is None else mask[..., :count]
