"""Fine-tune a vision-language model on spatial questions: ``python -m spatial_models.robospatial.train data=FILE``.

Hydra reads ``models/configs/robospatial.yaml``; Lightning runs it. Started again, it resumes from ``out/last.ckpt``. At
the end ``out/lora.safetensors`` holds the corrections, by the names of the layers they correct.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from .qa import QaBatches, QaModule, QuestionFile, with_lora

CONFIGS = str(Path(__file__).resolve().parents[2] / "configs")
WEIGHTS = "lora.safetensors"


def train(cfg: DictConfig, model: Any, processor: Any) -> QaModule:
    """Train a model as configured, and write its corrections."""
    L.seed_everything(cfg.seed)
    torch.set_num_threads(cfg.threads)
    out = Path(cfg.out)
    pictures = Path(cfg.pictures) if cfg.pictures else None
    collate = QaBatches(processor, cfg.prefix)
    loading = {"batch_size": cfg.batch_size, "num_workers": cfg.workers, "collate_fn": collate}
    loader = DataLoader(QuestionFile(Path(cfg.data), pictures), shuffle=True, **loading)
    held_out = DataLoader(QuestionFile(Path(cfg.validation), pictures), **loading) if cfg.validation else None
    steps = len(loader) * cfg.trainer.max_epochs
    module = QaModule(with_lora(model, **cfg.lora), **cfg.optimiser, total_steps=steps)
    keep = ModelCheckpoint(out, "last", enable_version_counter=False)
    logger = CSVLogger(out, name="log")
    trainer = L.Trainer(**cfg.trainer, default_root_dir=out, logger=logger, callbacks=[keep])
    last = out / "last.ckpt"
    trainer.fit(module, loader, held_out, ckpt_path=str(last) if last.exists() else None)
    kept = {n: p.detach().cpu().contiguous() for n, p in module.model.named_parameters() if p.requires_grad}
    save_file(kept, out / WEIGHTS)
    return module


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="robospatial")
def main(cfg: DictConfig) -> None:
    """Load the model of the configuration and train it."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(cfg.model, dtype=cfg.dtype)
    train(cfg, model, AutoProcessor.from_pretrained(cfg.model))


if __name__ == "__main__":
    main()
