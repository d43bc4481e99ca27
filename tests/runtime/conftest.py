"""Small ONNX files."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """y = x @ W (float32), chosen = argmax of y (int64), kept = mask (bool) and x > 0."""
    weights = np.arange(12, dtype=np.float32).reshape(3, 4) / 10
    value = helper.make_tensor_value_info
    inputs = [value("x", TensorProto.FLOAT, [1, 3]), value("mask", TensorProto.BOOL, [1, 3])]
    outputs = [
        value("y", TensorProto.FLOAT, [1, 4]),
        value("chosen", TensorProto.INT64, [1]),
        value("kept", TensorProto.BOOL, [1, 3]),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["y"]),
        helper.make_node("ArgMax", ["y"], ["chosen"], axis=-1, keepdims=0),
        helper.make_node("Greater", ["x", "zero"], ["positive"]),
        helper.make_node("And", ["positive", "mask"], ["kept"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "W"),
        numpy_helper.from_array(np.zeros((), np.float32), "zero"),
    ]
    return write(tmp_path / "mixed.onnx", nodes, inputs, outputs, constants)


def write(
    path: Path, nodes: list, inputs: list, outputs: list, constants: list = (), opset: int = 20
) -> Path:  # type: ignore[assignment]
    graph = helper.make_graph(nodes, "small", inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(model, path)
    return path


@pytest.fixture
def write_onnx() -> Callable[..., Path]:
    return write
