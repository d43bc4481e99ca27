"""The little of CUDA that sessions need: is there a device, memory, copies, streams and graphs.

``cuda.bindings`` is optional, and imports where there is no driver; asking it for a device is the way to find out
without touching TensorRT, whose runtime may crash the process there.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .session import TensorSpec


class NoDevice(RuntimeError):
    """There is no usable NVIDIA GPU."""


def bindings() -> Any:
    """``cuda.bindings.runtime``.

    Raises:
        NoDevice: it is not installed.
    """
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise NoDevice(
            "cuda.bindings is not installed; on a machine with an NVIDIA GPU: pip install 'spatial_vla[cuda]'"
        ) from error
    return runtime


def missing_device() -> str:
    """Why no GPU can be used; empty if one can."""
    try:
        runtime = bindings()
    except NoDevice as error:
        return str(error)
    status, count = runtime.cudaGetDeviceCount()
    if status != runtime.cudaError_t.cudaSuccess:
        return f"CUDA says {status.name}; is an NVIDIA driver installed, and does nvidia-smi list a GPU?"
    return "" if count else "CUDA finds no GPU; does nvidia-smi list one?"


def require_device(what: str) -> None:
    """Raise NoDevice unless there is a GPU. ``what`` wants it."""
    if reason := missing_device():
        raise NoDevice(f"{what} needs an NVIDIA GPU: {reason} Without one choose onnxruntime or openvino.")


def device_name() -> str:
    """Name and compute capability of the first GPU, for example ``NVIDIA GeForce RTX 4090, sm_89``."""
    require_device("Naming the device")
    runtime = bindings()
    properties = check(runtime.cudaGetDeviceProperties(0))
    name = properties.name.decode() if isinstance(properties.name, bytes) else str(properties.name)
    return f"{name}, sm_{properties.major}{properties.minor}"


def check(result: tuple) -> Any:
    """The value of a call, or RuntimeError with the name of its error."""
    status, *values = result
    if status.value:
        raise RuntimeError(f"CUDA: {status.name}")
    return values[0] if len(values) == 1 else tuple(values) or None


def pinned(spec: TensorSpec) -> tuple[NDArray, int]:
    """A zeroed array in page-locked memory, which the GPU reads without a copy in between, and its address."""
    dtype = np.dtype(spec.dtype)
    size = max(dtype.itemsize * int(np.prod(spec.shape, dtype=np.int64)), 1)
    address = int(check(bindings().cudaMallocHost(size)))
    memory = (ctypes.c_uint8 * size).from_address(address)
    array = np.frombuffer(memoryview(memory), dtype=dtype, count=int(np.prod(spec.shape, dtype=np.int64)))
    array = array.reshape(spec.shape)
    array[...] = 0
    return array, address
