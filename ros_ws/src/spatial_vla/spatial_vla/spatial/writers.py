"""Files of questions: JSON lines, the list that LLaVA-style trainers read, and Parquet for ``datasets``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .questions import QA

#: Columns of the tables; what a question lacks is null.
COLUMNS = (
    "id",
    "image",
    "scene",
    "question",
    "answer",
    "family",
    "relation",
    "frame",
    "objects",
    "pixels",
    "points",
)
IMAGE_TOKEN = "<image>"


def llava_entry(qa: QA) -> dict[str, Any]:
    """A question as a conversation of two turns."""
    return {
        "id": qa["id"],
        "image": qa["image"],
        "conversations": [
            {"from": "human", "value": f"{IMAGE_TOKEN}\n{qa['question']}"},
            {"from": "gpt", "value": qa["answer"]},
        ],
    }


def write_jsonl(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """One JSON object per line."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n")


def write_llava(rows: Iterable[QA], path: Path) -> None:
    """One JSON list of conversations, written row by row."""
    with path.open("w", encoding="utf-8") as file:
        mark = "["
        for row in rows:
            file.write(mark + "\n" + json.dumps(llava_entry(row), ensure_ascii=False))
            mark = ","
        file.write(("[" if mark == "[" else "") + "\n]\n")


def write_parquet(rows: Sequence[QA], path: Path) -> None:
    """A Parquet table with ``COLUMNS``.

    Raises:
        ModuleNotFoundError: if pyarrow is not installed, with the command that installs it.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Parquet needs pyarrow: pip install 'spatial_vla[datasets]', or ask for the format jsonl, which "
            "datasets.load_dataset('json', ...) reads too"
        ) from error
    numbers = pa.list_(pa.list_(pa.float64()))
    types = {"objects": pa.list_(pa.int32()), "pixels": numbers, "points": numbers}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")
