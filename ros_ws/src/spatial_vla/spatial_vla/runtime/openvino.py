"""OpenVINO: the fastest on Intel's and AMD's processors, several times PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .buffered import BufferedSession
from .session import SINGLE_PRECISION, TensorSpec

Precision = Literal["fp32", "bf16", "fp16"]
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVinoSession(BufferedSession):
    """A :class:`~.session.Session` over an ``.onnx`` file, on the CPU.

    Args:
        model: path of the file.
        threads: threads in all.
        precision: what floating-point operations compute in, unless the file wants single precision; int8 is in the
            file. Tensors at the border keep the file's types.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: OpenVINO is not installed, or this processor does not compute in ``precision``.
    """

    def __init__(self, model: Path, threads: int = 1, precision: Precision = "fp32") -> None:
        if not model.is_file():
            raise FileNotFoundError(f"no ONNX model at {model}; export one with export/to_onnx.py")
        try:
            import openvino as ov
        except ImportError as error:
            raise RuntimeError(
                "OpenVINO is not installed; pip install 'spatial_vla[openvino]', or choose another session"
            ) from error
        core = ov.Core()
        graph = core.read_model(str(model))
        if graph.has_rt_info(["framework", SINGLE_PRECISION]):
            precision = "fp32"
        hint = _HINTS[precision]
        compiled = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": hint,
            },
        )
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if {"f32": "f32", "bf16": "bf16", "f16": "f16"}.get(used) != hint:
            able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            raise RuntimeError(
                f"asked OpenVINO for {hint}, it would compute in {used}; this processor has {', '.join(able)}; choose "
                "precision fp32"
            )
        version = ov.get_version().split("-")[0]
        super().__init__(
            tuple(_spec(port) for port in compiled.inputs),
            tuple(_spec(port) for port in compiled.outputs),
            f"openvino {version} CPU {precision}, {threads} thread(s)",
        )
        self._request = compiled.create_infer_request()
        for i, spec in enumerate(self.inputs):
            self._request.set_input_tensor(i, ov.Tensor(self._arrays[spec.name], shared_memory=True))
        for i, spec in enumerate(self.outputs):
            self._request.set_output_tensor(i, ov.Tensor(self._results[spec.name], shared_memory=True))

    def _execute(self) -> None:
        self._request.infer()

    def _release(self) -> None:
        del self._request


def can_use_bf16() -> bool:
    """True if OpenVINO is here and the processor multiplies in bfloat16 in hardware."""
    try:
        import openvino as ov
    except ImportError:
        return False
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _spec(port) -> TensorSpec:  # noqa: ANN001  OpenVINO is optional: its types are not there to be named.
    if port.get_partial_shape().is_dynamic:
        raise ValueError(
            f"tensor {port.any_name!r} has dynamic shape {port.get_partial_shape()}; export with static shapes"
        )
    return TensorSpec(_name(port), tuple(port.shape), port.element_type.to_dtype().name)


def _name(port) -> str:  # noqa: ANN001
    """The file's name of a tensor; after optimisation OpenVINO may know it by others too."""
    own = port.get_node().get_friendly_name().removesuffix("/sink_port_0")
    return own if own in port.get_names() else port.any_name
