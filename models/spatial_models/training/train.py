"""Train the small policy: ``python -m spatial_models.training.train data=FOLDER``.

Hydra reads ``models/configs/policy.yaml``; Lightning runs it on a CPU, a GPU or several. Started again, it resumes from
``out/last.ckpt``. At the end (and after every epoch) ``out/policy.safetensors`` and ``out/policy.json`` hold what
``export/to_onnx.py`` needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file
from spatial_vla.actions import ActionGrid
from spatial_vla.language.vocabulary import Vocabulary
from torch.utils.data import DataLoader

from ..policy import PolicyConfig
from .bundle import write_policy
from .demonstrations import Demonstrations
from .instructions import sentence_drawer, vocabulary
from .module import PolicyModule, config_dict

CONFIGS = str(Path(__file__).resolve().parents[2] / "configs")


class Epochs(L.Callback):
    """Tells the data set which epoch it is, so that its draws differ, and writes weights after each."""

    def __init__(self, data: Demonstrations, out: Path, words: Vocabulary) -> None:
        self.data, self.out, self.words = data, out, words

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.data.epoch = trainer.current_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, PolicyModule)
        config = PolicyConfig(**pl_module.hparams["config"])
        write_policy(pl_module.policy, config, pl_module.grid, self.words, self.out)


def fit_grid(data: Demonstrations, cells: list[int], dead_zone: float) -> ActionGrid:
    """The action grid of a recording: Gaussians over the steps the expert really took."""
    steps = []
    for shard in data.shards:
        active = np.asarray(shard["active"], dtype=int)
        steps.append(
            shard["labels"][np.arange(len(active)), active[:, 0], active[:, 1], :, :6].reshape(-1, 6)
        )
    t, p, r, roll, pitch, yaw = cells
    return ActionGrid.fit(
        np.concatenate(steps),
        cells=(t, p, r, roll, pitch, yaw),
        translation_scale=0.05,
        rotation_scale=0.3,
        dead_zone=dead_zone,
        min_sigma=0.05,
    )


def build(cfg: DictConfig, train: Demonstrations, words: Vocabulary, steps: int) -> PolicyModule:
    """A fresh module, or one with the weights of ``cfg.init``."""
    grid = fit_grid(train, list(cfg.grid.cells), cfg.grid.dead_zone)
    if cfg.init:
        grid = ActionGrid.from_json(Path(cfg.init).with_name("grid.json").read_text())
    model: dict[str, Any] = config_dict(PolicyConfig(**OmegaConf.to_container(cfg.model)))  # type: ignore[arg-type]
    module = PolicyModule(model, grid.to_json(), len(words), **cfg.optimiser, total_steps=steps)
    if cfg.init:
        module.policy.load_state_dict(load_file(cfg.init))
    return module


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="policy")
def main(cfg: DictConfig) -> None:
    """Train as configured."""
    L.seed_everything(cfg.seed)
    torch.set_num_threads(cfg.threads)
    words = vocabulary()
    out = Path(cfg.out)
    common = {
        "sentence": sentence_drawer(words),
        "per_frame": cfg.per_frame,
        "absent": cfg.absent,
        "seed": cfg.seed,
    }
    train = Demonstrations(Path(cfg.data), augment=True, skip_last=cfg.validation_shards, **common)
    held_out = Demonstrations(Path(cfg.data), augment=False, only_last=cfg.validation_shards, **common)
    loaders = {"batch_size": cfg.batch_size, "num_workers": cfg.workers, "drop_last": True}
    loader = DataLoader(train, shuffle=True, **loaders)
    module = build(cfg, train, words, len(loader) * cfg.trainer.max_epochs)
    keep = ModelCheckpoint(out, "last", enable_version_counter=False, every_n_train_steps=200)
    trainer = L.Trainer(
        **cfg.trainer,
        default_root_dir=out,
        logger=CSVLogger(out, name="log"),
        callbacks=[keep, Epochs(train, out, words)],
    )
    last = out / "last.ckpt"
    trainer.fit(
        module, loader, DataLoader(held_out, **loaders), ckpt_path=str(last) if last.exists() else None
    )


if __name__ == "__main__":
    main()
