"""How fast is SPA's encoder? Images per second and memory, beside a straightforward eager version of the same weights.

    python benchmarks/spa_encoder.py --variants base small --batch 8
    python benchmarks/spa_encoder.py --device cuda --precision bf16 --batch 256 --compile

The straightforward version is written here: attention as two products and an explicit softmax, GELU from its formula.
All versions take turns batch by batch in one run, so that what slows the machine slows all of them; the ratios compare
medians. Peak memory is measured in a fresh process each, beyond what weights and inputs take.
"""

from __future__ import annotations

import json
import math
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
from spatial_models.spa import (
    SpaEncoder,
    spa_vit_base_patch16,
    spa_vit_large_patch16,
    spa_vit_small_patch16,
    spa_vit_tiny_patch16,
)
from spatial_models.spa.vit import Block
from spatial_vla.report.environment import device as processor
from spatial_vla.report.environment import versions
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20

VARIANTS = {
    "tiny": spa_vit_tiny_patch16,
    "small": spa_vit_small_patch16,
    "base": spa_vit_base_patch16,
    "large": spa_vit_large_patch16,
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Variant = Literal["tiny", "small", "base", "large"]
Forward = Callable[[Tensor], Tensor]


@dataclass
class Args:
    """Measure the encoder beside a straightforward version."""

    variants: tuple[Variant, ...] = ("base", "small")
    """encoders to measure"""
    batch: int = 8
    """images at once"""
    repeats: int = 30
    """measured batches of every version"""
    warmup: int = 3
    """batches before that"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """type of the weights"""
    device: str = "cpu"
    """cpu or cuda"""
    threads: int = 0
    """threads on the CPU; 0 leaves PyTorch's choice"""
    compile: bool = False
    """measure torch.compile too"""
    output: Path = ROOT / "benchmarks" / "results" / "spa_encoder.json"
    """file for the figures"""


def explicit_gelu(x: Tensor) -> Tensor:
    """The exact GELU, from its formula."""
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def explicit_block(block: Block, x: Tensor) -> Tensor:
    """A pre-norm block with the scores and chances of all pairs of tokens in memory."""
    n, t, d = x.shape
    heads = block.attn.heads
    qkv = block.attn.qkv(block.norm1(x)).reshape(n, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    q, k, v = qkv[0], qkv[1], qkv[2]
    scores = (q @ k.transpose(-2, -1)) * (d // heads) ** -0.5
    mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(n, t, d)
    x = x + block.attn.proj(mixed)
    return x + block.mlp.fc2(explicit_gelu(block.mlp.fc1(block.norm2(x))))


def straightforward(encoder: SpaEncoder) -> Forward:
    """The same function as ``encoder``, with its weights, as one would write it down."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    weights = encoder.cls_token
    mean, std = (c.view(1, 3, 1, 1).to(weights.device) for c in (mean, std))

    def forward(image: Tensor) -> Tensor:
        x = encoder.patch_embed.proj(((image - mean) / std).to(weights.dtype)).flatten(2).transpose(1, 2)
        x = torch.cat((encoder.cls_token.expand(len(x), -1, -1), x), dim=1) + encoder.pos_embed
        for block in encoder.blocks:
            assert isinstance(block, Block)
            x = explicit_block(block, x)
        return encoder.norm(x)[:, 0]

    return forward


def versions_of(variant: Variant, args: Args) -> tuple[dict[str, Forward], Tensor]:
    """Every version of an encoder, with one set of weights, and a batch of images."""
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    encoder = VARIANTS[variant]().to(args.device, DTYPES[args.precision]).eval().freeze()
    found: dict[str, Forward] = {"straightforward": straightforward(encoder), "spatial_models": encoder}
    if args.compile:
        found["compiled"] = torch.compile(encoder, fullgraph=True)
    return found, torch.rand(args.batch, 3, 224, 224, device=args.device)


def synchronise(device: str) -> None:
    """Wait for the accelerator."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


@torch.inference_mode()
def seconds(variant: Variant, args: Args) -> dict[str, np.ndarray]:
    """Time of every batch, by version; the versions take turns."""
    found, image = versions_of(variant, args)
    agree(found, image, args.precision)
    taken: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(args.warmup + args.repeats):
        for name, forward in found.items():
            synchronise(args.device)
            start = time.perf_counter()
            forward(image)
            synchronise(args.device)
            taken[name].append(time.perf_counter() - start)
    return {name: np.array(t[args.warmup :]) for name, t in taken.items()}


def agree(found: dict[str, Forward], image: Tensor, precision: str) -> None:
    """Raise unless all versions compute the same."""
    wanted = found["straightforward"](image).float()
    for name, forward in found.items():
        error = float((forward(image).float() - wanted).norm() / wanted.norm())
        if error > (1e-4 if precision == "fp32" else 5e-2):
            raise RuntimeError(f"{name} differs from the straightforward version by {error:.1e}")


@torch.inference_mode()
def peak_bytes(variant: Variant, name: str, args: Args) -> int:
    """Most memory that one version takes beyond weights and inputs; to be run in a process of its own."""
    found, image = versions_of(variant, args)
    if args.device.startswith("cuda"):
        found[name](image)  # libraries take their workspace
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        found[name](image)
        return torch.cuda.max_memory_allocated() - before
    found[name](image[:1])  # libraries take theirs
    before = _resident("VmRSS")
    found[name](image)
    return max(_resident("VmHWM") - before, 0)


def _resident(field: str) -> int:
    """A memory field of this process, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def figures_of(variant: Variant, args: Args) -> dict[str, Any]:
    """Figures of all versions of one encoder."""
    rows: dict[str, Any] = {}
    times = seconds(variant, args)
    for name, taken in times.items():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            peak = fresh.submit(peak_bytes, variant, name, args).result()
        rows[name] = {
            "images_per_s": args.batch / float(np.median(taken)),
            "median_ms": 1e3 * float(np.median(taken)),
            "p99_ms": 1e3 * float(np.percentile(taken, 99)),
            "speed_up": float(np.median(times["straightforward"]) / np.median(taken)),
            "peak_mib": peak / MIB,
        }
    return rows


def main(args: Args) -> None:
    """Measure, print a table and write the figures."""
    found = {variant: figures_of(variant, args) for variant in args.variants}
    where = {**processor(), "threads": str(args.threads or torch.get_num_threads())}
    if args.device.startswith("cuda"):
        where["accelerator"] = torch.cuda.get_device_name()
    configuration = {key: value for key, value in asdict(args).items() if key != "output"}
    figures = {
        "encoders": found,
        "configuration": configuration,
        "device": where,
        "versions": versions() | {"torch": torch.__version__},
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{'':<24}{'images/s':>10}{'median ms':>11}{'p99 ms':>9}{'speed-up':>10}{'peak MiB':>10}")
    for variant, rows in found.items():
        for name, row in rows.items():
            print(
                f"{variant + ' ' + name:<24}{row['images_per_s']:>10.1f}{row['median_ms']:>11.1f}"
                f"{row['p99_ms']:>9.1f}{row['speed_up']:>10.2f}{row['peak_mib']:>10.0f}"
            )


if __name__ == "__main__":
    main(tyro.cli(Args))
