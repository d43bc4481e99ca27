"""Camera-pose evaluation: relative pose of two views from the features of a frozen encoder, by a learned probe.

    python -m spatial_models.spa.evaluation.camera_pose CHECKPOINT DATA --out camera_pose.json
    python -m spatial_models.spa.evaluation.camera_pose CHECKPOINT NAVI --layout navi --out camera_pose.json

As in probe3d and SPA's paper: pairs of views of a scene, turned by 120 degrees or less; the class token of each; a
head that regresses the pose (``pose_probe``); mean squared error, AdamW, one-cycle schedule with 10 % warm-up, peak
rate 1e-3, 100 epochs. Training and test share no scene: the folder's own splits, or a share of its scenes. Features are
computed once and kept in memory. The published head, thresholds and units are not known, so figures compare encoders
with each other, not with the paper's table. ``constant`` is the error of always answering the mean training pose.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich import print
from spatial_vla.geometry import SE3
from torch import Tensor

from .frozen import Encoder, Summary, frozen, summaries
from .navi import navi_views
from .pose_probe import PoseHead, ProbeSettings, fit_head, relative_poses, summary
from .posed_rgbd_views import posed_rgbd_views
from .posed_view import PosedView, by_scene, pairs_within


@dataclass
class CameraPoseArgs:
    """Relative camera pose from frozen features."""

    checkpoint: Annotated[str, tyro.conf.Positional]
    """checkpoint of the encoder: a file or owner/name:file on the Hub"""
    data: Annotated[Path, tyro.conf.Positional]
    """folder of posed RGB-D scenes, or of NAVI"""
    layout: Literal["posed_rgbd", "navi"] = "posed_rgbd"
    """what the folder holds"""
    out: Path = Path("camera_pose.json")
    """where the figures go"""
    summary: Summary = "cls"
    """cls: the class token, as published; grid: patch tokens averaged over 4 x 4 cells, which tell more of the pose"""
    max_angle: float = 120.0
    """largest rotation between the views of a pair [deg]"""
    pairs_per_view: int = 4
    """partners of every view; probe3d has one"""
    test_share: float | None = None
    """share of posed RGB-D scenes kept for the test; the default takes the folder's own splits, train and val"""
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    """training of the head"""
    seed: int = 0
    """of pairs and of the split"""
    device: str = "cpu"
    """where encoder and head run"""


@dataclass(eq=False)
class Gallery:
    """Features and poses of the views of a split.

    Attributes:
        features: (N, D), D of the chosen summary. scenes, poses: name of the scene and camera_from_world of each.
    """

    features: Tensor
    scenes: list[str]
    poses: list[SE3]

    @classmethod
    def of(cls, encoder: Encoder, views: Iterable[PosedView], kind: Summary) -> Gallery:
        """Encode views, a scene at a time."""
        features, scenes, poses = [], [], []
        for scene in by_scene(views):
            features.append(summaries(encoder, [view.square().image for view in scene], kind))
            scenes += [view.scene for view in scene]
            poses += [view.camera_from_world for view in scene]
        return cls(torch.cat(features) if features else torch.empty(0, 0), scenes, poses)

    def pairs(self, max_angle: float, per_view: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Features (P, 2 D) and poses (P, 7) of pairs of views."""
        pairs = pairs_within(self.scenes, self.poses, max_angle, per_view, rng)
        if len(pairs) == 0:
            raise ValueError(
                f"{len(self.scenes)} views of {len(set(self.scenes))} scenes make no pair turned by {max_angle:g} "
                "degrees or less; more views per scene or a larger max_angle are needed"
            )
        first, second = torch.from_numpy(pairs).T
        return torch.cat((self.features[first], self.features[second]), dim=1), relative_poses(
            self.poses, pairs
        )


def split_scenes(names: Iterable[str], test_share: float, seed: int) -> set[str]:
    """The scenes that are kept for the test: a share of all, at least one.

    Raises:
        ValueError: fewer than two scenes.
    """
    ordered = sorted(set(names))
    if len(ordered) < 2:
        raise ValueError(f"found {len(ordered)} scene(s) {ordered}; training and test need one each at least")
    count = min(max(round(test_share * len(ordered)), 1), len(ordered) - 1)
    shuffled: NDArray[np.str_] = np.random.default_rng(seed).permutation(ordered)
    return set(shuffled[:count].tolist())


def evaluate(train: Gallery, tests: dict[str, Gallery], args: CameraPoseArgs) -> dict[str, Any]:
    """Train the head on one gallery and judge it on others."""
    rng = np.random.default_rng(args.seed)
    features, poses = train.pairs(args.max_angle, args.pairs_per_view, rng)
    head = fit_head(features, poses, args.probe, args.device)
    figures: dict[str, Any] = {
        "train_pairs": len(features),
        "train": summary(predicted(head, features), poses),
    }
    for name, gallery in tests.items():
        test_features, truth = gallery.pairs(args.max_angle, args.pairs_per_view, rng)
        figures[f"{name}_pairs"] = len(truth)
        figures[name] = summary(predicted(head, test_features), truth)
        figures[f"{name}_constant"] = summary(poses.mean(dim=0).expand_as(truth), truth)
    return figures


@torch.inference_mode()
def predicted(head: PoseHead, features: Tensor) -> Tensor:
    """Poses (P, 7) of pair features (P, 2 D), on the CPU."""
    device = next(head.parameters()).device
    return head(features.to(device)).cpu()


def galleries(encoder: Any, args: CameraPoseArgs) -> tuple[Gallery, dict[str, Gallery]]:
    """Training gallery and test galleries of a data folder."""
    if args.layout == "navi":
        train, valid, test = (
            Gallery.of(encoder, navi_views(args.data, split, encoder.image_size), args.summary)
            for split in ("train", "valid", "test")
        )
        return train, {"valid": valid, "test": test}
    if args.test_share is None:
        train, test = (
            Gallery.of(encoder, posed_rgbd_views(args.data, split), args.summary)
            for split in ("train", "val")
        )
        return train, {"test": test}
    everything = Gallery.of(encoder, posed_rgbd_views(args.data), args.summary)
    kept = split_scenes(everything.scenes, args.test_share, args.seed)
    return _only(everything, kept, False), {"test": _only(everything, kept, True)}


def _only(gallery: Gallery, scenes: set[str], inside: bool) -> Gallery:
    rows = [i for i, name in enumerate(gallery.scenes) if (name in scenes) == inside]
    return Gallery(
        gallery.features[rows], [gallery.scenes[i] for i in rows], [gallery.poses[i] for i in rows]
    )


def table(figures: dict[str, Any]) -> Iterator[str]:
    """The figures for a person to read."""
    columns = [name for name, value in figures.items() if isinstance(value, dict)]
    yield f"{'':<26}" + "".join(f"{name:>16}" for name in columns)
    for row in figures["train"]:
        yield f"{row:<26}" + "".join(f"{figures[name][row]:>16.3f}" for name in columns)


def main() -> None:
    """Command line."""
    args = tyro.cli(CameraPoseArgs, description=__doc__)
    encoder = frozen(args.checkpoint, device=args.device)
    train, tests = galleries(encoder, args)
    figures = evaluate(train, tests, args)
    figures["settings"] = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(args).items()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    del figures["settings"]
    print("\n".join(table(figures)) + f"\nWritten to {args.out}")


if __name__ == "__main__":
    main()
