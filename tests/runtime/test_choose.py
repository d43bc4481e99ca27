"""``auto`` takes the best session that manifest and machine allow, and says why."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from spatial_vla.runtime import KINDS, Machine, choose, open_session, this_machine
from test_tensorrt import write_engine

LAPTOP = Machine(
    processor="x86_64",
    gpu="",
    no_gpu="no driver",
    providers=("CPUExecutionProvider",),
    openvino=True,
    bf16=True,
    tensorrt=(),
)
DESKTOP = replace(LAPTOP, gpu="Fake 4090, sm_89", no_gpu="", providers=("CUDAExecutionProvider",))


def test_the_fastest_that_is_accurate_enough(mixed: Path) -> None:
    assert choose(mixed, machine=LAPTOP).kind == "openvino"
    choice = choose(mixed, ["openvino-bf16"], LAPTOP)
    assert choice.kind == "openvino-bf16"
    assert "manifest" in choice.reason and "no GPU (no driver)" in choice.reason
    assert choose(mixed, ["openvino-bf16"], replace(LAPTOP, bf16=False)).kind == "openvino"


def test_onnx_runtime_where_there_is_nothing_else(mixed: Path) -> None:
    choice = choose(mixed, machine=replace(LAPTOP, openvino=False))
    assert choice.kind == "onnxruntime" and "OpenVINO is not installed" in choice.reason
    arm = choose(mixed, machine=replace(LAPTOP, processor="aarch64"))
    assert arm.kind == "onnxruntime" and "no OpenVINO on aarch64" in arm.reason


def test_a_gpu_without_engine_uses_cuda_and_says_how_to_do_better(mixed: Path) -> None:
    choice = choose(mixed, machine=DESKTOP)
    assert choice.kind == "onnxruntime-cuda" and "to_trt.py builds one" in choice.reason


def test_an_engine_for_this_gpu_is_taken_and_another_is_not(tmp_path: Path, monkeypatch) -> None:
    write_engine(tmp_path)
    stage = tmp_path / "double.onnx"
    monkeypatch.setattr(sys.modules[choose.__module__], "_version", lambda _: "10.3.0")
    machine = replace(DESKTOP, tensorrt=("tensorrt",))
    assert choose(stage, machine=machine).kind == "tensorrt"
    other = choose(stage, machine=replace(machine, gpu="Orin, sm_87"))
    assert other.kind == "onnxruntime-cuda" and "built for Fake 4090, sm_89, here is Orin" in other.reason
    absent = choose(stage, machine=replace(machine, tensorrt=()))
    assert absent.kind == "onnxruntime-cuda" and "tensorrt is not installed" in absent.reason


def test_what_is_asked_for_is_never_replaced(mixed: Path) -> None:
    session, choice = open_session(mixed, "onnxruntime")
    assert "onnxruntime" in session.device and choice.reason == "asked for by name"
    with pytest.raises(ValueError, match=f"no session 'tensorflow'; there are {', '.join(KINDS)}"):
        open_session(mixed, "tensorflow")
    if not this_machine().gpu:
        with pytest.raises(RuntimeError, match="NVIDIA GPU"):
            open_session(mixed, "onnxruntime-cuda")


def test_auto_opens_what_it_chose(mixed: Path) -> None:
    session, choice = open_session(mixed)
    assert choice.kind.split("-")[0] in session.device
    session.close()
