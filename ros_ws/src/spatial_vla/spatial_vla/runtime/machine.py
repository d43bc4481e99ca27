"""What this machine can run engines with."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import onnxruntime as ort

from . import cuda
from .openvino import can_use_bf16


@dataclass(frozen=True)
class Machine:
    """Facts that decide which session is best.

    Attributes:
        processor: ``x86_64``, ``aarch64``.
        gpu: name of the NVIDIA GPU, empty without; no_gpu: why there is none.
        providers: ONNX Runtime's. openvino: installed. bf16: the processor multiplies in bfloat16.
        tensorrt: which of ``tensorrt`` and ``tensorrt_rtx`` are installed.
    """

    processor: str
    gpu: str
    no_gpu: str
    providers: tuple[str, ...]
    openvino: bool
    bf16: bool
    tensorrt: tuple[str, ...]


@cache
def this_machine() -> Machine:
    """Facts about this one."""
    no_gpu = cuda.missing_device()
    return Machine(
        processor=platform.machine(),
        gpu="" if no_gpu else cuda.device_name(),
        no_gpu=no_gpu,
        providers=tuple(ort.get_available_providers()),
        openvino=find_spec("openvino") is not None,
        bf16=can_use_bf16(),
        tensorrt=tuple(name for name in ("tensorrt", "tensorrt_rtx") if find_spec(name) is not None),
    )
