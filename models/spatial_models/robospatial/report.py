"""Accuracies with Wilson intervals, by category and by frame, as JSON and Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .scoring import Mode, Score

#: Of a two-sided interval of 95 %.
Z = 1.959963984540054


@dataclass(frozen=True)
class Scored:
    """One question with its score; None: no answer was given."""

    category: str
    frame: str
    score: Score | None


def wilson(right: int, count: int, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a share; (0, 1) of nothing."""
    if not 0 <= right <= count:
        raise ValueError(f"{right} right of {count} is no share")
    if count == 0:
        return 0.0, 1.0
    share, square = right / count, z * z / count
    centre = (share + square / 2.0) / (1.0 + square)
    half = z / (1.0 + square) * math.sqrt(share * (1.0 - share) / count + square / (4.0 * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def summary(rows: Sequence[Scored], mode: Mode) -> dict[str, Any]:
    """Accuracy by category and by frame, over all (micro), and the mean of the categories (macro)."""
    categories = _groups(rows, lambda row: row.category, mode)
    shares = [entry["accuracy"] for entry in categories.values() if entry["count"]]
    notes = Counter(row.score.note for row in rows if row.score is not None and row.score.note)
    return {
        "mode": mode,
        "categories": categories,
        "frames": _groups(rows, lambda row: row.frame, mode),
        "micro": _entry(rows, mode),
        "macro": sum(shares) / len(shares) if shares else math.nan,
        "unparsed": sum(row.score is not None and not row.score.parsed for row in rows),
        "missing": sum(row.score is None for row in rows),
        "notes": dict(notes.most_common()),
    }


def _groups(rows: Iterable[Scored], key: Any, mode: Mode) -> dict[str, Any]:
    by: dict[str, list[Scored]] = {}
    for row in rows:
        by.setdefault(key(row), []).append(row)
    return {name: _entry(group, mode) for name, group in sorted(by.items())}


def _entry(rows: Sequence[Scored], mode: Mode) -> dict[str, Any]:
    counted = [row for row in rows if row.score is not None or mode == "strict"]
    right = sum(row.score is not None and row.score.right for row in counted)
    low, high = wilson(right, len(counted))
    share = right / len(counted) if counted else math.nan
    return {"right": right, "count": len(counted), "accuracy": share, "low": low, "high": high}


def markdown(name: str, summaries: Sequence[dict[str, Any]]) -> str:
    """A table per mode; accuracies in percent with 95 % intervals."""
    parts = [f"# {name}"]
    for found in summaries:
        parts += ["", f"## {found['mode']}", "", "| | right | of | % | 95 % |", "|---|---:|---:|---:|---|"]
        groups = {**found["categories"], **{f"frame {k}": v for k, v in found["frames"].items()}}
        parts += [_row(label, entry) for label, entry in {**groups, "all (micro)": found["micro"]}.items()]
        parts.append(f"| mean of categories (macro) | | | {_percent(found['macro'])} | |")
        parts += ["", f"Unreadable: {found['unparsed']}; without an answer: {found['missing']}."]
        if found["notes"]:
            parts.append("; ".join(f"{note}: {count}" for note, count in found["notes"].items()) + ".")
    return "\n".join(parts) + "\n"


def _row(label: str, e: dict[str, Any]) -> str:
    span = f"{_percent(e['low'])} to {_percent(e['high'])}"
    return f"| {label} | {e['right']} | {e['count']} | {_percent(e['accuracy'])} | {span} |"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share * 100.0:.1f}"
