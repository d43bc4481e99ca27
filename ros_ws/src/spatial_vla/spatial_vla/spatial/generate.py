"""Questions from scenes: ``python -m spatial_vla.spatial.generate --source mujoco --location count=20 --out qa``.

Writes ``annotations.jsonl`` (one record per picture), the questions of each split in the formats asked for, pictures
where the source renders them, and ``report.json`` with counts and balance. The split is by scene.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import tyro
from rich.progress import track

from .annotate import Record, annotate
from .published import PublishedOptions, published_annotation, published_questions
from .questions import QA, QuestionLimits, questions
from .sources import SceneSource, open_source
from .writers import write_jsonl, write_llava, write_parquet

Format = Literal["jsonl", "llava", "parquet"]


@dataclass
class GenerateArgs:
    """Make spatial questions and answers from scenes."""

    out: Path
    """folder for the files"""
    source: str = "mujoco"
    """example, mujoco, or module:Class with a class method open(location)"""
    location: str = ""
    """what the source opens: a folder of example JSON files, or e.g. width=640,height=480,things=6,count=20"""
    mode: Literal["default", "published"] = "default"
    """published reproduces the rules of the released generator"""
    seed: int = 0
    """the same seed gives the same files"""
    formats: tuple[Format, ...] = ("jsonl", "llava")
    """how questions are written"""
    per_image: int = 60
    """questions per picture at most"""
    per_relation: int = 4
    """questions per picture of one family, relation and frame at most"""
    validation: float = 0.1
    """share of the scenes in the validation split"""
    pictures: bool = True
    """write the pictures that the source renders"""


def generate(source: SceneSource, index: int, args: GenerateArgs) -> tuple[Record, list[QA]]:
    """Record and questions of one scene; a pure function of its arguments."""
    scene = source.scene(index)
    if args.mode == "published":
        record = published_annotation(scene, args.seed, PublishedOptions())
        return record, published_questions(record)
    record = annotate(scene, args.seed)
    limits = QuestionLimits(per_image=args.per_image, per_relation=args.per_relation)
    return record, questions(record, args.seed, limits)


def split_of(scene: str, validation: float) -> str:
    """Which split a scene belongs to; it depends on its name alone."""
    return "validation" if zlib.crc32(scene.encode()) % 10_000 < validation * 10_000 else "train"


def balance(rows: list[QA]) -> dict[str, Any]:
    """Counts of questions by family, and of yes and no by family, relation and frame."""
    answers = Counter(
        (qa["family"], qa["relation"], qa["frame"], qa["answer"])
        for qa in rows
        if qa["answer"] in ("Yes", "No")
    )
    kinds = sorted({key[:3] for key in answers})
    return {
        "questions": len(rows),
        "families": dict(sorted(Counter(qa["family"] for qa in rows).items())),
        "yes_no": {"/".join(k): [answers[(*k, "Yes")], answers[(*k, "No")]] for k in kinds},
    }


def main(args: GenerateArgs) -> dict[str, Any]:
    """Generate all of a source and return the report."""
    source = open_source(args.source, args.location)
    args.out.mkdir(parents=True, exist_ok=True)
    splits: dict[str, list[QA]] = {"train": [], "validation": []}
    write_jsonl(_records(source, args, splits), args.out / "annotations.jsonl")
    for split, rows in splits.items():
        _write(rows, args.out, split, args.formats)
    report = {split: balance(rows) for split, rows in splits.items()} | {"pictures": len(source)}
    (args.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _records(source: SceneSource, args: GenerateArgs, splits: dict[str, list[QA]]) -> Iterator[Record]:
    for index in track(range(len(source)), description="scenes"):
        record, rows = generate(source, index, args)
        scene = str(record.get("scene", record.get("scene_name")))
        splits[split_of(scene, args.validation)] += rows
        picture = source.picture(index) if args.pictures else None
        if picture is not None:
            path = args.out / "images" / source.scene(index).image
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        yield record


def _write(rows: list[QA], folder: Path, split: str, formats: tuple[Format, ...]) -> None:
    if "jsonl" in formats:
        write_jsonl(rows, folder / f"{split}.jsonl")
    if "llava" in formats:
        write_llava(rows, folder / f"{split}.llava.json")
    if "parquet" in formats:
        write_parquet(rows, folder / f"{split}-00000-of-00001.parquet")


if __name__ == "__main__":
    print(json.dumps(main(tyro.cli(GenerateArgs)), indent=1))
