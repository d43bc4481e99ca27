"""ONNX Runtime: the engine that runs everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import onnxruntime as ort

from .buffered import BufferedSession
from .cuda import require_device
from .session import TensorSpec

Provider = Literal["cpu", "cuda", "tensorrt"]
PROVIDERS: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}


class OnnxRuntimeSession(BufferedSession):
    """A :class:`~.session.Session` over an ``.onnx`` file.

    Args:
        model: path of the file.
        threads: threads of one operator. One is best beside other processes on few cores.
        provider: what computes; never replaced by another.

    Raises:
        FileNotFoundError: no such file.
        NoDevice: a GPU is asked for and there is none.
        RuntimeError: this build of ONNX Runtime lacks the provider, or could not use it.
    """

    def __init__(self, model: Path, threads: int = 1, provider: Provider = "cpu") -> None:
        if not model.is_file():
            raise FileNotFoundError(f"no ONNX model at {model}; export one with export/to_onnx.py")
        name = _available(provider)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Waiting threads would otherwise spin and take the core from the other nodes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = ort.InferenceSession(str(model), options, providers=[name])
        # ONNX Runtime goes on with the CPU when a provider cannot start.
        if session.get_providers()[0] != name:
            raise RuntimeError(
                f"ONNX Runtime {ort.__version__} could not start {name} and took {session.get_providers()[0]}; its "
                "log says why (CUDA, cuDNN or TensorRT libraries of another version?); or choose the session 'auto'"
            )
        self._session: ort.InferenceSession | None = session
        super().__init__(
            tuple(_spec(a) for a in session.get_inputs()),
            tuple(_spec(a) for a in session.get_outputs()),
            f"onnxruntime {ort.__version__} {name}, {threads} thread(s)",
        )
        self._binding = session.io_binding()
        # On the CPU the engine reads and writes our arrays; a GPU provider copies them over and back.
        self._values = {k: ort.OrtValue.ortvalue_from_numpy(v) for k, v in self._arrays.items()}
        self._values |= {k: ort.OrtValue.ortvalue_from_numpy(v) for k, v in self._results.items()}
        for spec in self.inputs:
            self._binding.bind_ortvalue_input(spec.name, self._values[spec.name])
        for spec in self.outputs:
            self._binding.bind_ortvalue_output(spec.name, self._values[spec.name])

    def _execute(self) -> None:
        assert self._session is not None
        self._session.run_with_iobinding(self._binding)

    def _release(self) -> None:
        self._session, self._values = None, {}
        del self._binding


def _available(provider: Provider) -> str:
    """ONNX Runtime's name of a provider that can be used here."""
    name = PROVIDERS[provider]
    if provider != "cpu":
        require_device(f"ONNX Runtime with {name}")
    if name not in ort.get_available_providers():
        raise RuntimeError(
            f"ONNX Runtime {ort.__version__} has no {name}, only {', '.join(ort.get_available_providers())}; install "
            "onnxruntime-gpu instead of onnxruntime, or choose another session"
        )
    return name


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
