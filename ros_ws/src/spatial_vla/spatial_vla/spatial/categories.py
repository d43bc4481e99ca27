"""What can be said about a thing of a category: has it a front, is its top flat, can it hold or cover other things."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True)
class Traits:
    """Properties of a category.

    Attributes:
        front: it has a functional front, its box's +x; only then has it a frame of its own.
        flat_top: things can stand on its top.
        container: things can be inside it.
        canopy: things can be under it, within its box (a table, a chair).
        movable: it can be picked up and put elsewhere.
        environment: part of the building; nobody asks about it.
    """

    front: bool = False
    flat_top: bool = False
    container: bool = False
    canopy: bool = False
    movable: bool = False
    environment: bool = False


def traits_of(category: str) -> Traits:
    """Traits of a category; unknown ones have none. Case, a number at the end and a full stop do not count."""
    return _traits(normal(category))


@cache
def normal(name: str) -> str:
    """A category as the lists spell it: lower case, no underscores, no number, no full stop."""
    words = name.lower().replace("_", " ").strip(" .").split()
    while len(words) > 1 and words[-1].isdigit():
        words.pop()
    return " ".join(words)


@cache
def listed(trait: str) -> frozenset[str]:
    """The categories that ``categories.yaml`` lists for a trait."""
    return frozenset(_lists()[trait])


@cache
def _traits(category: str) -> Traits:
    words = category.split()
    # "wooden coffee table" has the traits of "coffee table" or, failing that, of "table".
    tails = [" ".join(words[i:]) for i in range(len(words))]
    known = set().union(*_lists().values())
    match = next((tail for tail in tails if tail in known), "")
    return Traits(**{trait: match in names for trait, names in _lists().items()})


@cache
def _lists() -> dict[str, list[str]]:
    text = resources.files("spatial_vla.spatial").joinpath("categories.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)
