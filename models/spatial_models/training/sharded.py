"""Weights, gradients and optimiser states spread over all processes, whatever the accelerator."""

from __future__ import annotations

from lightning.pytorch.strategies import ModelParallelStrategy


class Sharded(ModelParallelStrategy):
    """Lightning's strategy for torch's ``fully_shard``, over as many processes as there are.

    Its own defaults spread over nodes and expect a tensor-parallel model within each. Checkpoints are single files, as
    of the other strategies.
    """

    def __init__(self) -> None:
        super().__init__(save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size, self._tensor_parallel_size = self.num_nodes * self.num_processes, 1
        super().setup_environment()
