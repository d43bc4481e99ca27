"""Words the policy understands, and their ids."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class UnknownInstruction(ValueError):
    """The sentence holds a word that the policy was not trained on, or is empty or too long."""


@dataclass(frozen=True)
class Vocabulary:
    """Word-level vocabulary; id 0 is padding, word i has id i + 1. ``max_words`` is the padded length L.

    Words that are ``reserved`` have ids, for weights to come, but were in no sentence of the training.
    """

    words: tuple[str, ...]
    max_words: int = 12
    reserved: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.words) + 1

    def encode(self, sentence: str) -> NDArray[np.int64]:
        """Sentence to ids (L,) int64, padded with 0. Case and punctuation do not count.

        Raises:
            UnknownInstruction: naming the unknown or reserved words and listing the known ones.
        """
        said = re.findall(r"[a-z]+", sentence.lower())
        if not said:
            raise UnknownInstruction(f"instruction {sentence!r} is empty; try 'touch the red cube'")
        known = [w for w in self.words if w not in self.reserved]
        unknown = [w for w in said if w not in known]
        if unknown:
            raise UnknownInstruction(
                f"instruction {sentence!r} has words that the policy was not trained on: {', '.join(unknown)}. "
                f"Known words: {', '.join(known)}"
            )
        if len(said) > self.max_words:
            raise UnknownInstruction(
                f"instruction has {len(said)} words; the policy reads at most {self.max_words}"
            )
        ids = np.zeros(self.max_words, dtype=np.int64)
        ids[: len(said)] = [self.words.index(w) + 1 for w in said]
        return ids
