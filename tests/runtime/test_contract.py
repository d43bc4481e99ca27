"""What every session promises, over every one that can run here."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from spatial_vla.runtime import OnnxRuntimeSession, OpenVinoSession, Session
from spatial_vla.runtime.openvino import can_use_bf16

INPUTS = {"x": np.array([[1, -2, 3]], np.float32), "mask": np.array([[True, True, False]])}
WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4) / 10


def torch_session(_: Path) -> Session:
    torch = pytest.importorskip("torch")
    from spatial_models.session import TorchSession

    class Mixed(torch.nn.Module):
        def forward(self, x, mask):
            y = x @ torch.from_numpy(WEIGHTS)
            return y, y.argmax(-1), (x > 0) & mask

    examples = {name: torch.from_numpy(array) for name, array in INPUTS.items()}
    return TorchSession(Mixed(), examples, ("y", "chosen", "kept"))


def openvino_bf16(model: Path) -> Session:
    if not can_use_bf16():
        pytest.skip("this processor has no bfloat16")
    return OpenVinoSession(model, precision="bf16")


def openvino(model: Path) -> Session:
    pytest.importorskip("openvino")
    return OpenVinoSession(model)


def tensorrt(model: Path) -> Session:
    from spatial_vla.runtime.tensorrt import TensorRtSession

    return TensorRtSession(engine_of(model))


def engine_of(model: Path) -> Path:
    """Built with whatever TensorRT the machine has."""
    import sys

    sys.path.insert(0, str(Path(__file__).parents[2] / "export"))
    import to_trt

    engine = model.with_suffix(".engine")
    to_trt.make_engine(to_trt.load_backend("auto"), model, engine, to_trt.Options())
    return engine


KINDS = [
    pytest.param(OnnxRuntimeSession, id="onnxruntime"),
    pytest.param(openvino, id="openvino"),
    pytest.param(openvino_bf16, id="openvino-bf16"),
    pytest.param(torch_session, id="torch"),
    pytest.param(
        lambda m: OnnxRuntimeSession(m, provider="cuda"), id="onnxruntime-cuda", marks=pytest.mark.gpu
    ),
    pytest.param(tensorrt, id="tensorrt", marks=pytest.mark.gpu),
]


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[[Path], Session]:
    return request.param


@pytest.fixture
def session(make: Callable[[Path], Session], mixed: Path) -> Session:
    return make(mixed)


def test_named_arrays_in_named_arrays_out(session: Session) -> None:
    out = session.run(INPUTS)
    assert set(out) == {"y", "chosen", "kept"}
    np.testing.assert_allclose(out["y"], INPUTS["x"] @ WEIGHTS, rtol=1e-2)
    assert out["chosen"].tolist() == [3]
    assert out["kept"].tolist() == [[True, False, False]]


def test_tensors_are_described_and_are_as_described(session: Session) -> None:
    assert {str(s) for s in session.inputs} == {"float32[1, 3]", "bool[1, 3]"}
    out = session.run(INPUTS)
    for spec in session.outputs:
        assert (out[spec.name].shape, out[spec.name].dtype) == (spec.shape, np.dtype(spec.dtype))


def test_inputs_stay_as_they_are(session: Session) -> None:
    given = {name: array.copy() for name, array in INPUTS.items()}
    session.run(given)
    for name, array in INPUTS.items():
        np.testing.assert_array_equal(given[name], array)


def test_what_is_filled_in_place_need_not_be_copied(session: Session) -> None:
    before = dict(session.buffers)
    for factor in (1, 2):
        for name, array in INPUTS.items():
            session.buffers[name][...] = array * factor if name == "x" else array
        out = session.run(session.buffers)
        np.testing.assert_allclose(out["y"], factor * INPUTS["x"] @ WEIGHTS, rtol=1e-2)
    assert all(session.buffers[name] is before[name] for name in before)


def test_results_lie_in_the_same_place_every_time(session: Session) -> None:
    first = session.run(INPUTS)
    second = session.run({**INPUTS, "x": 2 * INPUTS["x"]})
    assert all(first[name] is second[name] for name in first)
    np.testing.assert_allclose(first["y"], 2 * INPUTS["x"] @ WEIGHTS, rtol=1e-2)


def test_warming_up_leaves_no_trace(session: Session) -> None:
    session.warmup(2)
    np.testing.assert_allclose(session.run(INPUTS)["y"], INPUTS["x"] @ WEIGHTS, rtol=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": np.zeros((1, 3), np.float32)}, "takes inputs"),
        ({"x": np.zeros((2, 3), np.float32)}, r"float32\[2, 3\].*built for float32\[1, 3\]"),
        ({"x": np.zeros((1, 3))}, "float64"),
    ],
)
def test_wrong_inputs_are_named(session: Session, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        session.run({**INPUTS, **change})


def test_closing_twice_is_fine_and_running_afterwards_is_not(session: Session) -> None:
    session.run(INPUTS)
    session.close()
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.run(INPUTS)


def test_a_thousand_runs_need_no_more_memory(session: Session) -> None:
    def resident() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    session.warmup(200)
    before = resident()
    session.warmup(1000)
    assert resident() - before < 4000  # KiB


def test_device_says_what_runs(session: Session) -> None:
    assert any(name in session.device for name in ("onnxruntime", "openvino", "torch", "tensorrt"))


@pytest.mark.parametrize("kind", [OnnxRuntimeSession, OpenVinoSession])
def test_missing_model_says_how_to_get_one(kind: type, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="to_onnx"):
        kind(tmp_path / "none.onnx")
