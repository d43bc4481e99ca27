"""Fine-tune SpatialVLA: ``python -m spatial_models.training.finetune checkpoint=FOLDER data.root=FOLDER``.

Hydra reads ``models/configs/spatialvla/finetune.yaml``; every value can be set on the command line. Lightning runs it
on a CPU, a GPU, or many: ``trainer=cpu|gpu|ddp|ddp_sim|fsdp|fsdp_sim``. Started again with the same ``out``, it resumes
from ``out/last.ckpt``. At the end ``out/checkpoint`` is a folder in the released layout, with the data's statistics,
and ``out/report.json`` says what the training's own steps come out as.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import lightning as L
import numpy as np
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf
from spatial_vla.actions import ActionStatistics, SpatialActionTokenizer, read_processor_config
from spatial_vla.datasets import Episodes
from spatial_vla.geometry.ego3d import released_intrinsics
from torch.utils.data import DataLoader

from ..spatialvla.adapt import HEAD_ROWS, TABLE, adapted_to
from ..spatialvla.adapted import Adaptation, adapt_model, merged_fields, replaced, write_alongside
from ..spatialvla.checkpoint import load
from ..spatialvla.model import SpatialVla
from ..spatialvla.positions import Positions
from ..spatialvla.prompt import Prompts
from ..spatialvla.trainable import Trained, prepare, trainable
from .finetuned import estimator, report, write_weights
from .spatialvla_module import Batches, SpatialVlaModule
from .steps import Draws, Steps

CONFIGS = str(Path(__file__).resolve().parents[2] / "configs" / "spatialvla")


class Recorded(L.LightningDataModule):
    """Batches of steps, from where a resumed training stopped.

    Args:
        batch: steps per optimiser step, over all processes and accumulated batches.
        weights: of the data sets, None for equal ones.
        workers: reading processes. seed: of the order.
    """

    def __init__(
        self,
        steps: Steps,
        collate: Batches,
        *,
        batch: int,
        weights: Sequence[float] | None,
        workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.steps, self.collate, self.batch, self.weights = steps, collate, batch, weights
        self._workers, self._seed = workers, seed

    def train_dataloader(self) -> DataLoader:
        """Without end; made when the trainer knows where it stands.

        Raises:
            ValueError: the batch cannot be divided.
        """
        trainer = self.trainer
        assert trainer is not None
        parts = trainer.world_size * trainer.accumulate_grad_batches
        if self.batch % parts:
            raise ValueError(
                f"batch={self.batch} over {trainer.world_size} processes and {trainer.accumulate_grad_batches} "
                f"accumulated batches; expected a multiple of {parts}"
            )
        draws = Draws(
            [len(one.actions) for one in self.steps.sets],
            self.batch // parts,
            seed=self._seed,
            weights=self.weights,
            rank=trainer.global_rank,
            processes=trainer.world_size,
            first=trainer.global_step * trainer.accumulate_grad_batches,
        )
        return DataLoader(
            self.steps,
            batch_sampler=draws,
            collate_fn=self.collate,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
        )


@dataclass(frozen=True, eq=False)
class Start:
    """What a training starts from: a model with the grid it is to have, and the files that go with it.

    Attributes:
        fields: of ``processor_config.json``, the data's statistics included.
    """

    model: SpatialVla
    fields: dict[str, Any]
    statistics: dict[str, ActionStatistics]
    tokenizer: SpatialActionTokenizer


def start(cfg: DictConfig, sets: Sequence[Episodes]) -> Start:
    """The checkpoint, its grid kept or adapted to the data, and statistics of every data set.

    Raises:
        ValueError: several data sets are given for one new grid that has room for one's statistics only.
    """
    folder, how = Path(cfg.checkpoint), cfg.adapt.how
    dtype = getattr(torch, cfg.dtype) if cfg.dtype else None
    model = load(folder, dtype=dtype, depth_network=cfg.depth_network)
    fields = read_processor_config(folder)
    symmetric = False
    if how != "none":
        if len(sets) > 1:
            raise ValueError(
                f"adapt.how={how} with {len(sets)} data sets; a grid is adapted to one: give one"
            )
        adaptation = _adaptation(cfg, folder, sets[0])
        adapt_model(model, adaptation)
        symmetric = bool(adaptation.fields["bin_policy"].get("zero_motion"))
        fields = merged_fields(fields, adaptation.fields)
    known = dict(fields.get("statistics") or {}) if how == "none" else {}
    given = fields.get("statistics") or {}
    statistics: dict[str, ActionStatistics] = {}
    for one in sets:
        # A grid that comes from a folder was made for the numbers that are beside it.
        if how == "folder" and one.name in given:
            statistics[one.name] = ActionStatistics.from_processor_config(fields, one.name)
        else:
            statistics[one.name] = ActionStatistics.fit(one.actions, symmetric=symmetric)
        known[one.name] = {"action": statistics[one.name].fields()}
    fields |= {"statistics": known, "intrinsic_config": _intrinsics(fields, sets)}
    tokenizer = SpatialActionTokenizer.from_processor_config(fields, begin=model.config.action_begin)
    return Start(model, fields, statistics, tokenizer)


def _adaptation(cfg: DictConfig, folder: Path, source: Episodes) -> Adaptation:
    if cfg.adapt.how == "folder":
        return Adaptation.read(cfg.adapt.folder)
    if cfg.adapt.how != "fit":
        raise ValueError(f"adapt.how={cfg.adapt.how}; expected none, fit or folder")
    options: Any = {name: cfg.adapt[name] for name in ("min_sigma", "dead_zone", "head", "compat")}
    fields, tensors = adapted_to(folder, source.actions, source.name, **options)
    return Adaptation(fields, tensors[TABLE], tensors.get(HEAD_ROWS))


def _intrinsics(fields: dict[str, Any], sets: Sequence[Episodes]) -> dict[str, Any]:
    """The checkpoint's, and those of the data's cameras, which count from the corner of the first pixel there."""
    known = dict(fields.get("intrinsic_config", {}))
    for one in sets:
        moment = one.moment(0)
        if moment.intrinsics is not None:
            height, width = moment.image.shape[:2]
            corner = moment.intrinsics + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
            known[one.name] = {"width": width, "height": height, "intrinsic": corner.tolist()}
    return known


def module_from(cfg: DictConfig, model: SpatialVla) -> SpatialVlaModule:
    """What is trained as configured, in single precision whatever the rest is stored in."""
    torch.manual_seed(cfg.seed)  # the corrections start the same in every process
    prepare(model, Trained(**cfg.trained))
    for parameter in trainable(model).values():
        parameter.data = parameter.data.float()
    return SpatialVlaModule(
        model,
        prompt_attention=cfg.prompt_attention,
        depth=estimator(model),
        checkpointing=cfg.gradient_checkpointing,
        total_steps=cfg.trainer.max_steps,
        **cfg.optimiser,
    )


def trainer_from(cfg: DictConfig) -> L.Trainer:
    """Lightning's trainer with checkpoints and logs under ``cfg.out``."""
    out = Path(cfg.out)
    callbacks: list[L.Callback] = [LearningRateMonitor("step")]
    if cfg.trainer.get("enable_checkpointing", True):
        # Saved within the run, not between epochs: there are none.
        callbacks.append(
            ModelCheckpoint(
                out,
                "last",
                enable_version_counter=False,
                every_n_train_steps=cfg.checkpoint_every,
                save_on_train_epoch_end=False,
            )
        )
    return instantiate(
        cfg.trainer,
        default_root_dir=out,
        # Written as often as noted: a run may be killed.
        logger=CSVLogger(out, name="log", flush_logs_every_n_steps=cfg.trainer.log_every_n_steps),
        callbacks=callbacks,
        use_distributed_sampler=False,
        max_epochs=-1,
    )


