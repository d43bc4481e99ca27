"""TensorRT 10 and 11, and TensorRT-RTX, by what their Python interfaces have in common."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import cuda
from .buffered import BufferedSession
from .cuda import check
from .engine_file import EngineFile, EngineMismatch
from .session import TensorSpec

_LOGGERS: dict[str, Any] = {}  # TensorRT takes one logger per process


@dataclass(frozen=True)
class DeviceTensor:
    """An output that stays on the GPU: where it is, and the stream in whose order it is written."""

    spec: TensorSpec
    address: int
    stream: Any


class TensorRtSession(BufferedSession):
    """A :class:`~.session.Session` over an engine of ``export/to_trt.py``.

    Inputs are page-locked; copies and execution are recorded once as one CUDA graph and launched as one.

    Args:
        engine: path of the engine; the JSON file lies beside it.
        linked: inputs that are outputs of other sessions and stay on the GPU, from :meth:`device_tensor`. They are no
            longer among :attr:`inputs`, and this session works in their stream, so run their session first.
        graph: record a CUDA graph.

    Raises:
        NoDevice: no GPU; TensorRT is not touched then.
        FileNotFoundError, EngineMismatch: the engine is absent, changed, or built for another release or GPU.
        RuntimeError: TensorRT is not installed or refuses the engine.
    """

    def __init__(
        self, engine: Path, linked: Mapping[str, DeviceTensor] | None = None, graph: bool = True
    ) -> None:
        cuda.require_device(f"running {engine.name}")
        file, linked = EngineFile.read(engine), dict(linked or {})
        trt = load_tensorrt(file.backend)
        device = cuda.device_name()
        if reason := file.mismatch(trt.__version__, device):
            raise EngineMismatch(reason)
        self._links(file, linked)
        self._addresses: list[int] = []  # of page-locked memory
        self._device: dict[str, int] = {}
        self._cuda = cuda.bindings()
        self._own_stream = not linked
        self._stream = (
            next(iter(linked.values())).stream if linked else check(self._cuda.cudaStreamCreateWithFlags(1))
        )
        super().__init__(
            tuple(spec for spec in file.inputs if spec.name not in linked),
            file.outputs,
            f"{file.backend} {trt.__version__} {device}, {file.precision}",
            self._pinned,
        )
        self._engine, self._context = _deserialise(trt, file)
        for spec in (*self.inputs, *self.outputs):
            self._device[spec.name] = int(check(self._cuda.cudaMalloc(self._array(spec.name).nbytes)))
        for name, address in (*self._device.items(), *((k, v.address) for k, v in linked.items())):
            if not self._context.set_tensor_address(name, address):
                raise RuntimeError(f"TensorRT refuses memory for tensor {name!r} of {engine.name}")
        self._enqueue()  # outside of a graph once, as TensorRT wants it
        check(self._cuda.cudaStreamSynchronize(self._stream))
        self._graph = self._record() if graph else None
        if graph and self._graph is None:
            self.device += ", no CUDA graph"

    def device_tensor(self, name: str) -> DeviceTensor:
        """An output as another session may read it."""
        spec = next((s for s in self.outputs if s.name == name), None)
        if spec is None:
            raise ValueError(f"no output {name!r}; there are {[s.name for s in self.outputs]}")
        return DeviceTensor(spec, self._device[name], self._stream)

    def _links(self, file: EngineFile, linked: Mapping[str, DeviceTensor]) -> None:
        specs = {spec.name: spec for spec in file.inputs}
        for name, tensor in linked.items():
            wanted = specs.get(name)
            if wanted is None or (wanted.shape, wanted.dtype) != (tensor.spec.shape, tensor.spec.dtype):
                raise ValueError(
                    f"{file.path.name} takes {name!r} as {wanted}, output {tensor.spec.name!r} is {tensor.spec}"
                )
        if len({id(t.stream) for t in linked.values()}) > 1:
            raise ValueError(
                "linked inputs come from sessions of different streams; link those with each other"
            )

    def _pinned(self, spec: TensorSpec) -> Any:
        array, address = cuda.pinned(spec)
        self._addresses.append(address)
        return array

    def _array(self, name: str) -> Any:
        return self._arrays[name] if name in self._arrays else self._results[name]

    def _enqueue(self) -> None:
        """Copy in, execute, copy out; all in the stream's order."""
        kind = self._cuda.cudaMemcpyKind
        for spec in self.inputs:
            array = self._arrays[spec.name]
            args = (self._device[spec.name], array.ctypes.data, array.nbytes, kind.cudaMemcpyHostToDevice)
            check(self._cuda.cudaMemcpyAsync(*args, self._stream))
        if not self._context.execute_async_v3(int(self._stream)):
            raise RuntimeError("TensorRT could not start the engine; its log says why")
        for spec in self.outputs:
            array = self._results[spec.name]
            args = (array.ctypes.data, self._device[spec.name], array.nbytes, kind.cudaMemcpyDeviceToHost)
            check(self._cuda.cudaMemcpyAsync(*args, self._stream))

    def _record(self) -> Any:
        """The CUDA graph of :meth:`_enqueue`; None if this engine cannot be recorded."""
        capturable = getattr(self._context, "is_stream_capturable", None)  # TensorRT-RTX alone has it
        if capturable is not None and not capturable(int(self._stream)):
            return None
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(self._cuda.cudaStreamBeginCapture(self._stream, mode))
        self._enqueue()
        recorded = check(self._cuda.cudaStreamEndCapture(self._stream))
        launchable = check(self._cuda.cudaGraphInstantiate(recorded, 0))
        check(self._cuda.cudaGraphDestroy(recorded))
        return launchable

    def _execute(self) -> None:
        if self._graph is None:
            self._enqueue()
        else:
            check(self._cuda.cudaGraphLaunch(self._graph, self._stream))
        check(self._cuda.cudaStreamSynchronize(self._stream))

    def _release(self) -> None:
        if self._graph is not None:
            check(self._cuda.cudaGraphExecDestroy(self._graph))
        # The context before the engine, and both before the memory they use.
        del self._context
        del self._engine
        for address in self._device.values():
            check(self._cuda.cudaFree(address))
        self._arrays, self._results = {}, {}
        for address in self._addresses:
            check(self._cuda.cudaFreeHost(address))
        if self._own_stream:
            check(self._cuda.cudaStreamDestroy(self._stream))


