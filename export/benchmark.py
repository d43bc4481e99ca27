"""How fast is every session of this machine? Latency beside PyTorch and beside the floor, in one run.

    python export/benchmark.py policy spa-base spa-large --threads 2
    python export/benchmark.py runs/bundle --int8 data/demonstrations

The sessions take turns, run by run, so that what slows the machine slows all of them. Each row says how far its outputs
are from PyTorch in single precision. GPUs are timed with their own events where PyTorch runs on one.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import tyro
from checkpoints import Shape, read_checkpoint
from floors import Floor, floor_of, measured_rates
from observations import Chain, RecordedFrames, seeded, torch_session
from parity import Comparable
from quantise import quantise, quantise_weights
from spatial_models.session import TorchSession
from spatial_models.spa import (
    spa_vit_base_patch16,
    spa_vit_large_patch16,
    spa_vit_small_patch16,
    spa_vit_tiny_patch16,
)
from spatial_models.spa.stages import encoder_stage
from spatial_models.spatialvla.model import SpatialVla
from spatial_models.spatialvla.sizes import sized
from spatial_models.spatialvla.stages import spatialvla_stages
from spatial_models.stage import Stage
from spatial_vla.policy import default_bundle
from spatial_vla.report.environment import device, versions
from spatial_vla.runtime import Session, open_session, this_machine
from to_onnx import write_onnx
from verify import sessions_of

ROOT = Path(__file__).resolve().parents[1]
SPA = {
    "spa-tiny": spa_vit_tiny_patch16,
    "spa-small": spa_vit_small_patch16,
    "spa-base": spa_vit_base_patch16,
    "spa-large": spa_vit_large_patch16,
}


@dataclass
class Args:
    """Measure every session of this machine."""

    models: tyro.conf.Positional[tuple[str, ...]] = ("policy", "spa-base")
    """policy (the one that ships), a checkpoint, or with random weights spa-tiny, spa-small, spa-base, spa-large,
    spatialvla-small (306 M)"""
    runs: int = 30
    """measured runs of each session"""
    warmup: int = 3
    """runs before that"""
    threads: int = 2
    """threads of each session"""
    int8: Path | None = None
    """recorded demonstrations that calibrate 8-bit sessions; without, none is measured"""
    cuda: bool = False
    """measure PyTorch in bfloat16 on the GPU too"""
    output: Path = ROOT / "benchmarks" / "results" / "runtime.json"
    """file for the figures"""


def stages_of(model: str) -> tuple[dict[str, Stage], Any]:
    """Single-precision stages, and the checkpoint they are from, None for random weights."""
    if model in SPA:
        torch.manual_seed(0)
        return encoder_stage(SPA[model]()), None
    if model == "spatialvla-small":
        torch.manual_seed(0)
        small = SpatialVla(sized(512, 6, 288, 6, "float32")).eval()
        return spatialvla_stages(small, (4096, 4096, 2)), None
    checkpoint = read_checkpoint(str(default_bundle()) if model == "policy" else model, Shape())
    return checkpoint.stages("fp32", 0), checkpoint


def candidates(
    name: str, stage: Stage, folder: Path, args: Args, frames: RecordedFrames | None
) -> dict[str, Session]:
    """Every session of a stage, by name."""
    path = folder / f"{name}.onnx"
    write_onnx(stage, path)
    found: dict[str, Session] = {"torch": torch_session(stage)}
    inputs, outputs = stage.examples, stage.outputs
    found["torch-bf16"] = TorchSession(stage.module, inputs, outputs, dtype=torch.bfloat16)
    kinds = sessions_of(this_machine(), folder)
    for kind in kinds:
        found[kind], _ = open_session(path, kind, threads=args.threads)
    if frames is not None:
        small = folder / f"{name}-int8.onnx"
        small.write_bytes(path.read_bytes())
        quantise(small, frames.take(name, 32))
        for kind in kinds:
            if not kind.endswith("bf16"):
                found[f"{kind}-int8"], _ = open_session(small, kind, threads=args.threads)
    if name == "decode_step":
        for bits in (8, 4):
            small = folder / f"{name}-w{bits}.onnx"
            small.write_bytes(path.read_bytes())
            quantise_weights(small, bits)
            found[f"onnxruntime-w{bits}"], _ = open_session(small, "onnxruntime", threads=args.threads)
    return found


def in_a_row(opened: dict[str, dict[str, Session]]) -> dict[str, Chain]:
    """Encoder and decoder on the same kind of session."""
    return {kind: Chain(session, opened["decoder"][kind]) for kind, session in opened["encoder"].items()}


def whole_inputs(stages: dict[str, Stage], frames: RecordedFrames | None) -> list[dict[str, np.ndarray]]:
    """What encoder and decoder together need."""
    if frames:
        return list(frames.whole(8, 1))
    pairs = zip(seeded(stages["encoder"], 8), seeded(stages["decoder"], 8), strict=True)
    return [{**image, **{k: v for k, v in rest.items() if k != "features"}} for image, rest in pairs]


def measure(
    sessions: Mapping[str, Comparable], inputs: list[dict[str, np.ndarray]], args: Args
) -> dict[str, Any]:
    """Latency and distance from PyTorch of each session; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in sessions}
    dots: dict[str, np.ndarray] = {name: np.zeros(3) for name in sessions}
    for turn in range(args.warmup + args.runs):
        given = inputs[turn % len(inputs)]
        expected: np.ndarray | None = None
        for name, session in sessions.items():
            start = time.perf_counter()
            out = session.run(given)
            taken[name].append(1e3 * (time.perf_counter() - start))
            first = next(v for v in out.values() if v.dtype.kind == "f").ravel().astype(np.float64)
            expected = first.copy() if expected is None else expected
            dots[name] += [expected @ first, expected @ expected, first @ first]
    eager = float(np.median(taken["torch"][args.warmup :]))
    rows = {}
    for name, session in sessions.items():
        times, dot = np.array(taken[name][args.warmup :]), dots[name]
        rows[name] = {
            "device": session.device,
            "median_ms": float(np.median(times)),
            "p99_ms": float(np.percentile(times, 99)),
            "best_ms": float(times.min()),
            "per_s": 1e3 / float(np.median(times)),
            "times_torch": eager / float(np.median(times)),
            "cosine": float(dot[0] / np.sqrt(dot[1] * dot[2])),
        }
    return rows


