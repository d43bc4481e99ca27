"""Compare exported files with PyTorch on every session of this machine, and say which are good enough.

    python export/verify.py runs/bundle --frames data/demonstrations --write

``--write`` puts the result into the manifest: ``auto`` chooses bfloat16 only where it is good enough by that, and
a session found too far from PyTorch is refused by the nodes. Exits with 1 if any comparison fails.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro
from checkpoints import Shape, read_checkpoint
from observations import Chain, RecordedFrames, seeded, torch_session
from parity import Parity, compare, table
from spatial_vla.actions import ActionGrid
from spatial_vla.policy.manifest import MANIFEST, check_fields, read_fields
from spatial_vla.runtime import Machine, open_session, this_machine


@dataclass
class Args:
    """Compare exported files with PyTorch."""

    bundle: tyro.conf.Positional[Path]
    """folder that export/to_onnx.py wrote"""
    checkpoint: str = ""
    """what it was exported from; a policy's bundle holds its weights itself"""
    frames: Path | None = None
    """recorded demonstrations to compare on; seeded inputs if not given"""
    observations: int = 100
    """how many"""
    sessions: tuple[str, ...] = ()
    """kinds of session; all of this machine if none is named"""
    write: bool = False
    """put the result into the manifest"""
    shape: Shape = field(default_factory=Shape)
    """what the checkpoint leaves open, as for the export"""


def sessions_of(machine: Machine, folder: Path) -> list[str]:
    """The kinds that can run here."""
    found = ["onnxruntime"]
    if machine.openvino and machine.processor in ("x86_64", "AMD64"):
        found += ["openvino", *(["openvino-bf16"] if machine.bf16 else [])]
    if machine.gpu:
        found += ["onnxruntime-cuda"] if "CUDAExecutionProvider" in machine.providers else []
        found += ["tensorrt"] if machine.tensorrt and list(folder.glob("*.engine")) else []
    return found


def verify(args: Args) -> list[Parity]:
    """One comparison for each stage and session; on recorded frames one of a policy's stages in a row too."""
    fields = read_fields(args.bundle)
    if fields["kind"] != "policy" and not args.checkpoint:
        raise ValueError(f"{args.bundle} holds a {fields['kind']} without its weights; give --checkpoint")
    checkpoint = read_checkpoint(args.checkpoint or str(args.bundle), args.shape)
    exact = checkpoint.stages("fp32", 0)
    grid = ActionGrid(**fields["grid"]) if "grid" in fields else None
    frames = RecordedFrames(args.frames, checkpoint, exact) if args.frames else None
    paths = sorted(args.bundle.glob("*.onnx"))
    rows = []
    for kind in args.sessions or sessions_of(this_machine(), args.bundle):
        options: dict[str, Any] = {"kind": kind, "precision": fields["precision"], "grid": grid}
        sessions = {path.stem: open_session(path, kind)[0] for path in paths}
        for name, session in sessions.items():
            count = args.observations
            inputs = frames.take(name, count, 1) if frames else seeded(exact[name], count)
            rows.append(compare(torch_session(exact[name]), session, inputs, stage=name, **options))
        if frames and {"encoder", "decoder"} <= set(sessions):
            whole = Chain(*(torch_session(exact[name]) for name in ("encoder", "decoder")))
            found = Chain(sessions["encoder"], sessions["decoder"])
            inputs = frames.whole(args.observations, 1)
            rows.append(compare(whole, found, inputs, stage="both", **options))
        for session in sessions.values():
            session.close()
    if args.write:
        write(args.bundle, rows)
    return rows


def write(folder: Path, rows: list[Parity]) -> None:
    """Put comparisons into a manifest, in place of earlier ones of the same stage and session."""
    fields = read_fields(folder)
    new = {(row.stage, row.session): row.row() for row in rows}
    kept = [old for old in fields["parity"] if (old["stage"], old["session"]) not in new]
    fields["parity"] = [*kept, *new.values()]
    check_fields(fields, str(folder / MANIFEST))
    aside = folder / (MANIFEST + ".partial")
    aside.write_text(json.dumps(fields, indent=1, sort_keys=True) + "\n")
    aside.replace(folder / MANIFEST)


def main(args: Args) -> int:
    """0 if all is good enough."""
    rows = verify(args)
    print(table(rows))
    return 0 if all(row.ready for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
