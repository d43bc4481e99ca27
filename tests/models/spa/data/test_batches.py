"""Batches: of one set each, in turn, cut at the number of images, and shared out between processes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from spatial_models.spa.data import AlternatingBatches, collate
from torch.utils.data import ConcatDataset, Dataset


class Numbers(Dataset):
    def __init__(self, count: int) -> None:
        self.count, self.epoch = count, -1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def test_a_batch_is_cut_at_the_number_of_images() -> None:
    samples = [SimpleNamespace(images=range(n)) for n in (8, 8, 8, 1, 1)]
    assert collate(samples) == samples[:3]  # type: ignore[arg-type]
    assert collate(samples, most_images=16) == samples[:2]  # type: ignore[arg-type]
    assert collate(samples, most_images=3) == samples[:1]  # type: ignore[arg-type]


def test_sets_take_turns_and_every_sample_comes_once() -> None:
    sets = ConcatDataset([Numbers(7), Numbers(12)])
    batches = list(AlternatingBatches(sets, 2))
    assert len(batches) == len(AlternatingBatches(sets, 2)) == 3 + 6
    owners = [{index < 7 for index in batch} for batch in batches]
    assert all(len(owner) == 1 for owner in owners)
    assert [owner.pop() for owner in owners] == [True, False, True, False, True, False, False, False, False]
    indices = [index for batch in batches for index in batch]
    assert len(set(indices)) == len(indices) and set(range(7, 19)) <= set(indices)


def test_an_epoch_has_its_own_order_and_tells_the_sets() -> None:
    numbers = Numbers(12)
    sampler = AlternatingBatches(ConcatDataset([numbers]), 3, seed=4)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)
    assert first == again != list(sampler)
    assert numbers.epoch == 1
    assert list(AlternatingBatches(ConcatDataset([numbers]), 5, shuffle=False)) == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
    ]


def test_processes_do_together_what_one_would_do_alone() -> None:
    sets = ConcatDataset([Numbers(9), Numbers(13)])
    alone = list(AlternatingBatches(sets, 4))
    shared = [list(AlternatingBatches(sets, 2, rank=rank, world_size=2)) for rank in range(2)]
    assert [a + b for a, b in zip(*shared, strict=True)] == alone


def test_what_gives_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="fill no batch of 4"):
        AlternatingBatches(ConcatDataset([Numbers(3)]), 4)
    with pytest.raises(ValueError, match="rank 2 of 2"):
        AlternatingBatches(ConcatDataset([Numbers(30)]), 4, rank=2, world_size=2)
