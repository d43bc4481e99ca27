"""The contract of sessions, on a small real ONNX model."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from spatial_vla.runtime import OnnxRuntimeSession


@pytest.fixture
def session(tmp_path: Path) -> OnnxRuntimeSession:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "double.onnx")
    return OnnxRuntimeSession(tmp_path / "double.onnx")


def test_named_arrays_in_named_arrays_out(session: OnnxRuntimeSession) -> None:
    out = session.run({"x": np.array([[1, 2, 3]], np.float32)})
    assert out["y"].tolist() == [[2, 4, 6]]


def test_specifications_are_static(session: OnnxRuntimeSession) -> None:
    assert [(s.name, s.shape, s.dtype) for s in session.inputs] == [("x", (1, 3), "float32")]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"z": np.zeros((1, 3), np.float32)}, "takes inputs"),
        ({"x": np.zeros((2, 3), np.float32)}, r"float32\[2, 3\].*built for float32\[1, 3\]"),
        ({"x": np.zeros((1, 3))}, "float64"),
    ],
)
def test_wrong_inputs_are_named(session: OnnxRuntimeSession, inputs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        session.run(inputs)


def test_closing_twice_is_fine_and_running_afterwards_is_not(session: OnnxRuntimeSession) -> None:
    session.close()
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.run({"x": np.zeros((1, 3), np.float32)})


def test_missing_model_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="to_onnx"):
        OnnxRuntimeSession(tmp_path / "none.onnx")
