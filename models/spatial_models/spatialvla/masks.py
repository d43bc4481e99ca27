"""Which token sees which: the prompt both ways or causally, what follows it causally, padding by none."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

PromptAttention = Literal["bidirectional", "causal"]
"""How the tokens of a prompt see each other.

The published weights are run with bidirectional prompts, and were trained, by the published scripts, with causal ones.
"""


def visible(valid: Tensor, suffix: Tensor, prompt: PromptAttention) -> Tensor:
    """Whether the token of a row sees the token of a column.

    Args:
        valid: (B, T) bool, False for padding.
        suffix: (B, T) bool, True for what follows the prompt.
        prompt: how prompt tokens see each other; the suffix always sees the prompt, and itself causally.

    Returns:
        (B, T, T) bool. Padding is seen by no token; it sees itself, so that every row sees something.
    """
    tokens = valid.shape[1]
    causal = torch.ones(tokens, tokens, dtype=torch.bool, device=valid.device).tril()
    seen = causal.expand(len(valid), -1, -1)
    if prompt == "bidirectional":
        seen = seen | ~suffix[:, None, :]
    elif prompt != "causal":
        raise ValueError(f"prompt attention {prompt!r}; expected 'bidirectional' or 'causal'")
    itself = torch.eye(tokens, dtype=torch.bool, device=valid.device)
    return (seen & valid[:, None, :]) | itself


def additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, rows, columns) bool to what attention adds to its scores, (B, 1, rows, columns): 0 or the lowest number."""
    blocked = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return blocked.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
