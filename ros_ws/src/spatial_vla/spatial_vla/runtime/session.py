"""The contract between the policy and whatever executes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TensorSpec:
    """Name, static shape and numpy dtype of an input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str


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
        """Where and with what it runs, e.g. "onnxruntime 1.31 CPUExecutionProvider, 1 thread"."""
        ...

    def run(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run once.

        Raises:
            ValueError: if a name, shape or dtype differs from :attr:`inputs`.
        """
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
                f"input {name!r} is {array.dtype}{list(array.shape)}, "
                f"the engine was built for {spec.dtype}{list(spec.shape)}"
            )
