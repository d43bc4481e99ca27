"""Action sets from files: arrays, tables, and recorded demonstrations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def read_actions(path: str | Path) -> Array:
    """Steps (N, 7): x, y, z, roll, pitch, yaw, gripper.

    ``path`` is a ``.npy`` file of shape (..., 7), a ``.csv`` file of seven columns, or a folder of recorded
    demonstrations, of which the steps that the expert really took are read (the rotation is a rotation vector).

    Raises:
        FileNotFoundError: there is nothing. ValueError: it holds no such array.
    """
    source = Path(path)
    if source.is_dir():
        return _demonstrated(source)
    if not source.is_file():
        raise FileNotFoundError(f"no such file or folder: {source}; expected .npy, .csv or a recording")
    if source.suffix == ".npy":
        steps = np.load(source, allow_pickle=False)
    elif source.suffix == ".csv":
        steps = np.genfromtxt(source, delimiter=",")
        # A line of names reads as one without numbers.
        steps = steps[1:] if len(steps) and np.isnan(steps[0]).all() else steps
    else:
        raise ValueError(
            f"{source} ends in {source.suffix!r}; expected .npy, .csv or the folder of a recording"
        )
    if steps.ndim < 2 or steps.shape[-1] != 7:
        raise ValueError(
            f"{source} has shape {steps.shape}; expected (..., 7): x, y, z, roll, pitch, yaw, gripper"
        )
    return steps.reshape(-1, 7).astype(np.float64)


def _demonstrated(folder: Path) -> Array:
    shards = sorted(p for p in folder.glob("shard-*") if (p / "labels.npy").is_file())
    if not shards:
        raise FileNotFoundError(f"no demonstration shards in {folder}; record some with 'spatial-vla-record'")
    steps = []
    for shard in shards:
        verb, thing = np.load(shard / "active.npy").astype(int).T
        labels = np.load(shard / "labels.npy", mmap_mode="r")
        steps.append(np.asarray(labels[np.arange(len(verb)), verb, thing], dtype=np.float64).reshape(-1, 7))
    return np.concatenate(steps)
