"""Questions from scenes: ``python -m spatial_vla.spatial.generate --source mujoco --location count=20 --out qa``.

Writes ``annotations.jsonl`` (one record per picture), the questions of each split in the formats asked for, pictures
where the source renders them, ``report.json`` with counts and balance, and ``run.json`` with time and memory. The split
is by scene. All but ``run.json`` are the same for any number of workers. Called again, it goes on where it was stopped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..report.environment import device, versions
from .questions import QuestionLimits
from .shards import Format, Plan, ShardResult, join, missing
from .sources import open_source
from .workers import in_processes, on_ray


@dataclass
class GenerateArgs:
    """Make spatial questions and answers from scenes."""

    out: Path
    """folder for the files"""
    source: str = "mujoco"
    """example, embodiedscan, bop, bag, mujoco, tabletop, or module:Class with a class method open(location)"""
    location: str = ""
    """what the source opens: a folder, or e.g. width=640,height=480,things=6,count=20"""
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
    per_family: int = 24
    """questions per picture of one family at most"""
    validation: float = 0.1
    """share of the scenes in the validation split"""
    pictures: bool = True
    """write the pictures that the source renders"""
    rejected: int = 0
    """of the places tried for free points and found taken or hidden, how many to note per thing, for the viewer"""
    shard: int = 64
    """scenes that a worker makes at a time"""
    workers: int = 0
    """processes; 0 for one per core"""
    ray: str = ""
    """run on a Ray cluster instead: its address, auto, or local"""

    def plan(self) -> Plan:
        """What the files depend on."""
        if self.shard < 1 or self.workers < 0:
            raise ValueError(f"shard={self.shard}, workers={self.workers}; expected at least 1 and 0")
        limits = QuestionLimits(self.per_image, self.per_relation, self.per_family)
        count = len(open_source(self.source, self.location))
        return Plan(
            self.source, self.location, count, self.mode, self.seed, tuple(self.formats), limits,
            self.validation, self.pictures, self.shard, self.rejected,
        )  # fmt: skip


def main(args: GenerateArgs) -> dict[str, Any]:
    """Generate all of a source and return the report.

    Raises:
        FileExistsError: if the folder holds a run with other settings.
    """
    plan, start = args.plan(), time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    _claim(args.out, plan)
    if (args.out / "report.json").is_file():
        return json.loads((args.out / "report.json").read_text(encoding="utf-8"))
    todo = missing(args.out, plan)
    workers = args.workers or len(os.sched_getaffinity(0))
    out = str(args.out.resolve())
    results = (
        on_ray(plan, out, todo, args.ray, args.workers)
        if args.ray
        else in_processes(plan, out, todo, workers)
    )
    peak, used = 0, 0.0
    for result in _shown(results, plan, len(todo)):
        peak, used = max(peak, result.peak), used + result.seconds
    made = time.monotonic() - start
    report = join(plan, args.out)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    run = {
        "seconds": round(time.monotonic() - start, 1),
        "seconds_without_joining": round(made, 1),
        "processor_seconds": round(used, 1),
        "shards": plan.shards,
        "shards_made_now": len(todo),
        "workers": args.ray or workers,
        "peak_bytes_per_worker": peak,
        "bytes": size,
        "device": device(),
        "versions": versions(),
    }
    (args.out / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    return report


def _claim(out: Path, plan: Plan) -> None:
    path = out / "plan.json"
    if path.is_file() and path.read_text(encoding="utf-8") != plan.text():
        raise FileExistsError(
            f"{path} tells of a run with other settings; expected the same ones to go on with it. Choose another "
            "folder, or remove this one"
        )
    path.write_text(plan.text(), encoding="utf-8")


def _shown(results: Iterator[ShardResult], plan: Plan, todo: int) -> Iterator[ShardResult]:
    """Pass results on, with a bar that says how long it will take."""
    columns = (
        *(TextColumn("shards"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:")),
        *(TimeRemainingColumn(), TextColumn("{task.fields[questions]:,} questions")),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task("shards", total=plan.shards, completed=plan.shards - todo, questions=0)
        count = 0
        for result in results:
            count += result.questions
            progress.update(bar, advance=1, questions=count)
            yield result


if __name__ == "__main__":
    print(json.dumps(main(tyro.cli(GenerateArgs)), indent=1))
