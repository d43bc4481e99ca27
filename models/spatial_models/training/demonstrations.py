"""Recorded demonstrations as a torch data set.

A recording is a folder of shards; a shard is a folder of ``.npy`` files with one row per frame, read through memory
maps, so that a data set may be larger than memory. `spatial_vla_sim.record` writes them and documents the fields.

Every frame is worth several samples: the scripted expert's answer is stored for every verb and object in view, so a
frame is paired with the instruction that was being carried out and with others that might have been given.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

FIELDS = ("image", "points", "owner", "state", "colour", "shape", "centre", "labels", "label_ok", "active")
Sentence = Callable[[np.random.Generator, int, int, int], np.ndarray]
"""(rng, verb, colour, shape) to word ids (L,)."""


class Demonstrations(Dataset[dict[str, Tensor]]):
    """Frames with ``per_frame`` instructions each; item shapes are those of :meth:`SpatialPolicy.forward`.

    Args:
        root: folder of the recording.
        sentence: renders an instruction to word ids, drawing among synonyms.
        absent: share of the instructions that name an object that is not there.
        augment: jitter brightness, contrast and colour.
        skip_last, only_last: leave out, or take only, that many shards at the end (validation).
        seed: of the draws; draws also depend on the frame's index and the epoch.
    """

    def __init__(
        self,
        root: Path,
        sentence: Sentence,
        *,
        per_frame: int,
        absent: float,
        augment: bool,
        skip_last: int = 0,
        only_last: int = 0,
        seed: int = 0,
    ) -> None:
        shards = sorted(p for p in root.glob("shard-*") if p.suffix != ".partial")
        shards = shards[-only_last:] if only_last else shards[: len(shards) - skip_last]
        if not shards:
            raise FileNotFoundError(
                f"no demonstration shards in {root}; record some with 'spatial-vla-record'"
            )
        self.shards = [{f: np.load(p / f"{f}.npy", mmap_mode="r") for f in FIELDS} for p in shards]
        self.starts = np.cumsum([0] + [len(s["active"]) for s in self.shards])
        self.sentence, self.per_frame, self.absent, self.augment = sentence, per_frame, absent, augment
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        row = {k: np.asarray(v[index - self.starts[which]]) for k, v in self.shards[which].items()}
        rng = np.random.default_rng((self.seed, self.epoch, index))
        if self.augment and rng.random() < 0.5:
            row = mirrored(row)
        points = np.asarray(row["points"], dtype=np.float32)
        valid = np.asarray(np.isfinite(points).all(-1))
        image = np.asarray(row["image"], dtype=np.float32).transpose(2, 0, 1) / 255.0
        if self.augment:
            image = _jitter(image, rng)
        asked = [self._ask(row, rng, first=i == 0) for i in range(self.per_frame)]
        item = {
            "image": image,
            "points": np.where(valid[..., None], points, 0.0),
            "valid": valid,
            "state": row["state"],
            **{k: np.stack([a[k] for a in asked]) for k in asked[0]},
        }
        return {k: torch.from_numpy(np.array(v)) for k, v in item.items()}

    def _ask(
        self, row: dict[str, np.ndarray], rng: np.random.Generator, *, first: bool
    ) -> dict[str, np.ndarray]:
        """One instruction for the frame, and the expert's answer."""
        verb, obj = (int(i) for i in row["active"])
        if not first:
            choices = np.argwhere(row["label_ok"])
            verb, obj = (int(i) for i in rng.choice(choices))
        if not first and rng.random() < self.absent:
            return self._ask_for_absent(row, rng, verb)
        return {
            "words": self.sentence(rng, verb, int(row["colour"][obj]), int(row["shape"][obj])),
            "owned": row["owner"].reshape(-1) == obj,
            "present": np.array(True),
            "target": row["centre"][obj],
            "actions": row["labels"][verb, obj],
        }

    def _ask_for_absent(
        self, row: dict[str, np.ndarray], rng: np.random.Generator, verb: int
    ) -> dict[str, np.ndarray]:
        there = {(int(c), int(s)) for c, s in zip(row["colour"], row["shape"], strict=True) if c >= 0}
        while (pair := (int(rng.integers(6)), int(rng.integers(4)))) in there:
            pass
        return {
            "words": self.sentence(rng, verb, *pair),
            "owned": np.zeros(row["owner"].size, dtype=bool),
            "present": np.array(False),
            "target": np.zeros(3, dtype=np.float32),
            "actions": np.zeros_like(row["labels"][0, 0]),
        }


def mirrored(row: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The frame with left and right exchanged (y -> -y in the base frame): table and tasks are symmetric.

    Points and translations change the sign of y; rotation vectors, which are axial, those of x and z.
    """
    flip = np.array([1.0, -1.0, 1.0], dtype=np.float32)
    state = row["state"].copy()
    state[:3] *= flip
    state[3:6] *= flip
    state[6:9] *= -flip
    return {
        **row,
        "image": row["image"][:, ::-1],
        "points": _flip_cells(row["points"]) * flip.astype(row["points"].dtype),
        "owner": _flip_cells(row["owner"]),
        "state": state,
        "centre": row["centre"] * flip,
        "labels": row["labels"] * np.concatenate((flip, -flip, [1.0])).astype(np.float32),
    }


def _flip_cells(cells: np.ndarray) -> np.ndarray:
    """Reverse the columns of (patches, sub-cells, ...), both square and row-major."""
    grid, side = (round(n**0.5) for n in cells.shape[:2])
    return cells.reshape(grid, grid, side, side, -1)[:, ::-1, :, ::-1].reshape(cells.shape)


def _jitter(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, white balance and sensor noise; (3, H, W) float32 in [0, 1]."""
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, (3, 1, 1))
    noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(0.0, 0.015)
    return (
        np.clip((image - 0.5) * rng.uniform(0.9, 1.1) + 0.5, 0, 1).astype(np.float32) * gain.astype("f4")
        + noise
    )
