"""From the network to action tokens: constrained to what each slot can say, or free as the published code does it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .model import Sequences, SpatialVla
from .passes import Compiler, Passes
from .recorded import Recorded


@dataclass(frozen=True)
class ActionTokens:
    """Tokens of a batch of chunks.

    Attributes:
        ids: (B, steps, 3), translation, rotation and gripper token, each counted from 0 in its slot.
        log_probabilities: (B, steps, 3) float32, among the tokens of the slot.
    """

    ids: Tensor
    log_probabilities: Tensor


class ActionDecoder:
    """Greedy decoding in which each token is chosen among those of its slot.

    A chunk is one pass over the prompt and ``3 steps - 1`` passes over one token. Scores are made for the slot's own
    tokens alone (at most 4096 of 265,347), the last token is never fed back, and no end of sequence is waited for. On a
    GPU all passes are recorded once per batch and prompt size as one CUDA graph and then launched as one.

    Args:
        cells: number of tokens of each slot; together the model's action tokens.
        steps: actions in a chunk.
        record: replay CUDA graphs; False runs every operation by itself. Without effect on a CPU.
        compiled: have ``torch.compile`` fuse the passes, which takes a minute or more for the first request of each
            batch and prompt size (pad prompts, see :class:`.prompt.Prompts`), and a C++ compiler or Triton. Needs
            weights that are not quantised.
    """

    def __init__(
        self,
        model: SpatialVla,
        cells: tuple[int, int, int],
        steps: int = 4,
        record: bool = True,
        compiled: bool = False,
    ) -> None:
        if sum(cells) != model.config.action_tokens or steps < 1:
            raise ValueError(
                f"slots of {cells} tokens for {steps} steps; expected {model.config.action_tokens} tokens together, "
                "and a step at least"
            )
        self.model, self.steps = model, steps
        self.firsts = (0, cells[0], cells[0] + cells[1])
        self.cells = cells
        self._begin = Compiler(model) if compiled else Passes
        self._recorded = Recorded(self._chunk) if record else self._chunk

    @torch.inference_mode()
    def __call__(self, sequences: Sequences, images: Tensor, points: Tensor) -> ActionTokens:
        """Decode a batch of prompts, each with its image (B, 3, H, W) in [0, 1] and its points, see the model."""
        lengths = sequences.valid.sum(dim=1)
        given = (sequences.ids, sequences.valid, lengths, images, points)
        if sequences.ids.is_cuda:
            ids, log_probabilities = self._recorded(*given)
        else:
            ids, log_probabilities = self._chunk(*given, padded=not bool(sequences.valid.all()))
        return ActionTokens(ids.clone(), log_probabilities.clone())

    def _chunk(
        self, ids: Tensor, valid: Tensor, lengths: Tensor, images: Tensor, points: Tensor, padded: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Tokens and their log-probabilities (B, steps, 3) of a batch of prompts."""
        total = 3 * self.steps
        passes = self._begin(self.model, (ids, valid, lengths, images, points), total - 1, padded)
        last = passes.last
        tokens, chances = [], []
        for index in range(total):
            slot = index % 3
            token, chance = self._choose(last, slot)
            tokens.append(token)
            chances.append(chance)
            if index + 1 == total:
                break
            embedded = self.model.embed_actions(token + self.firsts[slot])[:, None]
            last = passes.next(embedded, (lengths + index + 1)[:, None])
        shape = (len(ids), self.steps, 3)
        return torch.stack(tokens, dim=1).view(shape), torch.stack(chances, dim=1).view(shape)

    def _choose(self, hidden: Tensor, slot: int) -> tuple[Tensor, Tensor]:
        """Likeliest token (B,) of a slot, and its log-probability among them, from hidden states (B, width)."""
        first = self.model.config.action_begin + self.firsts[slot]
        scores = self.model.logits(hidden, first, first + self.cells[slot]).float()
        best, token = scores.max(dim=-1)
        return token, best - scores.logsumexp(dim=-1)


@torch.inference_mode()
def generate_freely(
    model: SpatialVla,
    sequences: Sequences,
    images: Tensor,
    points: Tensor,
    most: int = 256,
    end: int = 1,
) -> list[list[int]]:
    """Greedy ids over the whole vocabulary, with their end of sequence if it came: what the published code does.

    For comparison with it; ``spatial_vla.actions.SpatialActionTokenizer`` checks such ids. A robot is driven with
    :class:`ActionDecoder`, which cannot say anything but actions.

    Args:
        most: tokens to stop after. end: id of the end of sequence.
    """
    lengths = sequences.valid.sum(dim=1)
    passes = Passes(model, (sequences.ids, sequences.valid, lengths, images, points), most)
    last = passes.last
    found: list[list[int]] = [[] for _ in range(len(lengths))]
    for index in range(most):
        token = model.logits(last).argmax(dim=-1)
        for row, value in zip(found, token.tolist(), strict=True):
            if not row or row[-1] != end:
                row.append(value)
        if all(row[-1] == end for row in found):
            break
        last = passes.next(model.embed(token)[:, None], (lengths + index + 1)[:, None])
    return found
