"""A computation recorded as a CUDA graph, once per shape of its inputs, and replayed after."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Recorded:
    """Calls ``function`` through CUDA graphs; the outputs are valid until the next call, as all recordings share
    their memory.

    The function must be the same operations whenever the shapes are the same: no decision on values, no tensor from
    the CPU. The least recently used recordings are dropped when there are more than ``most``.
    """

    def __init__(self, function: Function, most: int = 8) -> None:
        self.function, self.most = function, most
        self._pool: Any = None
        self.recordings: OrderedDict[tuple[torch.Size, ...], _Recording] = OrderedDict()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """As the function; inputs are copied into the recording's own."""
        key = tuple(tensor.shape for tensor in inputs)
        if key not in self.recordings:
            self.recordings[key] = self._record(inputs)
            if len(self.recordings) > self.most:
                self.recordings.popitem(last=False)
        self.recordings.move_to_end(key)
        recording = self.recordings[key]
        for own, given in zip(recording.inputs, inputs, strict=True):
            own.copy_(given)
        recording.graph.replay()
        return recording.outputs

    def _record(self, inputs: tuple[Tensor, ...]) -> _Recording:
        own = tuple(tensor.clone() for tensor in inputs)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries set themselves up in the first runs
            for _ in range(2):
                self.function(*own)
        torch.cuda.current_stream().wait_stream(aside)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            outputs = self.function(*own)
        return _Recording(graph, own, outputs)
