"""The logic around TensorRT, over the names that five real releases have; nothing here needs a GPU."""

import ast
import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from fake_nvidia import API, FakeCuda, fake_tensorrt
from spatial_vla.runtime import EngineFile, EngineMismatch, NoDevice, OnnxRuntimeSession, cuda
from spatial_vla.runtime import tensorrt as subject
from spatial_vla.runtime.tensorrt import TensorRtSession

ROOT = Path(__file__).parents[2]
FULL = [name for name in API if not name.startswith("rtx")]
X = np.array([[1, 2, 3]], np.float32)


def write_engine(folder: Path, **changes) -> Path:
    engine = folder / "double.engine"
    engine.write_bytes(b'{"engine": true}')
    tensor = {"shape": [1, 3], "dtype": "float32"}
    fields = {
        "format": 1,
        "sha256": sha256(engine.read_bytes()).hexdigest(),
        "onnx": "0" * 64,
        "backend": "tensorrt",
        "version": "10.3.0",
        "targets": ["Fake 4090, sm_89"],
        "precision": "fp16",
        "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "y", **tensor}],
    } | changes
    (folder / "double.engine.json").write_text(json.dumps(fields))
    return engine


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr(cuda, "bindings", lambda: fake)
    subject._LOGGERS.clear()
    return fake


@pytest.fixture(params=list(API))
def release(request: pytest.FixtureRequest, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Each release in turn, importable; the fields that an engine of it has."""
    backend = "tensorrt_rtx" if request.param.startswith("rtx") else "tensorrt"
    found = API[request.param]
    monkeypatch.setitem(sys.modules, backend, fake_tensorrt(found, gpu, backend))
    return {"backend": backend, "version": found["version"]}


def test_runs_and_runs_again(release: dict, gpu: FakeCuda, tmp_path: Path) -> None:
    session = TensorRtSession(write_engine(tmp_path, **release))
    for factor in (1, 5):
        np.testing.assert_array_equal(session.run({"x": factor * X})["y"], 2 * factor * X)
    # TensorRT-RTX says here that its engine cannot be recorded, and the session says so too.
    assert ("launch" in gpu.calls) != ("no CUDA graph" in session.device)
    assert session.device.startswith(f"{release['backend']} {release['version']} Fake 4090, sm_89, fp16")


def test_closing_gives_all_memory_back(release: dict, gpu: FakeCuda, tmp_path: Path) -> None:
    session = TensorRtSession(write_engine(tmp_path, **release))
    assert gpu.memory and gpu.streams
    session.close()
    session.close()
    assert not gpu.memory and not gpu.streams
    with pytest.raises(RuntimeError, match="closed"):
        session.run({"x": X})


def test_linked_stages_pass_tensors_on_the_gpu(release: dict, gpu: FakeCuda, tmp_path: Path) -> None:
    engine = write_engine(tmp_path, **release)
    first = TensorRtSession(engine)
    second = TensorRtSession(engine, linked={"x": first.device_tensor("y")}, graph=False)
    assert second.inputs == ()
    first.run({"x": X})
    gpu.calls.clear()
    np.testing.assert_array_equal(second.run({})["y"], 4 * X)
    assert gpu.calls == ["copy"]  # of the result, and nothing else
    second.close()
    first.close()
    assert not gpu.memory


def test_a_link_of_another_shape_is_refused(release: dict, tmp_path: Path) -> None:
    first = TensorRtSession(write_engine(tmp_path, **release))
    other = tmp_path / "other"
    other.mkdir()
    changed = write_engine(other, **release, inputs=[{"name": "x", "shape": [2, 3], "dtype": "float32"}])
    with pytest.raises(ValueError, match=r"takes 'x' as float32\[2, 3\], output 'y' is float32\[1, 3\]"):
        TensorRtSession(changed, linked={"x": first.device_tensor("y")})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "10.2.0"}, r"built by tensorrt 10\.2\.0, here is 10\.3\.0"),
        ({"targets": ["Orin, sm_87"]}, "built for Orin, sm_87, here is Fake 4090, sm_89"),
        ({"sha256": "1" * 64}, "SHA-256 .* says 111111111111"),
        ({"format": 7}, "format 7"),
        ({"inputs": []}, r"tensors \['x', 'y'\], the file beside it says \['y'\]"),
    ],
)
def test_engines_for_something_else_are_refused(
    changes: dict, message: str, gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(API["10.3.0"], gpu))
    with pytest.raises(EngineMismatch, match=message):
        TensorRtSession(write_engine(tmp_path, **changes))


def test_without_a_gpu_tensorrt_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "bindings", lambda: FakeCuda(devices=0))
    monkeypatch.setattr(subject, "load_tensorrt", lambda _: pytest.fail("TensorRT was touched"))
    with pytest.raises(NoDevice, match=r"no GPU.*onnxruntime or openvino"):
        TensorRtSession(write_engine(tmp_path))


def test_without_the_bindings_the_error_says_how_to_get_them(
    mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(NoDevice, match=r"CUDAExecutionProvider needs .* pip install 'spatial_vla\[cuda\]'"):
        OnnxRuntimeSession(mixed, provider="cuda")


def test_without_tensorrt_the_error_says_how_to_get_it(gpu: FakeCuda, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(RuntimeError, match=r"built by tensorrt, which is not installed: on Jetson apt-get"):
        TensorRtSession(write_engine(tmp_path))


def test_an_engine_without_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.engine").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"a\.engine\.json; build engines with export/to_trt\.py"):
        EngineFile.read(tmp_path / "a.engine")


NEWER = {"is_stream_capturable", "num_compute_capabilities", "set_compute_capability"}
"""Names used only where they are there, or for TensorRT-RTX alone."""


@pytest.mark.parametrize("release", list(API))
@pytest.mark.parametrize(
    "source", ["export/to_trt.py", "ros_ws/src/spatial_vla/spatial_vla/runtime/tensorrt.py"]
)
def test_every_name_used_is_in_every_release(release: str, source: str) -> None:
    def names(name: str) -> set[str]:
        return {attribute for attributes in API[name]["classes"].values() for attribute in attributes}

    known = set().union(*map(names, API))
    tree = ast.parse((ROOT / source).read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & known
    assert len(used) > 5
    assert not used - names(release) - NEWER - {"update"}  # of hashlib


@pytest.mark.parametrize("release", FULL)
def test_weak_typing_is_never_asked_for(release: str) -> None:
    text = (ROOT / "export/to_trt.py").read_text()
    assert "BuilderFlag.FP16" not in text and "STRONGLY_TYPED" in text
    assert "STRONGLY_TYPED" in API[release]["classes"]["NetworkDefinitionCreationFlag"]
