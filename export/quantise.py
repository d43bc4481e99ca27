"""Fewer bits for an ONNX file: weights and activations in 8, calibrated, or weights alone in 8 or 4.

Both in 8 bits are Q/DQ pairs, symmetric, weights per channel, which TensorRT, OpenVINO and ONNX Runtime read. Matrix
products and convolutions alone are quantised; norms, softmax and everything that computes with positions stay.

Weights alone help where a token's weights are read for one product each, in decoding. They are blocks of 32 with a
scale each, in ONNX Runtime's own operator MatMulNBits, which TensorRT does not know.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any, Literal

import onnx
from numpy.typing import NDArray

LIMIT = 2 * 10**9  # bytes beyond which weights lie beside the graph: ONNX files end at 2 GiB
ROWS = 64  # fewer stay in single precision
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
            nodes_to_exclude=_kept(aside),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
            },
        )
    finally:
        aside.unlink()


def _kept(path: Path) -> list[str]:
    """Products that stay as they are: of two activations, which is attention and geometry, and over a few rows.

    Both lose most and gain least: few rows are where tokens are chosen, many rows are patches.
    """
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    weights = {tensor.name for tensor in graph.initializer}
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.value_info, *graph.input)
    }
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    return [n.name for n in products if not weights & set(n.input) or prod(shapes[n.input[0]][:-1]) < ROWS]


def quantise_weights(path: Path, bits: Literal[4, 8]) -> None:
    """Replace a single-precision file by itself with weights of products in ``bits``."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.ERROR)
    # Products are summed up in 8-bit integers (level 4), the fastest on processors.
    quantiser = MatMulNBitsQuantizer(
        onnx.load(path), bits, block_size=32, is_symmetric=True, accuracy_level=4
    )
    quantiser.process()
    path.with_name(path.name + ".data").unlink(missing_ok=True)
    quantiser.model.save_model_to_file(str(path), quantiser.model.model.ByteSize() > LIMIT)