def on_cuda(stage: Stage, runs: int) -> dict[str, Any]:
    """PyTorch on the GPU in bfloat16: eager, and as one CUDA graph; timed by the GPU's events."""
    module = stage.module.cuda().eval()
    inputs = [tensor.cuda() for tensor in stage.examples.values()]

    def run() -> Any:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            return module(*inputs)

    for _ in range(5):
        run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    rows = {"torch-cuda-bf16": _events(run, runs), "torch-cuda-bf16-graph": _events(graph.replay, runs)}
    stage.module.cpu()
    return rows


def _events(run: Callable[[], Any], runs: int) -> dict[str, Any]:
    times = []
    for _ in range(runs):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return {
        "device": torch.cuda.get_device_name(),
        "median_ms": float(np.median(times)),
        "p99_ms": float(np.percentile(times, 99)),
        "best_ms": float(np.min(times)),
        "clocks": _clocks(),
    }


def _clocks() -> str:
    query = ["nvidia-smi", "--query-gpu=clocks.sm,clocks.mem", "--format=csv,noheader"]
    done = subprocess.run(query, check=False, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip()


def main(args: Args) -> None:
    """Measure, print a table and write the figures."""
    torch.set_num_threads(args.threads)
    rates = measured_rates(args.threads)
    found: dict[str, Any] = {}
    for model in args.models:
        stages, checkpoint = stages_of(model)
        frames = None
        if args.int8 is not None and checkpoint is not None:
            frames = RecordedFrames(args.int8, checkpoint, stages)
        with TemporaryDirectory() as folder:
            opened = {
                name: candidates(name, stage, Path(folder), args, frames) for name, stage in stages.items()
            }
            for name, stage in stages.items():
                inputs = list(frames.take(name, 8, 1) if frames else seeded(stage, 8))
                rows = measure(opened[name], inputs, args)
                floor = floor_of(stage, Path(folder) / f"{name}.onnx")
                if args.cuda:
                    rows |= on_cuda(stage, args.runs)
                found[f"{model} {name}"] = {"floor": asdict(floor), "sessions": rows}
                print_rows(f"{model} {name}", rows, floor, rates)
            if {"encoder", "decoder"} <= set(stages):
                rows = measure(in_a_row(opened), whole_inputs(stages, frames), args)
                found[f"{model} image to tokens"] = {"sessions": rows}
                print_rows(f"{model} image to tokens", rows, None, rates)
    where = {**device(), "threads": args.threads, "gflops_fp32": rates[0], "gb_per_s": rates[1]}
    configuration = {
        k: str(v) if isinstance(v, Path) else v for k, v in asdict(args).items() if k != "output"
    }
    made_with = versions() | {"torch": torch.__version__}
    figures = {"stages": found, "configuration": configuration, "device": where, "versions": made_with}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(figures, indent=1) + "\n")


def print_rows(title: str, rows: dict[str, Any], floor: Floor | None, rates: tuple[float, float]) -> None:
    """A table of one stage, or of several in a row."""
    print(f"\n{title}")
    if floor:
        least = floor.milliseconds(*rates)
        print(f"{floor.gflop:.2f} GFLOP, {floor.megabytes:.0f} MB; floor in single precision {least:.1f} ms")
    print(f"{'session':<24}{'median ms':>11}{'p99 ms':>9}{'best ms':>9}{'x torch':>9}{'1 - cosine':>12}")
    for name, row in rows.items():
        times, cosine = row.get("times_torch", float("nan")), 1 - row.get("cosine", float("nan"))
        print(
            f"{name:<24}{row['median_ms']:>11.2f}{row['p99_ms']:>9.2f}{row['best_ms']:>9.2f}{times:>9.2f}{cosine:>12.1e}"
        )


if __name__ == "__main__":
    main(tyro.cli(Args))
