"""Scores of answers to RoboSpatial-Home's questions: as the published scorer gives them, and as one would want them.

``official``: a yes/no answer is right if it starts with the expected word; of points the first "(a, b)" or else
"[a, b]" anywhere counts, tested by even-odd crossings against the expected points as a polygon in their stored order;
what cannot be read is wrong. Answers that are missing are left out of the denominator.

``strict``: the first word of the answer that is a yes or a no counts; *every* point has to be in the region, which is
the mask where there is one and the convex hull of the expected points otherwise; a missing answer is wrong. A list that
fails as (x, y) and would do as (y, x), or in pixels or percent, is still wrong but counted as what it is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

Mode = Literal["official", "strict"]
Point = tuple[float, float]
#: How far outside the hull a point may be by rounding to three decimals.
ROUNDING = 5e-4
_NUMBER = r"-?\d+(?:\.\d*)?|-?\.\d+"
_UNSIGNED = r"\d+\.\d+|\d+"
_LOOSE = {
    bracket: re.compile(rf"\{a}\s*({_UNSIGNED})\s*,\s*({_UNSIGNED})\s*\{b}")
    for bracket, (a, b) in {"round": "()", "square": "[]"}.items()
}
_ALL_POINTS = re.compile(rf"[(\[]\s*({_NUMBER})\s*,\s*({_NUMBER})\s*[)\]]")
_YES_NO = re.compile(r"\b(yes|no)\b")


@dataclass(frozen=True)
class Score:
    """Whether an answer is right; ``parsed``: it could be read; ``note``: what is peculiar about it."""

    right: bool
    parsed: bool
    note: str = ""


def score(
    expected: str,
    answer: str,
    mode: Mode,
    mask: NDArray[np.bool_] | None = None,
    size: tuple[int, int] | None = None,
) -> Score:
    """The score of one answer.

    Args:
        expected: "yes", "no", or a list of points (x, y) in 0..1, as text.
        mask: (h, w) where points are right; strict mode only.
        size: of the picture (w, h) [px], to recognise answers in pixels; strict mode only.

    Raises:
        ValueError: ``expected`` is neither, or the mode is unknown.
    """
    if mode not in ("official", "strict"):
        raise ValueError(f"mode {mode!r} is unknown; expected official or strict")
    word = expected.strip().lower()
    if word in ("yes", "no"):
        return _official_word(word, answer) if mode == "official" else _strict_word(word, answer)
    region = expected_points(expected)
    if mode == "official":
        return _official_point(region, answer)
    return _strict_points(region, answer, mask, size)


def expected_points(text: str) -> list[Point]:
    """Points of an expected answer.

    Raises:
        ValueError: it is no list of pairs of numbers.
    """
    try:
        rows = [(float(x), float(y)) for x, y in ast.literal_eval(text.strip())]
    except (ValueError, TypeError, SyntaxError) as error:
        raise ValueError(f"expected answer {text[:80]!r} is neither yes, no nor a list of (x, y)") from error
    return rows


def _official_word(word: str, answer: str) -> Score:
    said = answer.strip().lower()
    return Score(said.startswith(word), said.startswith(("yes", "no")))


def _strict_word(word: str, answer: str) -> Score:
    said = set(_YES_NO.findall(answer.lower()))
    if len(said) != 1:
        return Score(False, False, "both yes and no" if said else "neither yes nor no")
    return Score(said == {word}, True)


def _official_point(region: Sequence[Point], answer: str) -> Score:
    point = _first_point(answer)
    if point is None:
        return Score(False, False)
    return Score(len(region) >= 3 and crosses(point, region), True)


def _first_point(answer: str) -> Point | None:
    """The first "(a, b)", else the first "[a, b]", else the first pair of a bracketed literal."""
    for pattern in _LOOSE.values():
        if match := pattern.search(answer):
            return float(match[1]), float(match[2])
    match = re.search(r"\[.*\]", answer, re.DOTALL)
    if match is None:
        return None
    try:
        value = ast.literal_eval(match[0])
        first = value[0] if isinstance(value[0], (list, tuple)) else value
        return float(first[0]), float(first[1])
    except (ValueError, TypeError, SyntaxError, IndexError, KeyError):
        return None


def crosses(point: Point, polygon: Sequence[Point]) -> bool:
    """Even-odd rule: a ray from the point to the right crosses the edges of the polygon an odd number of times."""
    x, y = point
    inside = False
    for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            inside = not inside
    return inside


def _strict_points(
    region: Sequence[Point], answer: str, mask: NDArray[np.bool_] | None, size: tuple[int, int] | None
) -> Score:
    points = np.array([(float(a), float(b)) for a, b in _ALL_POINTS.findall(answer)]).reshape(-1, 2)
    if not len(points):
        return Score(False, False, "no points")
    if within(points, region, mask).all():
        return Score(True, True)
    for note, other in _readings(points, size):
        if within(other, region, mask).all():
            return Score(False, True, note)
    return Score(False, True, "" if not within(points, region, mask).any() else "some points outside")


def _readings(
    points: NDArray[np.float64], size: tuple[int, int] | None
) -> list[tuple[str, NDArray[np.float64]]]:
    """What the points may have been meant as."""
    rows = [("y before x", points[:, ::-1]), ("percent", points / 100.0), ("per mille", points / 1000.0)]
    if size is not None:
        rows.append(("pixels", points / np.array(size, np.float64)))
    return rows + [(f"{note}, y before x", other[:, ::-1]) for note, other in rows[1:]]


def within(
    points: NDArray[np.float64], region: Sequence[Point], mask: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Which points (k, 2) in 0..1 are in the mask, or in the convex hull of the region where there is no mask."""
    if mask is not None:
        height, width = mask.shape
        at = np.floor(points * (width, height)).astype(np.int64)
        inside = ((points >= 0.0) & (points <= 1.0)).all(axis=1)
        at = np.clip(at, 0, (width - 1, height - 1))
        return inside & mask[at[:, 1], at[:, 0]]
    corners = np.array(region, np.float64).reshape(-1, 2)
    try:
        planes = ConvexHull(corners).equations
    except (QhullError, ValueError):
        # Fewer than three points, or all on a line: a region without area.
        near = np.linalg.norm(points[:, None] - corners[None], axis=-1).min(axis=1, initial=np.inf)
        return near <= ROUNDING
    return (points @ planes[:, :2].T + planes[:, 2] <= ROUNDING).all(axis=1)
