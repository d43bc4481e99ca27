"""ONNX Runtime: the engine that runs everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from .session import TensorSpec, check_inputs

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}


class OnnxRuntimeSession:
    """A :class:`Session` over an ``.onnx`` file.

    Args:
        model: path of the file.
        threads: threads of one operator. One is best beside other processes on few cores.
    """

    def __init__(self, model: Path, threads: int = 1) -> None:
        if not model.is_file():
            raise FileNotFoundError(f"no ONNX model at {model}; export one with export/to_onnx.py")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Waiting threads would otherwise spin and take the core from the other nodes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: ort.InferenceSession | None = ort.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = tuple(_spec(a) for a in self._session.get_inputs())
        self._outputs = tuple(_spec(a) for a in self._session.get_outputs())
        self._device = (
            f"onnxruntime {ort.__version__} {self._session.get_providers()[0]}, {threads} thread(s)"
        )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """See :class:`Session`."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """See :class:`Session`."""
        return self._outputs

    @property
    def device(self) -> str:
        """See :class:`Session`."""
        return self._device

    def run(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """See :class:`Session`."""
        if self._session is None:
            raise RuntimeError("session is closed")
        check_inputs(self._inputs, inputs)
        values = self._session.run(None, dict(inputs))
        return {spec.name: np.asarray(value) for spec, value in zip(self._outputs, values, strict=True)}

    def close(self) -> None:
        """See :class:`Session`."""
        self._session = None


def _spec(argument: ort.NodeArg) -> TensorSpec:
    if argument.type not in _DTYPES:
        raise ValueError(
            f"tensor {argument.name!r} has type {argument.type}; supported: {', '.join(_DTYPES)}"
        )
    if not all(isinstance(n, int) for n in argument.shape):
        raise ValueError(
            f"tensor {argument.name!r} has dynamic shape {argument.shape}; export with static shapes"
        )
    return TensorSpec(argument.name, tuple(argument.shape), _DTYPES[argument.type])
