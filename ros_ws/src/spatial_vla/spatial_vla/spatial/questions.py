"""From annotation records to questions with answers: as many yes as no, capped, in varied words.

Every kind of question, (family, relation, frame), gets as many yes as no. The no's are of the same relation and frame
as the yes's, so that neither the words nor the relation give the answer away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import templates as t
from .annotate import Record, scene_rng
from .verdict import DIRECTIONS

QA = dict[str, Any]
Candidate = tuple[float, tuple[int, ...]]


@dataclass(frozen=True)
class QuestionLimits:
    """Caps per picture: of all questions, of each (family, relation, frame), and of each family.

    ``negatives``: probability that a picture gets a question about a thing that is not there.
    """

    per_image: int = 60
    per_relation: int = 4
    per_family: int = 24
    negatives: float = 0.5


def questions(record: Record, seed: int = 0, limits: QuestionLimits | None = None) -> list[QA]:
    """Questions of one record; the same record, seed and limits give the same ones."""
    limits = limits or QuestionLimits()
    rng = scene_rng(record["dataset"], record["scene"], record["image"], seed + 1)
    families = [
        list(_configuration(record, rng, limits)),
        list(_compatibility(record, rng, limits)),
        list(_context(record, rng, limits)),
        list(_grounding(record, rng, limits)),
    ]
    units = [unit for family in families for unit in _capped(family, limits.per_family, rng)]
    chosen = _capped(units, limits.per_image, rng)
    base = f"{record['dataset']}/{record['scene']}/{record['image']}"
    return [
        {"id": f"{base}#{number}", "scene": record["scene"], "image": record["image"], **qa}
        for number, qa in enumerate(qa for unit in chosen for qa in unit)
    ]


#: Questions that are kept or dropped together: a yes with its no.
Unit = list[QA]


def _capped(units: list[Unit], most: int, rng: np.random.Generator) -> list[Unit]:
    """Random units, in their order, of at most ``most`` questions."""
    if sum(map(len, units)) <= most:
        return units
    kept, count = [], 0
    for number in rng.permutation(len(units)):
        if count + len(units[number]) <= most:
            kept.append(int(number))
            count += len(units[number])
    return [units[number] for number in sorted(kept)]


def _balanced(
    yes: np.ndarray, no: np.ndarray, most: int, rng: np.random.Generator
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Pairs of a yes row and a no row, at most ``most`` rows in all."""
    count = min(len(yes), len(no), most // 2)
    if count:
        yield from zip(
            yes[rng.permutation(len(yes))[:count]], no[rng.permutation(len(no))[:count]], strict=True
        )


def _configuration(record: Record, rng: np.random.Generator, limits: QuestionLimits) -> Iterable[Unit]:
    for key, entry in record["relations"].items():
        frame, relation = key.split("/")
        verdict = np.array(entry["verdict"])
        rows = (np.argwhere(verdict == 1), np.argwhere(verdict == -1))
        for pair in _balanced(*rows, limits.per_relation, rng):
            yield [
                _pair_question(
                    record, rng, "configuration", t.CONFIGURATION, row, frame, relation, answer, entry
                )
                for row, answer in zip(pair, ("Yes", "No"), strict=True)
            ]
    yield from _betweens(record, rng, limits)


def _pair_question(
    record: Record,
    rng: np.random.Generator,
    family: str,
    wording: tuple[str, ...],
    row: np.ndarray,
    frame: str,
    relation: str,
    answer: str,
    entry: Record | None = None,
) -> QA:
    names = [t.the(record["objects"][int(i)]["name"]) for i in row]
    shown = frame if relation in DIRECTIONS else ""
    question = t.sentence(
        wording, t.YES_NO, rng, relation, shown, **dict(zip(("a", "b", "c"), names, strict=False))
    )
    out: QA = {
        "question": question,
        "answer": answer,
        "family": family,
        "relation": relation,
        "frame": shown or "any",
        "objects": [int(i) for i in row],
    }
    return out | ({"margin": entry["margin"][int(row[0])][int(row[1])]} if entry else {})


def _betweens(record: Record, rng: np.random.Generator, limits: QuestionLimits) -> Iterable[Unit]:
    """Yes: triples that hold. No: one of the ends asked of the same three, which cannot hold too."""
    holds = record["between"]
    if not holds:
        return
    for number in rng.permutation(len(holds))[: limits.per_relation // 2]:
        i, j, k = holds[int(number)]
        if j > k:
            j, k = k, j
        rows = (np.array((i, j, k)), np.array((j, i, k)))
        if [j, i, k] in holds or [j, k, i] in holds:
            continue
        yield [
            _pair_question(record, rng, "configuration", t.CONFIGURATION, row, "any", "between", answer)
            for row, answer in zip(rows, ("Yes", "No"), strict=True)
        ]


def _compatibility(record: Record, rng: np.random.Generator, limits: QuestionLimits) -> Iterable[Unit]:
    by_kind: dict[tuple[str, str, int], list[tuple[int, int]]] = {}
    for i, j, frame, direction, verdict, *_ in record["compatibility"]:
        by_kind.setdefault((frame, direction, verdict), []).append((i, j))
    for frame, direction in dict.fromkeys(key[:2] for key in by_kind):
        rows = [np.array(by_kind.get((frame, direction, v), [])).reshape(-1, 2) for v in (1, -1)]
        for pair in _balanced(rows[0], rows[1], limits.per_relation, rng):
            yield [
                _pair_question(record, rng, "compatibility", t.COMPATIBILITY, row, frame, direction, answer)
                for row, answer in zip(pair, ("Yes", "No"), strict=True)
            ]


def _context(record: Record, rng: np.random.Generator, limits: QuestionLimits) -> Iterable[Unit]:
    used: dict[str, int] = {}
    for number in rng.permutation(len(record["context"])):
        row = record["context"][int(number)]
        name = t.the(record["objects"][row["anchor"]]["name"])
        for key, rows in row["directions"].items():
            if len(rows) < 3 or used.get(key, 0) >= limits.per_relation:
                continue
            used[key] = used.get(key, 0) + 1
            frame, direction = key.split("/")
            pixels = [row["pixels"][i] for i in rows]
            answer = "[" + ", ".join(_text(normalised(p, record["image_size"])) for p in pixels) + "]"
            yield [
                {
                    "question": t.sentence(t.CONTEXT, t.POINT_LIST, rng, direction, frame, b=name),
                    "answer": answer,
                    "family": "context",
                    "relation": direction,
                    "frame": frame,
                    "objects": [row["anchor"]],
                    "pixels": pixels,
                    "points": [row["points"][i] for i in rows],
                }
            ]


def _grounding(record: Record, rng: np.random.Generator, limits: QuestionLimits) -> Iterable[Unit]:
    names = [item["name"] for item in record["objects"]]
    for number in rng.permutation(len(names))[: limits.per_relation]:
        item, name = record["objects"][int(number)], t.the(names[int(number)])
        size, box = record["image_size"], item["bbox"]
        corners = (*normalised(box[:2], size), *normalised(box[2:], size))
        shared = {"relation": "", "frame": "any", "objects": [int(number)]}
        question = t.sentence(t.GROUNDING, t.BOX, rng, "", "", a=name)
        yield [{"question": question, "answer": _text(corners, "[]"), "family": "grounding", **shared}]
        yield [
            {
                "question": t.sentence(t.POINTING, t.ONE_POINT, rng, "", "", a=name),
                "answer": _text(normalised(item["pixel"], size)),
                "family": "grounding",
                **shared,
                "pixels": [item["pixel"]],
                "points": [item["point"]],
            }
        ]
    absent = [thing for thing in t.COMMON_THINGS if not any(thing in t.plain(name) for name in names)]
    if absent and rng.random() < limits.negatives:
        thing = t.one_of(absent, rng)
        question = t.sentence(t.GROUNDING, t.BOX, rng, "", "", a=t.the(thing))
        answer = t.one_of(t.ABSENT, rng).format(name=thing)
        yield [
            {
                "question": question,
                "answer": answer,
                "family": "absent",
                "relation": "",
                "frame": "any",
                "objects": [],
            }
        ]


def normalised(pixel: Iterable[float], size: Iterable[int]) -> tuple[float, ...]:
    """Pixel (u, v), whose centres are at integers, as fractions of the picture's width and height."""
    return tuple(min(max((x + 0.5) / n, 0.0), 1.0) for x, n in zip(pixel, size, strict=True))


def _text(numbers: Iterable[float], brackets: str = "()") -> str:
    return brackets[0] + ", ".join(f"{x:.3f}" for x in numbers) + brackets[1]
