"""Comparison of what was exported with PyTorch, on recorded frames."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper
from spatial_models.policy import SpatialPolicy
from spatial_models.training.bundle import write_policy
from spatial_vla.policy import default_bundle, read_manifest
from spatial_vla.policy.manifest import sha256
from spatial_vla_sim.record import RecordArgs, record
from tiny_models import CONFIG
from to_onnx import ExportArgs, export
from verify import Args, main


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("frames") / "recording"
    record(RecordArgs(out, shards=1, scenes=1, frames=12))
    return out


def test_every_session_is_compared_alone_and_in_a_row(frames: Path, tmp_path: Path) -> None:
    shipped = read_manifest(default_bundle())
    config = replace(CONFIG, image_size=shipped.image_size)  # points of recorded frames are for its patches
    torch.manual_seed(0)
    policy = SpatialPolicy(config, shipped.action_grid(), len(shipped.vocabulary()))
    write_policy(policy, config, shipped.action_grid(), shipped.vocabulary(), tmp_path / "trained")
    folder = export(ExportArgs(str(tmp_path / "trained"), tmp_path / "bundle", observations=2))
    assert main(Args(folder, frames=frames, observations=10, sessions=("onnxruntime",), write=True)) == 0
    rows = json.loads((folder / "manifest.json").read_text())["parity"]
    assert [(r["stage"], r["session"], r["observations"], r["ready"]) for r in rows] == [
        (stage, "onnxruntime", 10, True) for stage in ("decoder", "encoder", "both")
    ]
    assert rows[2]["token_agreement"] == 1.0 and rows[2]["translation_mm"] == 0.0
    assert read_manifest(folder).ready == ("onnxruntime",)


def test_a_file_too_far_from_pytorch_fails_and_the_manifest_says_so(bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bundle, tmp_path / "bundle")
    model = onnx.load(folder / "encoder.onnx")
    weights = next(i for i in model.graph.initializer if len(i.dims) == 2)
    weights.CopyFrom(numpy_helper.from_array(1.5 * numpy_helper.to_array(weights), weights.name))
    onnx.save(model, folder / "encoder.onnx")
    fields = json.loads((folder / "manifest.json").read_text())
    fields["files"]["encoder.onnx"] = sha256(folder / "encoder.onnx")
    (folder / "manifest.json").write_text(json.dumps(fields))
    assert main(Args(folder, observations=3, sessions=("onnxruntime",), write=True)) == 1
    fields = json.loads((folder / "manifest.json").read_text())
    assert {r["stage"]: r["ready"] for r in fields["parity"]} == {"decoder": True, "encoder": False}


def test_8_bits_are_calibrated_with_frames_and_compared(trained: Path, frames: Path, tmp_path: Path) -> None:
    out = export(
        ExportArgs(
            str(trained), tmp_path / "int8", precision="int8", frames=frames, calibration=8, stage="encoder"
        )
    )
    graph = onnx.load(out / "encoder.onnx").graph
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) > 4
    row = json.loads((out / "manifest.json").read_text())["parity"][0]
    assert row["precision"] == "int8" and row["ready"] and 0.99 < row["cosine"] < 1.0
