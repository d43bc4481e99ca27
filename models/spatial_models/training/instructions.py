"""Instructions for training: every way the grammar has of naming a verb and an object."""

from __future__ import annotations

import numpy as np
from spatial_vla.language.grammar import COLOURS, SHAPES, VERBS, Command, ObjectPhrase, render
from spatial_vla.language.vocabulary import Vocabulary

from .demonstrations import Sentence

#: Words of spatial relations, which the grammar will grow into; they have ids now so that weights stay compatible.
RELATION_WORDS = (
    "left right of in front behind near next to on top under between inside and it place put move above below "
    "nearest"
)


def vocabulary() -> Vocabulary:
    """Every word of the grammar, then the words of relations."""
    phrases = [p for choices in (*VERBS.values(), *SHAPES.values()) for p in choices] + list(COLOURS)
    words = dict.fromkeys([w for p in phrases for w in p.split()] + ["the", "please"])
    reserved = tuple(w for w in RELATION_WORDS.split() if w not in words)
    return Vocabulary((*words, *reserved), reserved=reserved)


def sentence_drawer(words: Vocabulary) -> Sentence:
    """Renders (verb, colour, shape) indices to word ids, drawing among synonyms."""
    verbs, shapes = tuple(VERBS), tuple(SHAPES)

    def draw(rng: np.random.Generator, verb: int, colour: int, shape: int) -> np.ndarray:
        command = Command(verbs[verb], ObjectPhrase(COLOURS[colour], shapes[shape]))
        polite = "please " if rng.random() < 0.1 else ""
        return words.encode(polite + render(command, rng))

    return draw
