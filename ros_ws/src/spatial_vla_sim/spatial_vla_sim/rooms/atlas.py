"""Textures of a scene in one array, with their reductions, and bilinear look-up in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SMALLEST = 4


class Atlas:
    """T periodic pictures of one power-of-two size, each with its reductions by two down to 4 texels (mip maps)."""

    def __init__(self, pictures: Sequence[NDArray[np.float32]]) -> None:
        """``pictures``: (S, S, 3) RGB in 0..1 each."""
        self.size = len(pictures[0])
        self.levels = int(np.log2(self.size // _SMALLEST)) + 1
        texels, self._start = [], np.empty((len(pictures), self.levels), np.int64)
        position = 0
        for number, picture in enumerate(pictures):
            for level in range(self.levels):
                self._start[number, level] = position
                side = self.size >> level
                reduced = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
                texels.append(_packed(reduced))
                position += side * side
        self._texels = np.concatenate(texels)

    def look_up(
        self, picture: NDArray[np.integer], uv: NDArray[np.float32], footprint: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Colours (n, 3) in 0..1.

        Args:
            picture: (n,) which picture.
            uv: (n, 2) position in repetitions of the picture; it wraps around.
            footprint: (n,) size of a pixel on the surface, in repetitions; larger ones read a smaller reduction.
        """
        level = np.log2(np.maximum(footprint * self.size, 1.0)).astype(np.int64).clip(0, self.levels - 1)
        side = (self.size >> level).astype(np.int64)
        start = self._start[picture, level]
        position = uv * side[:, None].astype(np.float32) - 0.5
        low = np.floor(position)
        fraction = position - low
        column, row = (low.astype(np.int64) & (side[:, None] - 1)).T
        right, below = (column + 1) & (side - 1), (row + 1) & (side - 1)
        row, below = start + row * side, start + below * side
        fu, fv = fraction[:, :1], fraction[:, 1:]
        upper = self._read(row + column) * (1 - fu) + self._read(row + right) * fu
        lower = self._read(below + column) * (1 - fu) + self._read(below + right) * fu
        return ((upper * (1 - fv) + lower * fv) / np.float32(255.0)).astype(np.float32, copy=False)

    def _read(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._texels[index].view(np.uint8).reshape(-1, 4)[:, :3].astype(np.float32)


def _packed(picture: NDArray[Any]) -> NDArray[np.uint32]:
    """Texels (n,) with one byte per colour: one gather instead of three."""
    four = np.zeros((picture.shape[0] * picture.shape[1], 4), np.uint8)
    four[:, :3] = (picture.reshape(-1, 3) * 255.0 + 0.5).clip(0, 255)
    return four.view(np.uint32).ravel()
