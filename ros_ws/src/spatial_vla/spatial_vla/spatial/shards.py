"""Parts of a run: shard k is the scenes k * size to (k + 1) * size. Whoever makes it, it holds the same bytes.

A shard is a folder, written aside and renamed when it is whole: it is there once or not at all. Two workers that make
the same one do no harm. A run that was stopped goes on with the shards that are missing.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .annotate import AnnotationOptions, Record, annotate
from .published import PublishedOptions, published_annotation, published_questions
from .questions import QA, QuestionLimits, questions
from .sources import SceneSource, open_source
from .writers import IMAGE_FOLDER, llava_entry, write_parquet

Format = Literal["jsonl", "llava", "parquet"]
SPLITS = ("train", "validation")
_LINES = {"separators": (",", ":"), "ensure_ascii": False}


@dataclass(frozen=True)
class Plan:
    """All that the bytes of a run depend on; see ``generate.GenerateArgs`` for the fields."""

    source: str
    location: str
    count: int
    mode: str
    seed: int
    formats: tuple[Format, ...]
    limits: QuestionLimits
    validation: float
    pictures: bool
    shard: int
    rejected: int

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.count // self.shard)

    def text(self) -> str:
        """As JSON, to tell one run from another."""
        return json.dumps(asdict(self), indent=1) + "\n"


@dataclass(frozen=True)
class ShardResult:
    """What a worker tells of a shard: number of questions, peak memory [bytes], processor time [s]."""

    number: int
    questions: int
    peak: int
    seconds: float


def split_of(scene: str, validation: float) -> str:
    """Which split a scene belongs to; it depends on its name alone."""
    return "validation" if zlib.crc32(scene.encode()) % 10_000 < validation * 10_000 else "train"


def make(source: SceneSource, index: int, plan: Plan) -> tuple[Record, list[QA]]:
    """Record and questions of one scene; a pure function of its arguments."""
    scene = source.scene(index)
    if plan.mode == "published":
        record = published_annotation(scene, plan.seed, PublishedOptions())
        return record, published_questions(record)
    record = annotate(scene, plan.seed, AnnotationOptions(rejected=plan.rejected))
    return record, questions(record, plan.seed, plan.limits)


def shard_folder(out: Path, number: int) -> Path:
    """Where a finished shard is."""
    return out / "shards" / f"{number:06d}"


def missing(out: Path, plan: Plan) -> list[int]:
    """Shards that are still to be made."""
    return [number for number in range(plan.shards) if not shard_folder(out, number).is_dir()]


def make_shard(plan: Plan, out: str, number: int) -> ShardResult:
    """Make a shard; run by workers."""
    cv2.setNumThreads(1)
    start = time.process_time()
    source, folder = _source(plan.source, plan.location), shard_folder(Path(out), number)
    aside = folder.with_name(f".{folder.name}-{os.uname().nodename}-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    counts: dict[str, Counter[tuple[str, ...]]] = {split: Counter() for split in SPLITS}
    rows: dict[str, list[QA]] = {split: [] for split in SPLITS}
    pictures: Counter[str] = Counter()
    with ExitStack() as stack:
        files = {
            name: stack.enter_context((aside / f"{name}.part").open("w", encoding="utf-8"))
            for name in _parts(plan)
        }
        for index in range(number * plan.shard, min((number + 1) * plan.shard, plan.count)):
            record, found = make(source, index, plan)
            split = split_of(str(record.get("scene", record.get("scene_name"))), plan.validation)
            files["annotations.jsonl"].write(json.dumps(record, **_LINES) + "\n")
            for qa in found:
                if "jsonl" in plan.formats:
                    files[f"{split}.jsonl"].write(json.dumps(qa, **_LINES) + "\n")
                if "llava" in plan.formats:
                    files[f"{split}.llava.json"].write(json.dumps(llava_entry(qa), **_LINES) + ",\n")
                counts[split][kind(qa)] += 1
            pictures[split] += bool(found)
            if "parquet" in plan.formats:
                rows[split] += found
            if plan.pictures:
                _picture(source, index, Path(out))
    for split in SPLITS if "parquet" in plan.formats else ():
        write_parquet(rows[split], aside / f"{split}.parquet")
    told = {split: [[*key, n] for key, n in sorted(counts[split].items())] for split in SPLITS}
    (aside / "counts.json").write_text(
        json.dumps({"questions": told, "pictures": pictures}), encoding="utf-8"
    )
    try:
        aside.rename(folder)
    except OSError:
        # Another worker was faster; what it made is the same.
        shutil.rmtree(aside)
        if not folder.is_dir():
            raise
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return ShardResult(number, sum(c.total() for c in counts.values()), peak, time.process_time() - start)


def kind(qa: QA) -> tuple[str, ...]:
    """Family, relation, frame, and "Yes", "No" or "" for other answers."""
    return qa["family"], qa["relation"], qa["frame"], qa["answer"] if qa["answer"] in ("Yes", "No") else ""


def _parts(plan: Plan) -> list[str]:
    endings = {"jsonl": "jsonl", "llava": "llava.json"}
    texts = [f"{split}.{endings[f]}" for f in plan.formats if f in endings for split in SPLITS]
    return ["annotations.jsonl", *texts]


@lru_cache(maxsize=1)
def _source(name: str, location: str) -> SceneSource:
    return open_source(name, location)


def _picture(source: SceneSource, index: int, out: Path) -> None:
    """Write a rendered picture, whole or not at all."""
    picture: NDArray[np.uint8] | None = source.picture(index)
    if picture is None:
        return
    path = out / IMAGE_FOLDER / source.scene(index).image
    path.parent.mkdir(parents=True, exist_ok=True)
    good, data = cv2.imencode(path.suffix or ".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not good:
        raise ValueError(
            f"a picture cannot be written as {path.name!r}; expected a name that ends in .png or .jpg"
        )
    aside = path.with_name(f".{path.name}-{os.uname().nodename}-{os.getpid()}")
    aside.write_bytes(data.tobytes())
    aside.replace(path)


def join(plan: Plan, out: Path) -> dict[str, Any]:
    """Join all shards into the run's files, drop the shards, and return the report."""
    folders = [shard_folder(out, number) for number in range(plan.shards)]
    for name in _parts(plan):
        _concatenate(
            [folder / f"{name}.part" for folder in folders], out / name, name.endswith(".llava.json")
        )
    if "parquet" in plan.formats:
        (out / "data").mkdir(exist_ok=True)
        for number, folder in enumerate(folders):
            for split in SPLITS:
                target = out / "data" / f"{split}-{number:05d}-of-{plan.shards:05d}.parquet"
                aside = target.with_suffix(".aside")
                shutil.copyfile(folder / f"{split}.parquet", aside)
                aside.replace(target)
    report = _report(folders) | {"scenes": plan.count}
    aside = out / "report.json.aside"
    aside.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    aside.replace(out / "report.json")
    shutil.rmtree(out / "shards")
    return report


