"""Files and fields of a LeRobot data set, version 3.

    meta/info.json                                    features, frame rate, patterns of the paths below
    meta/stats.json                                   minimum, maximum, mean, deviation, quantiles of every feature
    meta/tasks.parquet                                instructions and their numbers
    meta/episodes/chunk-000/file-000.parquet          an episode a row: length, files, place in them, statistics
    data/chunk-000/file-000.parquet                   a step a row: everything but video
    videos/KEY/chunk-000/file-000.mp4                 episodes one behind the other

The package ``lerobot`` itself wants torchvision and an older torch, transformers and OpenCV than ours (0.4.4); files
are read and written here with pyarrow and PyAV.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

VERSION = "v3.0"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
FILES_IN_CHUNK, DATA_MB, VIDEO_MB = 1000, 100, 200
QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)

# Names of the features that `LeRobotWriter` writes; a reader takes any.
IMAGE, DEPTH, INTRINSICS = (
    "observation.images.external",
    "observation.depth.external",
    "observation.intrinsics",
)
STATE, ACTION = "observation.state", "action"
ACTION_NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
MILLIMETRE = 1e-3  # depth is stored as uint16, 0 where not measured

_COUNTERS = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64"}
COUNTERS: dict[str, dict[str, Any]] = {
    name: {"dtype": kind, "shape": [1], "names": None}
    for name, kind in (_COUNTERS | {"task_index": "int64"}).items()
}


class UnreadableDataset(ValueError):
    """A folder is no LeRobot data set of version 3, or its features are not what is asked for."""


def read_info(root: Path) -> dict[str, Any]:
    """The fields of ``meta/info.json``.

    Raises:
        FileNotFoundError, UnreadableDataset: absent, or of another version.
    """
    path = root / INFO
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}; expected the folder of a LeRobot data set")
    info: dict[str, Any] = json.loads(path.read_text())
    version = str(info.get("codebase_version"))
    if not version.startswith("v3."):
        raise UnreadableDataset(
            f"{path} is of version {version}; expected {VERSION}: convert it with "
            "python -m lerobot.datasets.v30.convert_dataset_v21_to_v30"
        )
    return info


def file_indices(number: int) -> dict[str, int]:
    """``chunk_index`` and ``file_index`` of the file of that number."""
    return {"chunk_index": number // FILES_IN_CHUNK, "file_index": number % FILES_IN_CHUNK}


def statistics(values: ArrayLike) -> dict[str, Any]:
    """Of rows (N, ...), per component, named as in ``meta/stats.json``."""
    rows: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    quantiles = np.quantile(rows, QUANTILES, axis=0)
    return {
        "min": rows.min(0),
        "max": rows.max(0),
        "mean": rows.mean(0),
        "std": rows.std(0),
        "count": np.array([len(rows)]),
        **{f"q{round(100 * q):02d}": row for q, row in zip(QUANTILES, quantiles, strict=True)},
    }


def image_statistics(histogram: NDArray[np.int64], frames: int) -> dict[str, Any]:
    """Of pixels counted by channel and value (3, 256): per channel (3, 1, 1), values in [0, 1]."""
    levels = np.arange(256) / 255.0
    total = histogram.sum(1, keepdims=True)
    mean = (histogram @ levels) / total[:, 0]
    std = np.sqrt(np.maximum((histogram @ levels**2) / total[:, 0] - mean**2, 0.0))
    shares = np.cumsum(histogram, axis=1) / total

    def at(share: float) -> NDArray[np.float64]:
        return levels[np.argmax(shares >= share, axis=1)]

    fields = {"min": at(1e-12), "max": at(1.0 - 1e-12), "mean": mean, "std": std}
    fields |= {f"q{round(100 * q):02d}": at(q) for q in QUANTILES}
    return {name: row.reshape(3, 1, 1) for name, row in fields.items()} | {"count": np.array([frames])}
