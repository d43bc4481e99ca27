"""How closely a small SpatialVLA, with random weights at first, learns recorded demonstrations, and at what pace.

    python -m spatial_vla_sim.record_lerobot --out data/expert --episodes 20 --size 112
    python benchmarks/spatialvla_finetune.py data/expert [--steps 3000] [--out DIR]

The checkpoint is made here, in the released layout with the released grid; the training adapts the grid to the data and
trains corrections of low rank, the action table, the position encoding and the output table, through the same program
as for the real one.
"""

from __future__ import annotations

import json
import string
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from spatial_models.spatialvla.checkpoint import save_released
from spatial_models.spatialvla.configuration import SpatialVlaConfig
from spatial_models.spatialvla.model import SpatialVla
from spatial_models.spatialvla.prompt import IMAGE, action_token
from spatial_vla.actions import RELEASED_GAUSSIANS, bin_policy_of
from spatial_vla.report.environment import device, versions
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

ROOT = Path(__file__).resolve().parents[1]
LETTERS = ["<pad>", "<eos>", "<bos>", "<unk>", "\n", "▁", *string.ascii_lowercase]
BEGIN = len(LETTERS) + 1
GRID = RELEASED_GAUSSIANS.grid()


def small_checkpoint(folder: Path, width: int) -> None:
    """Two layers of SigLIP and two of Gemma, images of 56 px, letters as words; random weights."""
    tokens = sum(GRID.cells)
    heads = {"num_attention_heads": 4, "num_hidden_layers": 2, "hidden_size": width}
    text = {
        "num_key_value_heads": 2,
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "intermediate_size": 4 * width,
    }
    fields: dict[str, Any] = {
        "model_type": "spatialvla",
        "action_token_begin_idx": BEGIN,
        "spatial_token_num": tokens,
        "image_token_index": BEGIN - 1,
        "torch_dtype": "float32",
        "use_vision_zoe": False,
        "text_config": {**heads, **text, "model_type": "gemma2", "vocab_size": BEGIN + tokens},
        "vision_config": {
            **heads,
            "intermediate_size": 2 * width,
            "image_size": 56,
            "patch_size": 14,
            "model_type": "siglip_vision_model",
            "vision_use_head": False,
        },
    }
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    save_released(SpatialVla(SpatialVlaConfig.from_fields(fields)), folder)
    special = [*LETTERS[:4], IMAGE, *(action_token(i) for i in range(tokens))]
    made = Tokenizer(BPE({c: i for i, c in enumerate(LETTERS)}, [], unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    made.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    ids = {**dict(enumerate(LETTERS[:4])), **{BEGIN - 1 + i: text for i, text in enumerate(special[4:])}}
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False) | {"special": True}
    settings = {
        "tokenizer_class": "GemmaTokenizer",
        "add_bos_token": False,
        "add_eos_token": False,
        "added_tokens_decoder": {str(i): {"content": text, **flags} for i, text in ids.items()},
        **names,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    camera = {
        "width": 640,
        "height": 480,
        "intrinsic": [[623.588, 0, 319.501], [0, 623.588, 239.545], [0, 0, 1]],
    }
    processor = {"action_chunk_size": 4, "bin_policy": bin_policy_of(GRID), "statistics": {}}
    (folder / "processor_config.json").write_text(
        json.dumps(processor | {"intrinsic_config": {"default": camera}})
    )


@dataclass
class Benchmark:
    """Fine-tune a small network on recorded demonstrations and print the error of its actions."""

    data: tyro.conf.Positional[Path]
    """LeRobot data set."""

    steps: int = 1500
    """Optimiser steps."""

    batch: int = 16
    """Moments per step."""

    width: int = 64
    """Of the network."""

    work: Path = ROOT / "runs/spatialvla_small"
    """Folder for the checkpoint and the run; a run that is there goes on."""

    out: Path = ROOT / "benchmarks/results"
    """Folder for spatialvla_finetune.json."""

    def run(self) -> None:
        """Train, print, write."""
        base, out = self.work / "base", self.work / "run"
        if not (base / "processor_config.json").is_file():
            small_checkpoint(base, self.width)
        settings = {
            "checkpoint": base,
            "data.root": self.data,
            "out": out,
            "batch": self.batch,
            "threads": 1,
            "checkpoint_every": 50,
            "report": 100_000,
            "adapt.how": "fit",
            "adapt.dead_zone": 0.02,
            "trained.head": "true",
            "trained.lora_rank": 16,
            "optimiser.learning_rate": 3e-3,
            "prompt_attention": "bidirectional",
            "trainer.max_steps": self.steps,
            "trainer.enable_progress_bar": "false",
        }
        program = [sys.executable, "-m", "spatial_models.training.finetune"]
        begun = time.perf_counter()
        subprocess.run([*program, *(f"{name}={value}" for name, value in settings.items())], check=True)
        taken = time.perf_counter() - begun
        figures = {
            "device": device(),
            "versions": versions(),
            "settings": {n: str(v) for n, v in settings.items() if not isinstance(v, Path)},
            "seconds": taken,
            **json.loads((out / "report.json").read_text()),
        }
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "spatialvla_finetune.json").write_text(json.dumps(figures, indent=1) + "\n")
        print(f"{self.steps} steps of {self.batch} in {taken:.0f} s, start and decoding included")


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