def resumable(cfg: DictConfig) -> str | None:
    """Path of the run's checkpoint if there is one.

    Raises:
        ValueError: what is trained, on what, or for how long, was set otherwise then.
    """
    out = Path(cfg.out)
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    compared = {
        name: settings[name]
        for name in ("checkpoint", "data", "batch", "adapt", "trained", "optimiser", "seed")
    }
    compared["max_steps"] = settings["trainer"]["max_steps"]
    path, noted = out / "last.ckpt", out / "settings.json"
    if path.exists():
        before = json.loads(noted.read_text()) if noted.is_file() else {}
        if wrong := [name for name, value in compared.items() if before.get(name) != value]:
            name = wrong[0]
            raise ValueError(
                f"{path} was trained with {name} {before.get(name)}, this run has {compared[name]}: resume with the "
                "same values, or start another run with out=..."
            )
        return str(path)
    out.mkdir(parents=True, exist_ok=True)
    replaced(noted, json.dumps(compared, indent=1))
    return None


def train(cfg: DictConfig) -> None:
    """Train as configured, leave a checkpoint and say how well it does."""
    L.seed_everything(cfg.seed)
    torch.set_num_threads(cfg.threads)
    resume, out = resumable(cfg), Path(cfg.out)
    sets: list[Episodes] = [instantiate(one) for one in cfg.data.sets]
    begun = start(cfg, sets)
    config = begun.model.config
    write_alongside(Path(cfg.checkpoint), out / "checkpoint", config, begun.fields)
    prompts = Prompts.read(out / "checkpoint", config)
    positions = Positions(config, released_intrinsics(begun.fields, None, config.image_size))
    collate = Batches(prompts, begun.tokenizer, begun.statistics, positions)
    steps = Steps(sets, begun.tokenizer.steps, augment=cfg.augment, seed=cfg.seed)
    data = Recorded(
        steps, collate, batch=cfg.batch, weights=cfg.data.weights, workers=cfg.workers, seed=cfg.seed
    )
    module, trainer = module_from(cfg, begun.model), trainer_from(cfg)
    trainer.fit(module, data, ckpt_path=resume)
    write_weights(trainer, Trained(**cfg.trained), config, out / "checkpoint")
    if trainer.is_global_zero and cfg.report:
        print(report(out / "checkpoint", steps, collate, cfg.report, out / "report.json"))


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="finetune")
def main(cfg: DictConfig) -> None:
    """Train as configured."""
    train(cfg)


if __name__ == "__main__":
    main()
