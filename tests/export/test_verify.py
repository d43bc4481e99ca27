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


@pytest.fixture(scope="module")
def full_image(tmp_path_factory) -> Path:
    """A trained policy with images of the size that recordings have points for."""
    shipped = read_manifest(default_bundle())
    config = replace(CONFIG, image_size=shipped.image_size)  # points of recorded frames are for its patches
    folder = tmp_path_factory.mktemp("full_image")
    torch.manual_seed(0)
    policy = SpatialPolicy(config, shipped.action_grid(), len(shipped.vocabulary()))
    write_policy(policy, config, shipped.action_grid(), shipped.vocabulary(), folder)
    return folder


def test_every_session_is_compared_alone_and_in_a_row(full_image: Path, frames: Path, tmp_path: Path) -> None:
    folder = export(ExportArgs(str(full_image), tmp_path / "bundle", observations=2))
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


def test_8_bits_are_calibrated_with_frames_and_compared(
    full_image: Path, frames: Path, tmp_path: Path
) -> None:
    out = export(
        ExportArgs(
            str(full_image),
            tmp_path / "int8",
            precision="int8",
            frames=frames,
            calibration=8,
            stage="encoder",
        )
    )
    graph = onnx.load(out / "encoder.onnx").graph
    made = {name: node for node in graph.node for name in node.output}
    products = [node for node in graph.node if node.op_type == "MatMul"]
    eight = [n for n in products if all(made[i].op_type == "DequantizeLinear" for i in n.input if i in made)]
    kept = [
        n for n in products if not any(made[i].op_type == "DequantizeLinear" for i in n.input if i in made)
    ]
    assert len(eight) >= 8 and len(eight) + len(kept) == len(
        products
    )  # two layers; those of attention are kept
    assert len(kept) >= 4
    row = json.loads((out / "manifest.json").read_text())["parity"][0]
    assert row["precision"] == "int8" and row["ready"] and 0.99 < row["cosine"] < 1.0
