"""What all sessions have in common: fixed arrays on the host, checks, and an end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .session import TensorSpec, check_inputs


class BufferedSession(ABC):
    """A :class:`~.session.Session` whose engine reads and writes fixed arrays.

    A subclass binds ``self.buffers`` and ``self._results`` to its engine and implements :meth:`_execute`.

    Args:
        inputs, outputs: what the engine takes and gives.
        device: where and with what it runs.
        allocate: makes the array of a tensor; plain zeros unless the engine wants memory of its own kind.
    """

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        device: str,
        allocate: Callable[[TensorSpec], NDArray] | None = None,
    ) -> None:
        make = allocate or (lambda spec: np.zeros(spec.shape, spec.dtype))
        self.inputs, self.outputs, self.device = inputs, outputs, device
        self._arrays = {spec.name: make(spec) for spec in inputs}
        self._results = {spec.name: make(spec) for spec in outputs}
        self._open = True

    @property
    def buffers(self) -> Mapping[str, NDArray]:
        """See :class:`~.session.Session`."""
        return MappingProxyType(self._arrays)

    def run(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """See :class:`~.session.Session`."""
        if not self._open:
            raise RuntimeError("session is closed")
        check_inputs(self.inputs, inputs)
        for name, array in inputs.items():
            if array is not self._arrays[name]:
                np.copyto(self._arrays[name], array)
        self._execute()
        return dict(self._results)

    def warmup(self, runs: int = 1) -> None:
        """See :class:`~.session.Session`."""
        zeros = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self.inputs}
        for _ in range(runs):
            self.run(zeros)

    def close(self) -> None:
        """See :class:`~.session.Session`."""
        if self._open:
            self._open = False
            self._release()

    @abstractmethod
    def _execute(self) -> None:
        """Compute ``self._results`` from ``self._arrays``."""

    @abstractmethod
    def _release(self) -> None:
        """Free the engine; called once."""
