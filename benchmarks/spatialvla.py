"""How fast does SpatialVLA answer? Chunks and actions per second and memory, beside transformers' plain ``generate``.

    python benchmarks/spatialvla.py                                   # scaled down, for a CPU
    python benchmarks/spatialvla.py --full --device cuda --precision bf16 --batches 1 8

Plain is transformers' own PaliGemma on the same weights in memory and the same image features: its greedy ``generate``,
13 tokens (a chunk and its end) over the whole vocabulary. Ours is the constrained decoder, 12 tokens; compiled, the
same with its passes fused by torch.compile before anything is measured (on a GPU beside CUDA graphs). All answer from
images and points, and start with the same vision tower. Versions take turns request by request in one run, so that what
slows the machine slows all; ratios compare medians. Peak memory is measured in a fresh process each, beyond what
weights and inputs take, and not for compiled passes. The vocabulary is the released one, also when scaled down.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from spatial_models.spatialvla.configuration import SpatialVlaConfig
from spatial_models.spatialvla.generate import ActionDecoder, generate_freely
from spatial_models.spatialvla.model import Sequences, SpatialVla
from spatial_models.spatialvla.paligemma import plain_paligemma
from spatial_models.spatialvla.sizes import sized
from spatial_vla.report.environment import device as processor
from spatial_vla.report.environment import versions
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20
CELLS, STEPS = (4096, 4096, 2), 4
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Answer = Callable[[], Any]


@dataclass
class Args:
    """Measure SpatialVLA's decoding beside plain generate."""

    batches: tuple[int, ...] = (1, 4)
    """requests answered at once"""
    width: int = 512
    """width of the scaled-down text model"""
    layers: int = 6
    """layers of the scaled-down text model"""
    vision_width: int = 288
    """width of the scaled-down SigLIP"""
    vision_layers: int = 6
    """layers of the scaled-down SigLIP"""
    full: bool = False
    """the released sizes instead, 3.7 billion weights, without the depth network"""
    text_tokens: int = 16
    """tokens of the instruction"""
    repeats: int = 12
    """measured answers of every version"""
    warmup: int = 2
    """answers before that"""
    precision: Literal["fp32", "bf16"] = "fp32"
    """type of the weights"""
    device: str = "cpu"
    """cpu or cuda"""
    compile: bool = True
    """measure with torch.compile too; compiling takes minutes"""
    memory: bool = True
    """measure peak memory too, each in a fresh process"""
    threads: int = 1
    """threads on the CPU; 0 leaves PyTorch's choice"""
    output: Path = ROOT / "benchmarks" / "results" / "spatialvla.json"
    """file for the figures"""


def configuration(args: Args) -> SpatialVlaConfig:
    """Released sizes, or fewer layers of smaller width."""
    dtype = {"fp32": "float32", "bf16": "bfloat16"}[args.precision]
    if args.full:
        return sized(dtype=dtype)
    return sized(args.width, args.layers, args.vision_width, args.vision_layers, dtype)


def build(args: Args) -> SpatialVla:
    """The network with random weights."""
    if args.threads:
        torch.set_num_threads(args.threads)
    kind = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[args.precision])
    try:
        with torch.device(args.device):
            return SpatialVla(configuration(args)).eval()
    finally:
        torch.set_default_dtype(kind)


def requests(model: SpatialVla, batch: int, text_tokens: int) -> tuple[Sequences, Tensor, Tensor]:
    """Random images, points and instructions."""
    config, device = model.config, model.device
    g = torch.Generator().manual_seed(0)
    patches, side = config.image_tokens, config.image_size
    ids = torch.full((batch, patches + text_tokens), config.image_token)
    ids[:, patches:] = torch.randint(110, 256_000, (batch, text_tokens), generator=g)
    points = torch.randn(batch, patches, config.ego3d_cells**2, 3, generator=g) + torch.tensor([0, 0, 2.0])
    images = torch.rand(batch, 3, side, side, generator=g)
    return (
        Sequences(ids, torch.ones_like(ids, dtype=torch.bool)).to(device),
        images.to(device),
        points.to(device),
    )


def plain(model: SpatialVla, sequences: Sequences, images: Tensor, points: Tensor) -> Answer:
    """Transformers' own generate, given the image features of the same network."""
    reference = plain_paligemma(model)

    @torch.inference_mode()
    def answer() -> Tensor:
        features = BaseModelOutputWithPooling(pooler_output=model.image_features(images, points))
        return reference.generate(
            input_ids=sequences.ids,
            attention_mask=sequences.valid.long(),
            token_type_ids=torch.zeros_like(sequences.ids),
            mm_encoder_outputs={"image": features},
            min_new_tokens=3 * STEPS + 1,
            max_new_tokens=3 * STEPS + 1,
            do_sample=False,
            eos_token_id=1,
            pad_token_id=0,
        )

    return answer