def load_tensorrt(backend: str) -> Any:
    """The module ``tensorrt`` or ``tensorrt_rtx``.

    Raises:
        RuntimeError: it is not installed.
    """
    try:
        return importlib.import_module(backend)
    except ImportError as error:
        how = {
            "tensorrt": "on Jetson apt-get install python3-libnvinfer, elsewhere pip install tensorrt",
            "tensorrt_rtx": "pip install 'spatial_vla[tensorrt-rtx]'",
        }.get(backend, "known are tensorrt and tensorrt_rtx")
        raise RuntimeError(f"the engine was built by {backend}, which is not installed: {how}") from error


def _deserialise(trt: Any, file: EngineFile) -> tuple[Any, Any]:
    """Engine and execution context."""
    logger = _LOGGERS.setdefault(trt.__name__, trt.Logger(trt.Logger.WARNING))
    engine = trt.Runtime(logger).deserialize_cuda_engine(file.path.read_bytes())
    if engine is None:
        raise RuntimeError(
            f"{file.backend} {trt.__version__} refuses {file.path}; its log says why. Build it again"
        )
    names = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
    described = {spec.name for spec in (*file.inputs, *file.outputs)}
    if names != described:
        raise EngineMismatch(
            f"{file.path} has tensors {sorted(names)}, the file beside it says {sorted(described)}"
        )
    context = engine.create_execution_context()
    if context is None:
        raise RuntimeError(f"not enough GPU memory for {file.path.name}; see nvidia-smi")
    return engine, context
