"""The contract between the policy and whatever executes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: Metadata of an ONNX file whose numbers are positions: sessions compute it in single precision, asked for less or not.
SINGLE_PRECISION = "single_precision"


@dataclass(frozen=True)
class TensorSpec:
    """Name, static shape and numpy dtype of an input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        """For example ``float32[1, 3, 224, 224]``."""
        return f"{self.dtype}{list(self.shape)}"


class Session(Protocol):
    """An engine ready to run. Shapes are static; arrays are C-contiguous numpy."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` needs."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` returns."""
        ...

    @property
    def device(self) -> str:
        """Where and with what it runs, e.g. "onnxruntime 1.31 CPUExecutionProvider fp32, 1 thread(s)"."""
        ...

    @property
    def buffers(self) -> Mapping[str, NDArray]:
        """The memory, one array per input, that the engine reads; the same arrays as long as the session lives.

        Who fills an array in place and gives that very array to :meth:`run` saves a copy.
        """
        ...

    def run(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run once. The arrays returned are the session's own and hold until the next run: copy what is to stay.

        Raises:
            ValueError: if a name, shape or dtype differs from :attr:`inputs`.
            RuntimeError: after :meth:`close`.
        """
        ...

    def warmup(self, runs: int = 1) -> None:
        """Run on zeros, so that the first real run is as fast as the others."""
        ...

    def close(self) -> None:
        """Free the engine. Safe to call twice; :meth:`run` raises RuntimeError afterwards."""
        ...


def check_inputs(specs: tuple[TensorSpec, ...], inputs: Mapping[str, NDArray]) -> None:
    """Compare arrays with their specification.

    Raises:
        ValueError: naming the array, what it is and what was expected.
    """
    expected = {s.name: s for s in specs}
    if set(inputs) != set(expected):
        raise ValueError(f"session takes inputs {sorted(expected)}, got {sorted(inputs)}")
    for name, array in inputs.items():
        spec = expected[name]
        if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
            raise ValueError(
                f"input {name!r} is {array.dtype}{list(array.shape)}, the engine was built for {spec}"
            )