def versions_of(args: Args, batch: int) -> tuple[SpatialVla, dict[str, Answer]]:
    """Every version, answering one batch of requests with one set of weights."""
    model = build(args)
    given = requests(model, batch, args.text_tokens)
    decoder = ActionDecoder(model, CELLS, STEPS)
    found: dict[str, Answer] = {
        "plain generate": plain(model, *given),
        "ours, whole vocabulary": lambda: generate_freely(model, *given, most=3 * STEPS + 1, end=-1),
        "ours": lambda: decoder(*given),
    }
    if args.compile:
        fused = ActionDecoder(model, CELLS, STEPS, compiled=True)
        found["ours, compiled"] = lambda: fused(*given)
    return model, found


def agree(model: SpatialVla, found: dict[str, Answer], precision: str) -> None:
    """Raise unless plain and ours over the whole vocabulary say the same; in bfloat16 near ties may differ."""
    ours = found["ours, whole vocabulary"]()
    theirs = found["plain generate"]()[:, -len(ours[0]) :].tolist()
    if precision == "fp32" and ours != theirs:
        raise RuntimeError(f"plain generate says {theirs}, ours {ours}")


def synchronise(device: str) -> None:
    """Wait for the accelerator."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(args: Args, batch: int) -> dict[str, np.ndarray]:
    """Time of every answer, by version; the versions take turns."""
    model, found = versions_of(args, batch)
    agree(model, found, args.precision)
    taken: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(args.warmup + args.repeats):
        for name, answer in found.items():
            synchronise(args.device)
            start = time.perf_counter()
            answer()
            synchronise(args.device)
            taken[name].append(time.perf_counter() - start)
    return {name: np.array(t[args.warmup :]) for name, t in taken.items()}


def peak_bytes(name: str, args: Args, batch: int) -> int:
    """Most memory that one version takes beyond weights and inputs; to be run in a process of its own."""
    _, found = versions_of(args, batch)
    if args.device.startswith("cuda"):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        found[name]()
        return torch.cuda.max_memory_allocated() - before
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    found[name]()
    return max(_resident("VmHWM") - before, 0)


def peak_mib(name: str, args: Args, batch: int) -> float | None:
    """:func:`peak_bytes` of a fresh process; None for compiled passes, where the compiler's own memory would count."""
    if "compiled" in name or not args.memory:
        return None
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(peak_bytes, name, args, batch).result() / MIB


def _resident(field: str) -> int:
    """A memory field of this process, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def figures_of(args: Args, batch: int) -> dict[str, Any]:
    """Figures of all versions at one batch size."""
    times = seconds(args, batch)
    print({name: f"{1e3 * np.median(taken):.0f} ms" for name, taken in times.items()}, flush=True)
    rows: dict[str, Any] = {}
    for name, taken in times.items():
        median = float(np.median(taken))
        rows[name] = {
            "chunks_per_s": batch / median,
            "actions_per_s": STEPS * batch / median,
            "median_ms": 1e3 * median,
            "p99_ms": 1e3 * float(np.percentile(taken, 99)),
            "speed_up": float(np.median(times["plain generate"])) / median,
            "peak_mib": peak_mib(name, args, batch),
        }
    return rows


def main(args: Args) -> None:
    """Measure, print a table and write the figures."""
    found = {str(batch): figures_of(args, batch) for batch in args.batches}
    where = {**processor(), "threads": str(args.threads or torch.get_num_threads())}
    if args.device.startswith("cuda"):
        where["accelerator"] = torch.cuda.get_device_name()
    with torch.device("meta"):
        weights = sum(p.numel() for p in SpatialVla(configuration(args)).parameters())
    figures = {
        "batches": found,
        "weights": weights,
        "configuration": {key: value for key, value in asdict(args).items() if key != "output"},
        "device": where,
        "versions": versions() | {"torch": torch.__version__},
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{weights / 1e6:.0f} M weights, {args.precision}, {args.device}")
    print(
        f"{'':<32}{'chunks/s':>9}{'actions/s':>10}{'median ms':>11}{'p99 ms':>9}{'speed-up':>9}{'peak MiB':>9}"
    )
    for batch, rows in found.items():
        for name, row in rows.items():
            print(
                f"{f'batch {batch}, {name}':<32}{row['chunks_per_s']:>9.2f}{row['actions_per_s']:>10.2f}"
                f"{row['median_ms']:>11.1f}{row['p99_ms']:>9.1f}{row['speed_up']:>9.2f}"
                f"{'-' if row['peak_mib'] is None else round(row['peak_mib']):>9}"
            )


if __name__ == "__main__":
    main(tyro.cli(Args))
