"""Which session runs a stage: the one asked for, or the best that manifest and machine allow, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from .engine_file import EngineFile
from .machine import Machine, this_machine
from .onnxruntime import OnnxRuntimeSession
from .openvino import OpenVinoSession
from .session import Session

KINDS = (
    *("auto", "onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt", "openvino", "openvino-bf16"),
    *("tensorrt", "torch"),
)
PLUGINS = "spatial_vla.sessions"
"""Entry points of sessions from packages that the core does not know; each is called with (model, threads)."""


@dataclass(frozen=True)
class Choice:
    """A kind of :data:`KINDS` other than ``auto``, and the reason for it."""

    kind: str
    reason: str


def choose(stage: Path, ready: Iterable[str] = (), machine: Machine | None = None) -> Choice:
    """The best session for a stage.

    Args:
        stage: its ``.onnx`` file; an engine may lie beside it as ``.engine``.
        ready: kinds that the manifest's comparison with PyTorch found good enough. Those that compute in single
            precision need not be among them.
        machine: this one if None.
    """
    machine, ready = machine or this_machine(), set(ready)
    against = [f"no GPU ({machine.no_gpu.rstrip('.')})"] if not machine.gpu else []
    engine = stage.with_suffix(".engine")
    if machine.gpu and engine.is_file():
        file = EngineFile.read(engine)
        version = _version(file.backend) if file.backend in machine.tensorrt else ""
        reason = file.mismatch(version, machine.gpu) if version else f"{file.backend} is not installed"
        if not reason:
            return Choice("tensorrt", f"{engine.name} was built for {machine.gpu}")
        against.append(f"no TensorRT: {reason}")
    elif machine.gpu:
        against.append(f"no TensorRT: no {engine.name} (export/to_trt.py builds one)")
    if machine.gpu and "CUDAExecutionProvider" in machine.providers:
        return _because("onnxruntime-cuda", f"a {machine.gpu}", against)
    if machine.openvino and machine.processor in ("x86_64", "AMD64"):
        if machine.bf16 and "openvino-bf16" in ready:
            why = "this processor multiplies in bfloat16, and the manifest says that it is accurate enough"
            return _because("openvino-bf16", why, against)
        return _because("openvino", "installed, and the fastest on this processor", against)
    against.append(f"no OpenVINO on {machine.processor}" if machine.openvino else "OpenVINO is not installed")
    return _because("onnxruntime", "it runs everywhere", against)


def open_session(
    stage: Path, kind: str = "auto", *, threads: int = 1, ready: Iterable[str] = ()
) -> tuple[Session, Choice]:
    """Open a stage's session, and say what was chosen and why.

    A kind asked for by name is never replaced by another.

    Raises:
        ValueError: no such kind. NoDevice, RuntimeError, FileNotFoundError, EngineMismatch: it cannot be used here.
    """
    if kind not in KINDS:
        raise ValueError(f"no session {kind!r}; there are {', '.join(KINDS)}")
    choice = choose(stage, ready) if kind == "auto" else Choice(kind, "asked for by name")
    return _open(stage, choice.kind, threads), choice


def _open(stage: Path, kind: str, threads: int) -> Session:
    if kind == "tensorrt":
        # Imported last: it is of no use without a GPU.
        from .tensorrt import TensorRtSession

        return TensorRtSession(stage.with_suffix(".engine"))
    if kind == "openvino":
        return OpenVinoSession(stage, threads)
    if kind == "openvino-bf16":
        return OpenVinoSession(stage, threads, "bf16")
    if kind == "onnxruntime-cuda":
        return OnnxRuntimeSession(stage, threads, "cuda")
    if kind == "onnxruntime-tensorrt":
        return OnnxRuntimeSession(stage, threads, "tensorrt")
    if kind == "onnxruntime":
        return OnnxRuntimeSession(stage, threads)
    plugins = entry_points(group=PLUGINS, name=kind)
    if not plugins:
        raise RuntimeError(
            f"session {kind!r} comes with spatial_models, which is not installed: ./setup --dev"
        )
    return next(iter(plugins)).load()(stage, threads)


def _version(backend: str) -> str:
    from .tensorrt import load_tensorrt

    return load_tensorrt(backend).__version__


def _because(kind: str, why: str, against: list[str]) -> Choice:
    return Choice(kind, "; ".join([why, *against]))
