"""``python -m spatial_models.robospatial.evaluate``: a model, or its recorded answers, on spatial questions.

Questions are a JSON list or JSON lines with the fields of RoboSpatial-Home (category, question, answer, img, mask, the
last two as paths relative to the file) or of our own generator (family, question, answer, image, frame). Answers are
kept beside the report, so that they can be scored again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image

from .answering import Answerer, ServerAnswerer, ServerError, TransformersAnswerer
from .report import Scored, markdown, summary
from .scoring import Mode, score

MODES: tuple[Mode, ...] = ("official", "strict")
SCORED_FAMILIES = ("configuration", "compatibility", "context")


@dataclass(frozen=True)
class Question:
    """One question; ``image`` and ``mask`` are files, ``key`` is what recorded answers are matched by."""

    category: str
    question: str
    answer: str
    image: Path
    key: tuple[str, str]
    mask: Path | None = None
    frame: str = "unsaid"


def read_questions(path: Path) -> list[Question]:
    """Questions of a file, those of other kinds (grounding) left out.

    Raises:
        ValueError: naming the row and the field that is missing.
    """
    out = []
    for number, row in enumerate(read_rows(path)):
        category = row.get("category") or row.get("family")
        picture = row.get("img") or row.get("image")
        if not (category and picture and "question" in row and "answer" in row):
            raise ValueError(
                f"row {number} of {path} has the fields {sorted(row)}; expected category (or family), question, answer "
                "and img (or image)"
            )
        if category not in SCORED_FAMILIES:
            continue
        mask = path.parent / row["mask"] if row.get("mask") else None
        key = (row["question"], str(picture))
        frame = row.get("frame", "unsaid")
        out.append(
            Question(category, row["question"], row["answer"], path.parent / picture, key, mask, frame)
        )
    if not out:
        raise ValueError(f"{path} has no question of the categories {', '.join(SCORED_FAMILIES)}")
    return out


def read_rows(path: Path) -> list[dict[str, Any]]:
    """A JSON list, or JSON lines."""
    text = path.read_text(encoding="utf-8")
    return (
        json.loads(text) if text.lstrip().startswith("[") else [json.loads(s) for s in text.splitlines() if s]
    )


def ask(questions: Sequence[Question], model: Answerer, batch: int = 8) -> list[dict[str, str]]:
    """The model's answers, as rows that ``scored`` takes."""
    rows = []
    for first in range(0, len(questions), batch):
        part = questions[first : first + batch]
        said = model([_picture(q.image) for q in part], [q.question for q in part])
        rows += [
            {"question": q.key[0], "img": q.key[1], "answer": text}
            for q, text in zip(part, said, strict=True)
        ]
    return rows


def scored(questions: Sequence[Question], answers: Iterable[dict[str, str]], mode: Mode) -> list[Scored]:
    """Every question with the score of the answer that has its (question, img); without one, none.

    Raises:
        ValueError: an answer's row lacks a field.
    """
    try:
        given = {(row["question"], row["img"]): row["answer"] for row in answers}
    except KeyError as error:
        raise ValueError(
            f"a recorded answer has no field {error}; expected question, img and answer"
        ) from error
    out = []
    for q in questions:
        said = given.get(q.key)
        found = None
        if said is not None:
            mask, size = (
                (_mask(q), _size(q)) if mode == "strict" and q.category == "context" else (None, None)
            )
            found = score(q.answer, said, mode, mask, size)
        out.append(Scored(q.category, q.frame, found))
    return out


def _picture(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _mask(question: Question) -> NDArray[np.bool_] | None:
    if question.mask is None:
        return None
    with Image.open(question.mask) as image:
        return np.asarray(image.convert("L")) > 127


def _size(question: Question) -> tuple[int, int] | None:
    if not question.image.exists():
        return None  # recorded answers are scored without the pictures; then pixels are not recognised
    with Image.open(question.image) as image:
        return image.size


@dataclass
class Evaluate:
    """Score a model, or recorded answers, in both modes."""

    questions: Path
    """JSON or JSON lines, see above"""

    out: Path
    """folder for answers.jsonl, report.json and report.md"""

    kind: Literal["transformers", "server", "answers"] = "answers"
    """a model of transformers, an OpenAI-compatible server, or answers recorded before"""

    model: str = ""
    """hub name or folder, or the server's name for it; of answers: the file"""

    url: str = "http://localhost:8000/v1"
    """of the server"""

    device: str = "cpu"
    """for transformers"""

    prefix: str = ""
    """before every question, for models without chat, e.g. "answer en " """


def main(args: Evaluate) -> int:
    """Ask, score, write; 0 if done, 2 if the questions, the model or the server cannot be used."""
    try:
        questions = read_questions(args.questions)
        answers = _answers(args, questions)
        found = [summary(scored(questions, answers, mode), mode) for mode in MODES]
    except (ValueError, OSError, ServerError) as error:
        print(f"robospatial.evaluate: {error}", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    record = {"model": args.model, "kind": args.kind, "questions": len(questions), "scores": found}
    (args.out / "report.json").write_text(json.dumps(record, indent=1) + "\n")
    text = markdown(f"{args.model} on {args.questions.name}", found)
    (args.out / "report.md").write_text(text)
    print(text)
    return 0


def _answers(args: Evaluate, questions: Sequence[Question]) -> list[dict[str, str]]:
    if args.kind == "answers":
        return read_rows(Path(args.model))
    if args.kind == "server":
        return ask(questions, ServerAnswerer(args.url, args.model))
    return ask(questions, TransformersAnswerer.from_name(args.model, args.device, prefix=args.prefix))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Evaluate, description=__doc__)))
