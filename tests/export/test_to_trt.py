"""Engines, built for real by TensorRT-RTX where it is installed (it needs no GPU), and every refusal."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import onnx
import pytest
import to_trt
from onnx import TensorProto, helper
from spatial_vla.runtime import EngineFile
from tiny_models import ROOT
from to_trt import BuildError, Options, load_backend, make_engine

FOR_ALL = Options(targets=("SM86", "SM89"))


def add(path: Path, *, operator: str = "Add", shape: tuple = (1, 3), opset: int = 20) -> Path:
    value = helper.make_tensor_value_info
    outputs = [value("y", TensorProto.FLOAT, shape if operator == "Add" else None)]
    if operator == "NonZero":
        outputs = [value("y", TensorProto.INT64, None)]
    node = helper.make_node(operator, ["x", "x"] if operator == "Add" else ["x"], ["y"], name="the_node")
    graph = helper.make_graph([node], "g", [value("x", TensorProto.FLOAT, shape)], outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def rtx():
    pytest.importorskip("tensorrt_rtx", reason="optional: pip install 'spatial_vla[tensorrt-rtx]'")
    return load_backend("tensorrt_rtx")


@pytest.mark.parametrize("stage", ["encoder", "decoder"])
def test_the_policy_becomes_engines(rtx, bundle: Path, tmp_path: Path, stage: str) -> None:
    described = build(rtx, bundle / f"{stage}.onnx", tmp_path)
    assert described.precision == "fp32" and described.targets == ("sm_86", "sm_89")
    assert described.mismatch(rtx.__version__, "A card, sm_89") == ""
    assert "built for sm_86 or sm_89, here is Orin, sm_87" in described.mismatch(
        rtx.__version__, "Orin, sm_87"
    )


@pytest.mark.parametrize("stage", ["vision", "prefill", "decode_step"])
def test_spatialvla_becomes_engines(rtx, spatialvla: Path, tmp_path: Path, stage: str) -> None:
    build(rtx, spatialvla / f"{stage}.onnx", tmp_path)


def build(rtx, path: Path, out: Path) -> EngineFile:
    """Build, and see that names, shapes and types are those of the ONNX file."""
    engine = out / path.with_suffix(".engine").name
    make_engine(rtx, path, engine, FOR_ALL)
    described = EngineFile.read(engine)
    graph = onnx.load(path).graph
    kinds = {TensorProto.FLOAT: "float32", TensorProto.INT64: "int64", TensorProto.BOOL: "bool"}
    for values, specs in ((graph.input, described.inputs), (graph.output, described.outputs)):
        wanted = {
            (
                v.name,
                tuple(d.dim_value for d in v.type.tensor_type.shape.dim),
                kinds[v.type.tensor_type.elem_type],
            )
            for v in values
        }
        assert {(s.name, s.shape, s.dtype) for s in specs} == wanted
    assert described.onnx == sha256(path.read_bytes()).hexdigest()
    return described


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_becomes_engines(rtx, spa_weights: Path, tmp_path: Path, precision: str) -> None:
    from checkpoints import Shape
    from to_onnx import ExportArgs, export

    args = ExportArgs(
        str(spa_weights), tmp_path / "h", precision=precision, observations=2, shape=Shape(image_size=32)
    )
    assert build(rtx, export(args) / "encoder.onnx", tmp_path).precision == precision


def test_open_dimensions_want_a_profile(rtx, tmp_path: Path) -> None:
    path = add(tmp_path / "open.onnx", shape=("n", 3))
    with pytest.raises(BuildError, match=r"open dimensions are \['x'\], profiles are given for \[\]"):
        make_engine(rtx, path, tmp_path / "a.engine", FOR_ALL)
    upside_down = Options(targets=("SM89",), profiles={"x": ((4, 3), (2, 3), (8, 3))})
    with pytest.raises(BuildError, match="smallest <= usual <= largest"):
        make_engine(rtx, path, tmp_path / "a.engine", upside_down)
    good = Options(targets=("SM89",), profiles={"x": ((1, 3), (2, 3), (8, 3))})
    assert make_engine(rtx, path, tmp_path / "a.engine", good)["inputs"][0]["shape"] == [-1, 3]


def test_an_engine_that_is_there_stays_until_the_next_is_whole(rtx, tmp_path: Path) -> None:
    engine = tmp_path / "a.engine"
    make_engine(rtx, add(tmp_path / "a.onnx"), engine, FOR_ALL)
    before = engine.read_bytes()
    with pytest.raises(BuildError):
        make_engine(rtx, add(tmp_path / "a.onnx", operator="NonZero"), engine, FOR_ALL)
    assert engine.read_bytes() == before
    EngineFile.read(engine)


def test_what_the_parser_refuses_is_named(rtx, tmp_path: Path) -> None:
    path = add(tmp_path / "n.onnx", operator="NonZero")
    with pytest.raises(BuildError, match="NonZero 'the_node'"):
        make_engine(rtx, path, tmp_path / "n.engine", Options(targets=("SM89",), check_operators=False))


def test_unknown_targets_are_refused(rtx, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"does not build for \['SM90'\]; it knows"):
        make_engine(rtx, add(tmp_path / "a.onnx"), tmp_path / "a.engine", Options(targets=("SM90",)))


def test_without_gpu_and_target_the_way_out_is_named(rtx, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(to_trt, "find_gpu", lambda: ("", "the driver is not installed"))
    with pytest.raises(
        BuildError, match="driver is not installed; to build for other machines give --compute"
    ):
        make_engine(rtx, add(tmp_path / "a.onnx"), tmp_path / "a.engine", Options())


def test_operators_are_checked_before_the_build(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"NonZero \(first at node 'the_node'\).*replacements"):
        to_trt.check_operators(add(tmp_path / "n.onnx", operator="NonZero"))
    with pytest.raises(BuildError, match=r"opset 23; TensorRT 10\.3 reads 20"):
        to_trt.check_operators(add(tmp_path / "new.onnx", opset=23))


def test_no_tensorrt_says_how_to_get_it(monkeypatch) -> None:
    for name in to_trt.BACKENDS:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BuildError, match=r"tensorrt and tensorrt_rtx not installed.*apt-get"):
        load_backend("auto")


@pytest.mark.parametrize("text", ["x", "x=1x3", "=1:1:1", "x=1x3:2x3:4", "x=a:b:c"])
def test_profiles_that_are_none_are_refused(text: str, capsys) -> None:
    with pytest.raises(SystemExit):
        to_trt.main(["a.onnx", "--profile", text])
    assert "expected NAME=SMALLEST:USUAL:LARGEST" in capsys.readouterr().err


def test_the_program_needs_nothing_but_tensorrt(rtx, tmp_path: Path) -> None:
    path = add(tmp_path / "a.onnx")
    block = "import sys; sys.modules.update(dict.fromkeys(('torch', 'onnx', 'spatial_vla'))); import runpy;"
    run = f"sys.argv = ['to_trt', {str(path)!r}, '--compute-capability', 'SM89']; "
    code = block + run + f"runpy.run_path({str(ROOT / 'export/to_trt.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "a.engine.json").read_text())["targets"] == ["sm_89"]
    assert "operators are not checked" in done.stderr
