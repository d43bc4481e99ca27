"""Batches: several samples, all from one data set, the sets in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import ConcatDataset, Sampler

from ..multiview import MultiViewSample

#: Most images of a batch in the released configuration.
MOST_IMAGES = 24


def collate(samples: Sequence[MultiViewSample], most_images: int = MOST_IMAGES) -> list[MultiViewSample]:
    """The samples as a list, cut before the one with which there would be more than ``most_images`` views.

    The first sample always stays.
    """
    images, kept = 0, []
    for sample in samples:
        images += len(sample.images)
        if kept and images > most_images:
            break
        kept.append(sample)
    return kept


class AlternatingBatches(Sampler[list[int]]):
    """Batches of indices into a ``ConcatDataset``; a batch is of one set, the sets take turns while they last.

    Every sample comes once in an epoch, but for what does not fill a batch. With several processes each takes its part
    of the same batch of ``batch_size * world_size`` samples, so that they do together what one would do alone.
    """

    def __init__(
        self,
        dataset: ConcatDataset,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Prepare epoch 0.

        Raises:
            ValueError: if no set fills a single batch, or ``rank`` is not below ``world_size``.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size} processes; expected 0 <= rank < world_size")
        self.dataset, self.batch_size, self.shuffle, self.seed = dataset, batch_size, shuffle, seed
        self.rank, self.world_size, self.epoch = rank, world_size, 0
        if len(self) == 0:
            sizes = [len(part) for part in dataset.datasets]  # type: ignore[arg-type]
            raise ValueError(
                f"data sets of {sizes} samples fill no batch of {batch_size} for each of {world_size} processes; "
                "lower batch_size, or raise the data sets' repeat"
            )

    def set_epoch(self, epoch: int) -> None:
        """Order and samples of this epoch."""
        self.epoch = epoch
        for part in self.dataset.datasets:
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return sum(len(batches) for batches in self._per_set())

    def __iter__(self) -> Iterator[list[int]]:
        per_set = self._per_set()
        for turn in range(max(map(len, per_set))):
            for batches in per_set:
                if turn < len(batches):
                    own = slice(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
                    yield batches[turn][own].tolist()

    def _per_set(self) -> list[np.ndarray]:
        """Of each set its whole batches, (batches, batch_size * world_size) indices."""
        ends = self.dataset.cumulative_sizes
        together = self.batch_size * self.world_size
        result = []
        for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            order = np.arange(start, end)
            if self.shuffle:
                order = np.random.default_rng((self.seed, self.epoch, number)).permutation(order)
            whole = len(order) // together
            result.append(order[: whole * together].reshape(whole, together))
        return result
