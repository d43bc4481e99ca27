"""Export a checkpoint to ONNX files with the manifest that binds them.

    python export/to_onnx.py runs/policy --out ros_ws/src/spatial_vla/spatial_vla/policy/weights
    python export/to_onnx.py spa-b.safetensors --precision fp16 --out runs/spa-b
    python export/to_onnx.py SpatialVLA-4B-224-PT --stage decode_step --precision bf16 --out runs/spatialvla
    python export/to_onnx.py SpatialVLA-4B-224-PT --stage decode_step --precision w4 --out runs/spatialvla-w4
    python export/to_onnx.py runs/policy --precision int8 --frames data/demonstrations --out runs/bundle-int8

Opset 20 and static shapes, so that ONNX Runtime, OpenVINO and every TensorRT from 10.3 take the files. They are written
aside, checked against PyTorch, and renamed into place only when they are good enough.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
import tyro
from checkpoints import DTYPES, Checkpoint, Shape, manifest_fields, read_checkpoint
from observations import RecordedFrames, seeded, torch_session
from parity import Parity, compare, table
from quantise import LIMIT, quantise, quantise_weights
from spatial_models.stage import Stage
from spatial_vla.policy.manifest import MANIFEST, check_fields
from spatial_vla.runtime import SINGLE_PRECISION, OnnxRuntimeSession

OPSET = 20


@dataclass
class ExportArgs:
    """Export a checkpoint to ONNX."""

    checkpoint: tyro.conf.Positional[str]
    """folder of a trained policy, a bundle or a SpatialVLA, or file or Hub id of SPA's weights"""
    out: Path = Path("runs/bundle")
    """folder to write; replaced only when the new one has passed its check"""
    name: str = ""
    """name for people; "spatial-vla-tabletop" or that of the checkpoint if empty"""
    stage: Literal["all", "encoder", "decoder", "depth", "vision", "prefill", "decode_step"] = "all"
    """part to export; a bundle that the nodes load needs all of them"""
    precision: Literal["fp32", "fp16", "bf16", "int8", "w8", "w4"] = "fp32"
    """of the weights; tensors at the border stay in fp32. w8 and w4: 8 or 4 bits for weights alone, on ONNX Runtime"""
    frames: Path | None = None
    """recorded demonstrations: calibrates int8, and the check uses them too"""
    observations: int = 20
    """observations of the check"""
    calibration: int = 64
    """frames that calibrate int8"""
    camera: tuple[float, float, float, float, int, int] | None = None
    """what the training cameras were like: least and greatest horizontal field of view [deg], least and greatest
    width by height, and least width and height [px]"""
    shape: Shape = field(default_factory=Shape)
    """what the checkpoint leaves open"""


def export(args: ExportArgs) -> Path:
    """Write the folder and return it.

    Raises:
        RuntimeError: the files are too far from PyTorch. ValueError: the checkpoint has no such stage.
    """
    checkpoint = read_checkpoint(args.checkpoint, args.shape)
    exact = checkpoint.stages("fp32", 0)
    if args.stage != "all" and args.stage not in exact:
        raise ValueError(f"no stage {args.stage!r} in a {checkpoint.kind}; there are all, {', '.join(exact)}")
    if args.precision == "int8" and args.frames is None:
        raise ValueError(
            "int8 is calibrated with recorded frames: give --frames, a folder of spatial-vla-record"
        )
    chosen = list(exact) if args.stage == "all" else [args.stage]
    aside = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    rows = write_stages(args, checkpoint, exact, chosen, aside)
    print(table(rows))
    if bad := [row.stage for row in rows if not row.ready]:
        raise RuntimeError(
            f"{', '.join(bad)} in {args.precision} is too far from PyTorch; {aside} is left to look at"
        )
    for path in checkpoint.weights:
        shutil.copyfile(path, aside / path.name)
    fields = manifest_of(args, checkpoint, {name: exact[name] for name in chosen}, rows, aside)
    (aside / MANIFEST).write_text(json.dumps(fields, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(args.out, ignore_errors=True)
    aside.rename(args.out)
    return args.out


def write_stages(
    args: ExportArgs, checkpoint: Checkpoint, exact: dict[str, Stage], chosen: list[str], folder: Path
) -> list[Parity]:
    """Write each stage's ONNX file and compare it with PyTorch in single precision."""
    frames = RecordedFrames(args.frames, checkpoint, exact) if args.frames else None
    stages = checkpoint.stages(args.precision, 0) if args.precision in ("fp16", "bf16") else exact
    grid = _grid(checkpoint)
    rows = []
    for name in chosen:
        path = folder / f"{name}.onnx"
        write_onnx(stages[name], path)
        if args.precision == "int8":
            assert frames is not None
            quantise(path, frames.take(name, args.calibration))
        if args.precision in ("w8", "w4"):
            quantise_weights(path, 8 if args.precision == "w8" else 4)
        inputs = frames.take(name, args.observations, 1) if frames else seeded(exact[name], args.observations)
        # ONNX Runtime has no bfloat16 on the CPU: there PyTorch in bfloat16 stands for the file.
        session = torch_session(stages[name]) if args.precision == "bf16" else OnnxRuntimeSession(path)
        kind = "torch" if args.precision == "bf16" else "onnxruntime"
        options: dict[str, Any] = {"stage": name, "kind": kind, "precision": args.precision, "grid": grid}
        rows.append(compare(torch_session(exact[name]), session, inputs, **options))
    return rows


def write_onnx(stage: Stage, path: Path) -> None:
    """Write one stage and see that the file is valid."""
    program = torch.onnx.export(
        stage.module,
        tuple(stage.examples.values()),
        input_names=list(stage.examples),
        output_names=list(stage.outputs),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    for value in program.model.graph.all_nodes():  # stack traces: paths of this machine, a tenth of the file
        value.metadata_props.clear()
    if stage.single_precision:
        program.model.metadata_props[SINGLE_PRECISION] = "yes"
    size = sum(p.numel() * p.element_size() for p in stage.module.parameters())
    program.save(str(path), external_data=size > LIMIT)
    # By path: the checker then follows weights that lie beside the graph.
    onnx.checker.check_model(str(path), full_check=True)


def manifest_of(
    args: ExportArgs, checkpoint: Checkpoint, stages: dict[str, Stage], rows: list[Parity], folder: Path
) -> dict[str, Any]:
    """The manifest, checked against its schema."""
    more: dict[str, Any] = {"parity": [row.row() for row in rows]}
    if args.camera is not None:
        low, high, narrow, wide, *size = args.camera
        more["camera"] = {"fov_deg": [low, high], "aspect": [narrow, wide], "size": size}
    if checkpoint.kind != "policy":
        more["stages"] = {
            name: {"inputs": list(s.examples), "outputs": list(s.outputs)} for name, s in stages.items()
        }
    usual = "spatial-vla-tabletop" if checkpoint.kind == "policy" else Path(args.checkpoint).stem
    fields = manifest_fields(checkpoint, args.name or usual, args.precision, folder, **more)
    fields["trained"] |= {"dtype": str(DTYPES.get(args.precision, np.int8))}
    check_fields(fields, str(folder / MANIFEST))
    return fields


def _grid(checkpoint: Checkpoint) -> Any:
    from spatial_vla.actions import ActionGrid

    return ActionGrid(**checkpoint.fields["grid"]) if "grid" in checkpoint.fields else None


if __name__ == "__main__":
    print(f"wrote {export(tyro.cli(ExportArgs))}")
