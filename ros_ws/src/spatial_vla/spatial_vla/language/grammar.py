"""The instructions that the tabletop tasks use: a sentence to a command and back.

    sentence := verb "the" phrase
    phrase   := colour shape

A spatial relation ("the cube left of the red ball") will be one more part of ``ObjectPhrase``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

VERBS: dict[str, tuple[str, ...]] = {
    "touch": ("touch", "tap"),
    "point": ("point at", "point to"),
    "pick": ("pick up", "pick", "grab"),
}
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
SHAPES: dict[str, tuple[str, ...]] = {
    "cube": ("cube",),
    "cylinder": ("cylinder", "can"),
    "ball": ("ball", "sphere"),
    "brick": ("brick",),
}


@dataclass(frozen=True)
class ObjectPhrase:
    """What an object is called: ``colour`` of ``COLOURS`` and ``shape``, a key of ``SHAPES``."""

    colour: str
    shape: str


@dataclass(frozen=True)
class Command:
    """What to do (``verb``, a key of ``VERBS``) and with which object."""

    verb: str
    object: ObjectPhrase


def render(command: Command, rng: np.random.Generator | None = None) -> str:
    """The sentence for a command; with ``rng`` synonyms are drawn, without it the first of each is taken."""

    def word(choices: tuple[str, ...]) -> str:
        return choices[0] if rng is None else choices[int(rng.integers(len(choices)))]

    verb, shape = word(VERBS[command.verb]), word(SHAPES[command.object.shape])
    return f"{verb} the {command.object.colour} {shape}"


def parse(sentence: str) -> Command:
    """The command that a sentence states; case, punctuation and surrounding blanks do not matter.

    Raises:
        ValueError: if the sentence is not in the grammar; the message lists what is.
    """
    match = _PATTERN.fullmatch(" ".join(re.sub(r"[^\w\s]", " ", sentence.lower()).split()))
    if match is None:
        raise ValueError(
            f"instruction {sentence!r} is not understood; expected e.g. 'touch the red cube': {_FORM}"
        )
    return Command(_VERB_OF[match["verb"]], ObjectPhrase(match["colour"], _SHAPE_OF[match["shape"]]))


_VERB_OF = {word: verb for verb, words in VERBS.items() for word in words}
_SHAPE_OF = {word: shape for shape, words in SHAPES.items() for word in words}
_FORM = f"({' | '.join(_VERB_OF)}) the ({' | '.join(COLOURS)}) ({' | '.join(_SHAPE_OF)})"
_PATTERN = re.compile(
    rf"(?:please )?(?P<verb>{'|'.join(_VERB_OF)}) the (?P<colour>{'|'.join(COLOURS)}) (?P<shape>{'|'.join(_SHAPE_OF)})"
)


def words() -> tuple[str, ...]:
    """Every word that a sentence of this grammar can hold, sorted."""
    phrases = ["please", "the", *COLOURS, *_VERB_OF, *_SHAPE_OF]
    return tuple(sorted({word for phrase in phrases for word in phrase.split()}))
