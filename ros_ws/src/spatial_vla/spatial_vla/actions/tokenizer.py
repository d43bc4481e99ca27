"""Normalised actions to SpatialVLA's tokens and back: three tokens a step, four steps a chunk, then end of sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bin_policy import grid_from_bin_policy
from .grid import SLOTS, ActionGrid, Array

RELEASED_BEGIN = 257_153  # id of the first action token in the released vocabulary
RELEASED_STEPS = 4
PAD, EOS = 0, 1
_WAY_OUT = "do not move: hold the position and ask the policy again, or constrain decoding to each slot's ids"


class ActionTokenError(ValueError):
    """A token sequence is no action chunk.

    Attributes:
        row: of the batch. position: of the token in its row, counted from 0. token: the id, None where there is none.
    """

    def __init__(self, message: str, row: int, position: int, token: int | None) -> None:
        super().__init__(message)
        self.row, self.position, self.token = row, position, token


@dataclass(frozen=True, eq=False)
class SpatialActionTokenizer:
    """Actions are (x, y, z, roll, pitch, yaw) in [-1, 1] and the gripper in [0, 1], 1 open.

    Attributes:
        grid: cells. begin: id of the first action token. steps: of a chunk.
        eos, pad: ids that end a sequence and fill it up.
        compat: decode as the published code does: what is too short is filled with the first cell, and a token of
            another slot, end of sequence included, becomes the nearest one of its own. And single precision stays so
            when encoding, where an action on an edge may fall to its other side.
    """

    grid: ActionGrid
    begin: int = RELEASED_BEGIN
    steps: int = RELEASED_STEPS
    eos: int = EOS
    pad: int = PAD
    compat: bool = False

    @classmethod
    def from_processor_config(
        cls, config: Mapping[str, Any], *, begin: int = RELEASED_BEGIN, compat: bool = False
    ) -> SpatialActionTokenizer:
        """That of a checkpoint, from the fields of its ``processor_config.json``."""
        grid = grid_from_bin_policy(config["bin_policy"])
        return cls(grid, begin, int(config.get("action_chunk_size", RELEASED_STEPS)), compat=compat)

    @property
    def slots(self) -> tuple[range, range, range]:
        """Ids of translation, rotation and gripper tokens; position p of a chunk is of slot p mod 3."""
        translation, rotation, gripper = self.grid.cells
        first = self.begin + translation
        second = first + rotation
        return range(self.begin, first), range(first, second), range(second, second + gripper)

    @property
    def tokens(self) -> int:
        """Number of action tokens, 8194 as released."""
        return sum(self.grid.cells)

    @property
    def length(self) -> int:
        """Tokens of a chunk, without the end of sequence."""
        return 3 * self.steps

    def encode(self, actions: ArrayLike) -> NDArray[np.int64]:
        """Normalised actions (..., T, 7) to ids (..., 3 T); what exceeds [-1, 1] is clipped.

        Raises:
            ValueError: the shape is another, or a number is NaN or infinite.
        """
        a = np.asarray(actions)
        if a.ndim < 2 or a.shape[-1] != 7:
            raise ValueError(f"actions must have shape (..., steps, 7), got {a.shape}")
        if not np.isfinite(a).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(a))[0])
            raise ValueError(f"action {a[where]} at {where} is no number to encode; expected finite numbers")
        if self.compat and a.dtype == np.float32:
            local = self._single_precision_cells(a)
        else:
            unit = np.clip(a[..., :6].astype(np.float64), -1.0, 1.0)
            local = self.grid.encode(unit * self._scales, a[..., 6])
        ids = local + np.array([slot.start for slot in self.slots])
        return ids.reshape(*a.shape[:-2], -1)

    def decode(self, ids: ArrayLike | Sequence[Sequence[int]]) -> Array:
        """Ids (L,) or (B, L), rows may differ in length, to actions (steps, 7) or (B, steps, 7): mid-points of cells.

        A row is one chunk, and may end with end of sequence and padding.

        Raises:
            ActionTokenError: a row is short or long, ends early, or a token is not of its slot; not if ``compat``.
        """
        rows, batched = _rows(ids)
        check = self._nearest if self.compat else self._checked
        local = np.array([check(row, i) for i, row in enumerate(rows)], dtype=np.int64)
        local = local.reshape(len(rows), self.steps, 3)
        deltas, gripper = self.grid.decode(local)
        actions = np.concatenate((np.clip(deltas / self._scales, -1.0, 1.0), gripper[..., None]), axis=-1)
        return actions if batched else actions[0]

    @property
    def _scales(self) -> Array:
        return np.repeat([self.grid.translation_scale, self.grid.rotation_scale], 3)

    def _single_precision_cells(self, actions: NDArray[np.float32]) -> NDArray[np.int64]:
        unit = np.clip(actions, np.float32(-1), np.float32(1))
        x, y, z = np.moveaxis(unit[..., :3], -1, 0)
        plane = x * x + y * y
        coordinates = (np.arctan2(np.sqrt(plane), z), np.arctan2(y, x), np.sqrt(plane + z * z))
        translation = self.grid.translation_cell(np.stack(coordinates, axis=-1))
        rotation = self.grid.rotation_cell(unit[..., 3:6])
        return np.stack((translation, rotation, (unit[..., 6] >= 0.5).astype(np.int64)), axis=-1)

    def _checked(self, row: NDArray[np.int64], index: int) -> NDArray[np.int64]:
        for position, token in enumerate(row[: self.length].tolist()):
            slot = self.slots[position % 3]
            if token in slot:
                continue
            what = {self.eos: "end of sequence", self.pad: "padding"}.get(token, "no token of that slot")
            raise ActionTokenError(
                f"row {index}, position {position} (step {position // 3}): token {token} is {what}; expected a "
                f"{SLOTS[position % 3]} token, {slot.start}..{slot.stop - 1}; {_WAY_OUT}",
                *(index, position, token),
            )
        if len(row) < self.length:
            raise ActionTokenError(
                f"row {index} is short: {len(row)} tokens end before position {len(row)} (step {len(row) // 3}); "
                f"expected {self.length}, {self.steps} steps of {', '.join(SLOTS)}; {_WAY_OUT}",
                *(index, len(row), None),
            )
        if len(row) > self.length and int(row[self.length]) not in (self.eos, self.pad):
            raise ActionTokenError(
                f"row {index} is long: token {row[self.length]} at position {self.length}; expected end of sequence "
                f"({self.eos}) after {self.length} tokens. A checkpoint that never ends was not loaded completely",
                *(index, self.length, int(row[self.length])),
            )
        return row[: self.length] - np.tile([slot.start for slot in self.slots], self.steps)

    def _nearest(self, row: NDArray[np.int64], index: int) -> NDArray[np.int64]:
        filled = np.full(self.length, self.pad)
        filled[: len(row)] = row[: self.length]  # a longer row is cut
        first, last = (np.tile([f(slot) for slot in self.slots], self.steps) for f in (min, max))
        return np.clip(filled, first, last) - first


def _rows(ids: ArrayLike | Sequence[Sequence[int]]) -> tuple[list[NDArray[np.int64]], bool]:
    """Rows of ids, and whether there was a batch."""
    batch = list(np.asarray(ids)) if hasattr(ids, "shape") else list(ids)  # pyright: ignore[reportArgumentType]
    batched = any(np.ndim(row) for row in batch)
    rows = [np.atleast_1d(np.asarray(row)) for row in batch] if batched else [np.asarray(batch)]
    for i, row in enumerate(rows):
        if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
            raise ValueError(
                f"row {i} of the ids has shape {row.shape} and type {row.dtype}; expected integers (L,)"
            )
    return [row.astype(np.int64) for row in rows], batched
