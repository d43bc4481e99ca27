"""What the network is given: an image of the right size, and the tokens of an instruction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .configuration import SpatialVlaConfig
from .model import IGNORED, Sequences

IMAGE, BOS, EOS = "<image>", "<bos>", "<eos>"
PAD = 0


class UnusableTokenizer(ValueError):
    """A tokenizer's special tokens are not where the network expects them."""


def image_tensor(image: NDArray[np.uint8], side: int) -> Tensor:
    """An RGB image (H, W, 3) uint8 as (3, side, side) float32 in [0, 1]: resized to a square by Pillow, bicubic.

    The ratio of the sides is not kept; intrinsics scale per axis accordingly.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"image has shape {image.shape} and type {image.dtype}; expected RGB, (height, width, 3) uint8"
        )
    resized = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255


def action_token(number: int) -> str:
    """Name of an action token, counted from 0 over all slots."""
    return f"<ACTION{number:05d}>"


class Prompts:
    """Instructions to token sequences: image placeholders, begin of sequence, the text, a newline.

    Args:
        tokenizer: of the checkpoint.
        lower_case: as the texts of the training data are.
        multiple: lengths are padded to a multiple of this, so that few different ones occur.

    Raises:
        UnusableTokenizer: its special tokens are others than the network's.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: SpatialVlaConfig,
        lower_case: bool = True,
        multiple: int = 1,
    ) -> None:
        self.tokenizer, self.config = tokenizer, config
        self.lower_case, self.multiple = lower_case, multiple
        _check(tokenizer, config)
        self.end = cast(int, tokenizer.convert_tokens_to_ids(EOS))
        self._tokens = lru_cache(1024)(self._tokenised)

    @classmethod
    def read(
        cls, folder: str | Path, config: SpatialVlaConfig, lower_case: bool = True, multiple: int = 1
    ) -> Prompts:
        """With the tokenizer of a checkpoint's folder; nothing is fetched, and no code of the folder is run.

        Raises:
            FileNotFoundError: the folder has no tokenizer.
        """
        if not (Path(folder) / "tokenizer.json").is_file():
            raise FileNotFoundError(
                f"{folder} has no tokenizer.json; it belongs to every released checkpoint: copy tokenizer.json and "
                "tokenizer_config.json beside the weights"
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return cls(tokenizer, config, lower_case, multiple)

    def __call__(self, instructions: Sequence[str]) -> Sequences:
        """A prompt for every instruction."""
        return _padded([self._tokens(text) for text in instructions], self.multiple)

    def with_actions(
        self, instructions: Sequence[str], actions: Sequence[Sequence[int]]
    ) -> tuple[Sequences, Tensor]:
        """Sequences to train on, and their labels: behind each prompt its actions' ids and end of sequence.

        Args:
            actions: ids of the vocabulary, as the action tokenizer makes them, a row per instruction.
        """
        prompts = [self._tokens(text) for text in instructions]
        answers = [(*map(int, row), self.end) for row in actions]
        rows = [(*p, *a) for p, a in zip(prompts, answers, strict=True)]
        sequences = _padded(rows, self.multiple)
        suffix = torch.zeros_like(sequences.valid)
        for i, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
            suffix[i, len(prompt) : len(row)] = True
        labels = sequences.ids.masked_fill(~suffix, IGNORED)
        return Sequences(sequences.ids, sequences.valid, suffix), labels

    def _tokenised(self, instruction: str) -> tuple[int, ...]:
        text = " ".join(instruction.split())
        text = text.lower() if self.lower_case else text
        if not text:
            raise ValueError("the instruction is empty; expected a text such as 'pick up the red cube'")
        if (
            placed := [token for token in (IMAGE, BOS, EOS, "<ACTION") if token.lower() in text.lower()]
        ) != []:
            raise ValueError(f"the instruction {instruction!r} contains {placed[0]}, which is no text")
        ids = self.tokenizer(f"{BOS}{text}\n", add_special_tokens=False)["input_ids"]
        return (*[self.config.image_token] * self.config.image_tokens, *ids)


def _padded(rows: Sequence[Sequence[int]], multiple: int) -> Sequences:
    longest = max(map(len, rows))
    ids = torch.full((len(rows), -(-longest // multiple) * multiple), PAD)
    valid = torch.zeros_like(ids, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        valid[i, : len(row)] = True
    return Sequences(ids, valid)


def _check(tokenizer: PreTrainedTokenizerBase, config: SpatialVlaConfig) -> None:
    last = config.action_tokens - 1
    expected = {
        IMAGE: config.image_token,
        action_token(0): config.action_begin,
        action_token(last): config.action_begin + last,
    }
    found = {name: tokenizer.convert_tokens_to_ids(name) for name in expected}
    wrong = {name: found[name] for name in expected if found[name] != expected[name]}
    unknown = tokenizer.unk_token_id
    wrong |= {t: i for t in (BOS, EOS) if (i := tokenizer.convert_tokens_to_ids(t)) in (None, unknown)}
    if wrong:
        raise UnusableTokenizer(
            f"the tokenizer has {wrong}, the network expects {expected} and {BOS}, {EOS}; take tokenizer.json and "
            "tokenizer_config.json of the same checkpoint"
        )
