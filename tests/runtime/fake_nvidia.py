"""CUDA and TensorRT in plain Python: memory on the host, and of each class only the names a real release has.

An engine's bytes are JSON; it doubles its float32 input ``x`` into ``y``.
"""

import ctypes
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

API = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "tensorrt_api").glob("*.json"))
}


class Only:
    """An object of which only recorded names can be used."""

    def __init__(self, target: Any, kind: str, release: dict) -> None:
        object.__setattr__(self, "_parts", (target, kind, release))

    def _checked(self, name: str) -> Any:
        target, kind, release = object.__getattribute__(self, "_parts")
        if name not in release["classes"].get(kind, ()):
            raise AttributeError(f"{kind} of {release['version']} has no {name}")
        return target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._checked(name), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._checked(name), name, value)


class FakeCuda:
    """``cuda.bindings.runtime``: what is enqueued runs at once, or, while recording, when the graph is launched."""

    cudaMemcpyKind = types.SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = types.SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    OK = types.SimpleNamespace(value=0, name="cudaSuccess")
    cudaError_t = types.SimpleNamespace(cudaSuccess=OK)

    def __init__(self, devices: int = 1) -> None:
        self.devices, self.memory, self.streams = devices, {}, set()
        self.recording: list[Callable[[], None]] | None = None
        self.calls: list[str] = []

    def enqueue(self, work: Callable[[], None]) -> None:
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def _allocate(self, size: int) -> tuple:
        buffer = (ctypes.c_uint8 * size)()
        self.memory[ctypes.addressof(buffer)] = buffer
        return self.OK, ctypes.addressof(buffer)

    def _free(self, address: int) -> tuple:
        del self.memory[address]
        return (self.OK,)

    cudaMalloc = cudaMallocHost = _allocate
    cudaFree = cudaFreeHost = _free

    def cudaGetDeviceCount(self) -> tuple:
        return self.OK, self.devices

    def cudaGetDeviceProperties(self, _: int) -> tuple:
        return self.OK, types.SimpleNamespace(name=b"Fake 4090", major=8, minor=9)

    def cudaStreamCreateWithFlags(self, _: int) -> tuple:
        self.streams.add(7)
        return self.OK, 7

    def cudaStreamDestroy(self, stream: int) -> tuple:
        self.streams.remove(stream)
        return (self.OK,)

    def cudaStreamSynchronize(self, _: int) -> tuple:
        assert self.recording is None
        return (self.OK,)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, _: int, __: int) -> tuple:
        self.calls.append("copy")
        self.enqueue(lambda: ctypes.memmove(to, source, size) and None)
        return (self.OK,)

    def cudaStreamBeginCapture(self, *_: int) -> tuple:
        self.recording = []
        return (self.OK,)

    def cudaStreamEndCapture(self, _: int) -> tuple:
        graph, self.recording = self.recording, None
        return self.OK, graph

    def cudaGraphInstantiate(self, graph: list, _: int) -> tuple:
        return self.OK, list(graph)

    def cudaGraphDestroy(self, _: list) -> tuple:
        return (self.OK,)

    cudaGraphExecDestroy = cudaGraphDestroy

    def cudaGraphLaunch(self, graph: list, _: int) -> tuple:
        self.calls.append("launch")
        for work in graph:
            work()
        return (self.OK,)


class FakeContext:
    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda, self.addresses = cuda, {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def is_stream_capturable(self, _: int) -> bool:
        return False

    def execute_async_v3(self, _: int) -> bool:
        def work() -> None:
            x, y = ((ctypes.c_float * 3).from_address(self.addresses[name]) for name in "xy")
            np.frombuffer(y, np.float32)[:] = 2 * np.frombuffer(x, np.float32)

        self.cuda.enqueue(work)
        return True


class FakeNetwork:
    num_inputs = num_outputs = num_layers = 1

    def get_input(self, _: int) -> Any:
        return types.SimpleNamespace(name="x", shape=(1, 3), dtype="DataType.FLOAT")

    def get_output(self, _: int) -> Any:
        return types.SimpleNamespace(name="y", shape=(1, 3), dtype="DataType.FLOAT")


class FakeConfig:
    progress_monitor = None
    num_compute_capabilities = 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: (
            types.SimpleNamespace(serialize=lambda: b"timing") if "timing" in name else True
        )


def fake_tensorrt(release: dict, cuda: FakeCuda, backend: str = "tensorrt") -> types.ModuleType:
    """The module of a release."""
    trt: Any = types.ModuleType(backend)
    trt.__version__ = release["version"]

    def only(target: Any, kind: str) -> Only:
        return Only(target, kind, release)

    def enumeration(kind: str) -> Any:
        return types.SimpleNamespace(**{name: i for i, name in enumerate(release["classes"].get(kind, ()))})

    for kind in ("BuilderFlag", "MemoryPoolType", "NetworkDefinitionCreationFlag", "ComputeCapability"):
        setattr(trt, kind, enumeration(kind))
    engine = types.SimpleNamespace(
        num_io_tensors=2,
        get_tensor_name=lambda i: "xy"[i],
        create_execution_context=lambda: only(FakeContext(cuda), "IExecutionContext"),
    )
    runtime = types.SimpleNamespace(
        deserialize_cuda_engine=lambda blob: only(engine, "ICudaEngine") if blob.startswith(b"{") else None
    )
    trt.Runtime = lambda _: only(runtime, "Runtime")
    trt.Logger = type("Logger", (), {"WARNING": 2, "__init__": lambda self, _: None})
    trt.IProgressMonitor = type("IProgressMonitor", (), {})
    builder = types.SimpleNamespace(
        create_network=lambda _: only(FakeNetwork(), "INetworkDefinition"),
        create_builder_config=lambda: only(FakeConfig(), "IBuilderConfig"),
        build_serialized_network=lambda *_: b'{"engine": true}',
    )
    trt.Builder = lambda _: only(builder, "Builder")
    error = types.SimpleNamespace(
        desc=lambda: "no such thing", node_name=lambda: "node_7", node_operator=lambda: "NonZero"
    )
    parser = types.SimpleNamespace(
        parse_from_file=lambda path: b"unreadable" not in Path(path).read_bytes(),
        num_errors=1,
        get_error=lambda _: only(error, "ParserError"),
    )
    trt.OnnxParser = lambda *_: only(parser, "OnnxParser")
    return trt
