"""Rows of questions as LLaVA-style trainers read them, and Parquet for ``datasets``."""

from __future__ import annotations

from collections.abc import Sequence
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
#: Folder of the pictures that a source renders, beside the files of questions.
IMAGE_FOLDER = "images"


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