def _concatenate(parts: list[Path], target: Path, as_list: bool) -> None:
    aside = target.with_name(target.name + ".aside")
    with aside.open("wb") as file:
        mark = b"[\n" if as_list else b""
        for part in parts:
            text = part.read_bytes()
            if as_list and text:
                # Rows end in a comma; the one before the closing bracket must not.
                text, mark = mark + text[: -len(b",\n")], b",\n"
                file.write(text)
            elif text:
                file.write(text)
        if as_list:
            file.write((b"[" if mark == b"[\n" else b"") + b"\n]\n")
    aside.replace(target)


def _report(folders: list[Path]) -> dict[str, Any]:
    counts: dict[str, Counter[tuple[str, ...]]] = {split: Counter() for split in SPLITS}
    pictures: Counter[str] = Counter()
    for told in _told(folders):
        pictures.update(told["pictures"])
        for split in SPLITS:
            for *key, number in told["questions"][split]:
                counts[split][tuple(key)] += number
    return {split: balance(counts[split]) | {"pictures": pictures[split]} for split in SPLITS}


def _told(folders: list[Path]) -> Iterator[dict[str, Any]]:
    for folder in folders:
        yield json.loads((folder / "counts.json").read_text(encoding="utf-8"))


def balance(counts: Counter[tuple[str, ...]]) -> dict[str, Any]:
    """Numbers of questions by family, relation and frame, and of yes and no by kind."""
    by: list[Counter[str]] = [Counter(), Counter(), Counter()]
    for key, number in counts.items():
        for column, name in zip(by, key[:3], strict=True):
            column[name or "none"] += number
    kinds = sorted({key[:3] for key in counts if key[3]})
    yes_no = {"/".join(k): [counts[(*k, "Yes")], counts[(*k, "No")]] for k in kinds}
    families, relations, frames = (dict(sorted(column.items())) for column in by)
    return {
        "questions": counts.total(),
        "families": families,
        "relations": relations,
        "frames": frames,
        "yes": sum(yes for yes, _ in yes_no.values()),
        "no": sum(no for _, no in yes_no.values()),
        "yes_no": yes_no,
    }
