"""The least time that a stage can take: its multiplications, and its weights read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from spatial_models.stage import Stage
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Floor:
    """Of one run.

    Attributes:
        gflop: two per multiply-add, of matrix products and convolutions. megabytes: of weights.
    """

    gflop: float
    megabytes: float

    def milliseconds(self, gflops: float, gigabytes_per_s: float) -> float:
        """The greater of computing at that rate and reading at that rate."""
        return max(1e3 * self.gflop / gflops, self.megabytes / gigabytes_per_s)


def floor_of(stage: Stage, model: Path) -> Floor:
    """Counted by PyTorch; bytes as in the file."""
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        stage.module(*stage.examples.values())
    data = model.with_name(model.name + ".data")
    size = model.stat().st_size + (data.stat().st_size if data.is_file() else 0)
    return Floor(counter.get_total_flops() / 1e9, size / 1e6)


def measured_rates(threads: int, repeats: int = 5) -> tuple[float, float]:
    """What this processor does with ``threads``: GFLOP/s of a single-precision product, GB/s of reading memory."""
    from time import perf_counter

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        a = torch.rand(1024, 1024)
        block = torch.ones(64 * 2**20 // 4)
        products, reads = [], []
        for _ in range(repeats):
            start = perf_counter()
            torch.mm(a, a)
            products.append(perf_counter() - start)
            start = perf_counter()
            block.sum()
            reads.append(perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return 2 * 1024**3 / 1e9 / float(np.min(products)), block.nbytes / 1e9 / float(np.min(reads))
