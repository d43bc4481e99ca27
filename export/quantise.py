"""Static 8-bit quantisation of an ONNX file: Q/DQ pairs, symmetric, weights per channel, activations calibrated.

TensorRT, OpenVINO and ONNX Runtime all read such files. Matrix products and convolutions alone are quantised; norms,
softmax and everything that computes with positions stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

OPERATORS = ["MatMul", "Gemm", "Conv"]


def quantise(path: Path, frames: Iterable[dict[str, NDArray]]) -> None:
    """Replace a single-precision file by its quantised self."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Frames(CalibrationDataReader):
        def __init__(self) -> None:
            self._rows: Iterator[dict[str, NDArray]] = iter(frames)

        def get_next(self) -> Any:
            return next(self._rows, None)

    aside = path.with_name(path.name + ".float")
    path.replace(aside)
    logging.getLogger().setLevel(logging.ERROR)  # it advises a preparation that dynamo's graphs do not need
    try:
        quantize_static(
            str(aside),
            str(path),
            Frames(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                # Products of two activations (attention) lose most and gain least.
                "MatMulConstBOnly": True,
            },
        )
    finally:
        aside.unlink()
