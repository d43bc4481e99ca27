"""Steps of recorded episodes as what SpatialVLA is trained on, and the order in which they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from spatial_vla.datasets import Episodes, chunk_at
from torch.utils.data import Dataset, Sampler

from ..spatialvla.positions import Request
from .augmentation import augmented
from .spatialvla_module import Demonstration

Draw = tuple[int, int]
"""Number of a step, counted over all data sets, and of the draw, on which its augmentation depends."""


class Steps(Dataset[Demonstration]):
    """The steps of one or several data sets.

    Args:
        sets: data sets. chunk: actions that are predicted at a step.
        augment: vary crop and colours. seed: of the variations.
    """

    def __init__(self, sets: Sequence[Episodes], chunk: int, *, augment: bool = False, seed: int = 0) -> None:
        if not sets or any(not len(one.actions) for one in sets):
            raise ValueError(
                f"data sets have {[len(s.actions) for s in sets]} steps; expected one with at least one"
            )
        if len({one.name for one in sets}) < len(sets):
            raise ValueError(f"data sets are named {[s.name for s in sets]}; expected different names")
        self.sets, self.chunk, self.augment, self.seed = list(sets), chunk, augment, seed
        self.ends = np.cumsum([len(one.actions) for one in sets])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, draw: Draw) -> Demonstration:
        index, number = draw
        which = int(np.searchsorted(self.ends, index, side="right"))
        source = self.sets[which]
        local = index - (int(self.ends[which - 1]) if which else 0)
        moment = source.moment(local)
        if self.augment:
            moment = augmented(moment, np.random.default_rng((self.seed, number)))
        request = Request(moment.image, moment.instruction, moment.depth, moment.intrinsics)
        return Demonstration(request, chunk_at(source, local, self.chunk), source.name)


class Draws(Sampler[list[Draw]]):
    """Batches without end. What is drawn depends on the seed and the number of the draw alone, so that a training may
    go on where it stopped, and several processes draw together what one would.

    One data set is gone through again and again, each time in another order. Several are drawn from at random, in
    proportion to weight times number of steps, as in the published mixture.

    Args:
        steps: per data set. batch: draws per batch and process. rank, processes: which process of how many.
        weights: of the data sets. first: batches that were drawn already.
    """

    def __init__(
        self,
        steps: Sequence[int],
        batch: int,
        *,
        seed: int = 0,
        weights: Sequence[float] | None = None,
        rank: int = 0,
        processes: int = 1,
        first: int = 0,
    ) -> None:
        weights = [1.0] * len(steps) if weights is None else list(weights)
        if len(weights) != len(steps) or min(weights) < 0 or not sum(weights) > 0:
            raise ValueError(f"weights {weights} for {len(steps)} data sets; expected one each, none below 0")
        self.batch, self.seed, self.rank, self.processes, self.first = batch, seed, rank, processes, first
        self.total, self.several = sum(steps), len(steps) > 1
        self._starts = np.concatenate(([0], np.cumsum(steps)))
        shares = np.array(weights) * np.array(steps)
        self.shares: NDArray[np.float64] = shares / shares.sum()
        self._order = lru_cache(2)(self._shuffled)

    def __iter__(self) -> Iterator[list[Draw]]:
        number = self.first
        while True:
            start = (number * self.processes + self.rank) * self.batch
            yield [(self.step(draw), draw) for draw in range(start, start + self.batch)]
            number += 1

    def step(self, draw: int) -> int:
        """Which step a draw gives."""
        if not self.several:
            return int(self._order(draw // self.total)[draw % self.total])
        rng = np.random.default_rng((self.seed, draw))
        which = int(np.searchsorted(np.cumsum(self.shares)[:-1], rng.random(), side="right"))
        return int(rng.integers(self._starts[which], self._starts[which + 1]))

    def _shuffled(self, turn: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, turn)).permutation(self.total)
