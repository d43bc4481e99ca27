"""Names of relations and frames, and what an answer is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Frame = Literal["ego", "world", "object"]
Relation = Literal[
    "left", "right", "front", "behind", "above", "below", "near", "between", "on", "inside", "under"
]
FRAMES: tuple[Frame, ...] = get_args(Frame)
RELATIONS: tuple[Relation, ...] = get_args(Relation)
#: Directions on the ground, which depend on the frame; the other relations are the same in all frames.
DIRECTIONS: tuple[Relation, ...] = ("left", "right", "front", "behind")
OPPOSITE: dict[Relation, Relation] = {
    "left": "right",
    "right": "left",
    "front": "behind",
    "behind": "front",
    "above": "below",
    "below": "above",
}
#: A difference below this [m] is that of rounding; a margin within it is ambiguous.
ROUNDING = 1e-9


class Verdict(str, Enum):
    """``AMBIGUOUS``: the margin is within the uncertainty. ``UNKNOWN``: the question has no answer here."""

    YES = "yes"
    NO = "no"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Judgement:
    """An answer: the verdict, by how much it holds (``margin`` [m], negative if it does not), and the uncertainty."""

    verdict: Verdict
    margin: float
    band: float


def verdict_of(margin: float, band: float) -> Verdict:
    """The verdict that a signed margin means; NaN means there is none."""
    if np.isnan(margin):
        return Verdict.UNKNOWN
    if abs(margin) <= band + ROUNDING:
        return Verdict.AMBIGUOUS
    return Verdict.YES if margin > 0.0 else Verdict.NO


def decided(margin: NDArray[np.float64], band: NDArray[np.float64]) -> NDArray[np.int8]:
    """Verdicts of arrays: 1 yes, -1 no, 0 ambiguous or unknown."""
    with np.errstate(invalid="ignore"):
        clear = np.abs(margin) > band + ROUNDING
    return np.where(clear, np.sign(np.nan_to_num(margin)), 0).astype(np.int8)
