"""Pre-train SPA's encoder: ``python -m spatial_models.training.pretrain data.root=FOLDER``.

Hydra reads ``models/configs/spa/pretrain.yaml``; every value can be set on the command line, ``-m seed=1,2,3`` sweeps.
Lightning runs it on a CPU, a GPU, or many: ``trainer=cpu|gpu|ddp|ddp_sim``. Started again with the same ``out``, it
resumes from ``out/last.ckpt``. After every epoch ``out/spa.safetensors`` holds the averaged weights in the released
layout, for ``spatial_models.spa.load_encoder``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import lightning as L
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import ConcatDataset, DataLoader

from ..spa import save_released
from ..spa.data import AlternatingBatches, MultiViewDataset, collate
from .masked_image_module import MaskedImageModule
from .pretrain_module import SpaModule

CONFIGS = str(Path(__file__).resolve().parents[2] / "configs" / "spa")
OBJECTIVES = {"rendering": SpaModule, "pixels": MaskedImageModule}


class Scenes(L.LightningDataModule):
    """Training samples from one or several data sets in turn, and the fixed samples of the validation scenes.

    Args:
        train, val: data sets. batch: scenes per process and step. workers: reading processes. seed: of the order.
    """

    def __init__(
        self, train: list[MultiViewDataset], val: MultiViewDataset, batch: int, workers: int, seed: int
    ) -> None:
        super().__init__()
        self.train, self.val = ConcatDataset(train), val
        self._batch, self._workers, self._seed = batch, workers, seed

    def batches(self, rank: int = 0, world_size: int = 1) -> AlternatingBatches:
        """The batches of one process."""
        return AlternatingBatches(self.train, self._batch, seed=self._seed, rank=rank, world_size=world_size)

    def train_dataloader(self) -> DataLoader:
        """Made anew for every epoch, whose samples and order differ."""
        assert self.trainer is not None
        batches = self.batches(self.trainer.global_rank, self.trainer.world_size)
        batches.set_epoch(0 if self.trainer.overfit_batches else self.trainer.current_epoch)
        return DataLoader(self.train, batch_sampler=batches, collate_fn=collate, num_workers=self._workers)

    def val_dataloader(self) -> DataLoader:
        """One scene at a time."""
        return DataLoader(self.val, batch_size=1, collate_fn=collate, num_workers=self._workers)


class ExportReleased(L.Callback):
    """Writes the weights after every epoch in the released layout; under `EMAWeightAveraging` the averaged one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lightning hook; runs after the averaging callback has put its weights into the checkpoint."""
        if trainer.is_global_zero:
            save_released(checkpoint["state_dict"], self.path)


def scenes_from(cfg: DictConfig) -> Scenes:
    """Data sets as configured."""
    sets = [instantiate(one) for one in cfg.data.train]
    return Scenes(sets, instantiate(cfg.data.val), cfg.batch, cfg.workers, cfg.seed)


def module_from(cfg: DictConfig, scenes: Scenes, trainer: L.Trainer) -> SpaModule:
    """Model and optimiser as configured; the schedule ends with the last epoch."""
    accumulate, world = trainer.accumulate_grad_batches, trainer.world_size
    per_epoch = -(-len(scenes.batches(0, world)) // accumulate)
    steps = cfg.trainer.max_steps if cfg.trainer.max_steps > 0 else per_epoch * cfg.trainer.max_epochs
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    return OBJECTIVES[cfg.objective](
        branch=plain["model"]["branch"],
        volume=plain["model"]["volume"],
        weights=plain["weights"],
        optimiser=plain["optimiser"],
        batch=cfg.batch * accumulate * world,
        steps=steps,
        seed=cfg.seed,
        teacher=instantiate(cfg.teacher) if cfg.teacher else None,
    )


def trainer_from(cfg: DictConfig) -> L.Trainer:
    """Lightning's trainer with checkpoints, averaging and logs under ``cfg.out``."""
    out = Path(cfg.out)
    callbacks: list[L.Callback] = [LearningRateMonitor("step")]
    if cfg.ema:
        callbacks.append(EMAWeightAveraging(device="cpu", decay=cfg.ema))
    if cfg.trainer.get("enable_checkpointing", True):
        callbacks += [
            ExportReleased(out / "spa.safetensors"),
            ModelCheckpoint(out, "last", enable_version_counter=False, save_on_train_epoch_end=True),
        ]
    return instantiate(
        cfg.trainer,
        default_root_dir=out,
        logger=CSVLogger(out, name="log"),
        callbacks=callbacks,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
    )


def resumable(checkpoint: Path, module: SpaModule) -> str | None:
    """Path of the checkpoint if there is one.

    Raises:
        ValueError: it is of another model, or of a training of another length, whose schedule would not fit.
    """
    if not checkpoint.exists():
        return None
    before = torch.load(checkpoint, weights_only=True, map_location="cpu")["hyper_parameters"]
    for name in ("branch", "volume", "steps"):
        if before[name] != getattr(module.hparams, name):
            raise ValueError(
                f"{checkpoint} has {name} {before[name]}, this run {getattr(module.hparams, name)}: resume with the "
                "same values, or start another run with out=..."
            )
    return str(checkpoint)


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="pretrain")
def main(cfg: DictConfig) -> None:
    """Train as configured."""
    L.seed_everything(cfg.seed)
    torch.set_num_threads(cfg.threads)
    scenes, trainer = scenes_from(cfg), trainer_from(cfg)
    module = module_from(cfg, scenes, trainer)
    trainer.fit(module, scenes, ckpt_path=resumable(Path(cfg.out) / "last.ckpt", module))


if __name__ == "__main__":
    main()
