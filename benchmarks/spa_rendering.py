"""What does a pre-trained SPA model render? PSNR and depth error of held-out views, and pictures beside the truth.

    python benchmarks/spa_rendering.py runs/spa/last.ckpt data/rooms --out runs/spa/pictures

Each validation scene shows all of its views but the last, which is rendered and compared. The figure called "mean" is
what a picture of the shown views' mean colour and depth would get: a model has to beat it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from spatial_models.spa.data import PosedRgbdDataset, Sampling
from spatial_models.spa.losses import psnr
from spatial_models.spa.multiview import MultiViewSample
from spatial_models.spa.teacher import SegmentationTeacher, sample_teacher
from spatial_models.training.pretrain_module import SpaModule, held_out_errors, true_depth, without_last_view
from spatial_vla.report.environment import device, versions

#: Classes of our rendered scenes.
CLASSES = 22


@dataclass
class Args:
    """Measure and draw held-out views."""

    checkpoint: tyro.conf.Positional[Path]
    """last.ckpt of a pre-training"""
    data: tyro.conf.Positional[Path]
    """folder of posed RGB-D scenes"""
    out: Path = Path("runs/spa/pictures")
    """folder for pictures and figures"""
    views: int = 5
    """views of a scene, the last of which is held out"""
    interval: int = 1
    """every how many frames one is taken"""
    pictures: int = 6
    """how many scenes are drawn"""


def load(path: Path) -> tuple[SpaModule, SegmentationTeacher | None]:
    """The averaged model of a checkpoint, and the teacher of classes that it was trained with, if it was."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    weights = state["state_dict"]
    widths = [t.shape[0] for name, t in weights.items() if name.endswith("semantic_conv3d.3.weight")]
    teacher = SegmentationTeacher(CLASSES, widths[0]) if widths else None
    module = SpaModule(**state["hyper_parameters"], teacher=teacher)
    module.load_state_dict(weights)
    return module.eval(), teacher


def of_the_mean(sample: MultiViewSample) -> dict[str, float]:
    """Errors of a picture of the mean colour and mean depth of the views that were shown."""
    shown = without_last_view(sample)
    colour = shown.images.mean(dim=(0, 2, 3))[:, None, None].expand_as(sample.images[-1])
    truth = true_depth(sample, len(sample.images) - 1)
    known = truth > 0
    error = (truth[known] - shown.rays.depth[shown.rays.depth > 0].mean()).abs()
    return {
        "psnr": float(psnr(colour, sample.images[-1])),
        "depth_error": float(error.mean()),
        "depth_error_relative": float((error / truth[known]).mean()),
    }


def depth_picture(depth: torch.Tensor, top: float) -> NDArray[np.uint8]:
    """(H, W) [m] as colours (H, W, 3) RGB; ``top`` is the far end of the scale."""
    grey = (255 * (depth / top).clamp(0, 1)).byte().numpy()
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB), np.uint8)


def colour_picture(values: torch.Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in [0, 1] as (H, W, 3)."""
    return (255 * values.clamp(0, 1)).byte().permute(1, 2, 0).numpy()


def class_picture(features: torch.Tensor, teacher: SegmentationTeacher) -> NDArray[np.uint8]:
    """The nearest class of features (K, H, W), each class in a colour of its own."""
    classes = torch.einsum("ck,khw->chw", teacher.embedding, features).argmax(0)
    palette = np.random.default_rng(1).integers(40, 255, (len(teacher.embedding), 3), dtype=np.uint8)
    return palette[classes.numpy()]


def true_features(sample: MultiViewSample, teacher: SegmentationTeacher) -> torch.Tensor:
    """The teacher's (K, H, W) of the last view; 0 where no ray meets the box."""
    height, width = sample.images.shape[-2:]
    targets = sample_teacher(teacher.features(sample.originals), sample)
    last = sample.rays.view == len(sample.images) - 1
    u, v = sample.rays.pixel[last].round().long().unbind(-1)
    image = torch.zeros(targets.shape[1], height, width)
    image[:, v, u] = targets[last].T
    return image


def picture(
    module: SpaModule, teacher: SegmentationTeacher | None, sample: MultiViewSample, size: int = 224
) -> NDArray[np.uint8]:
    """A row of tiles (size, n size, 3) RGB: colour, depth and classes, each true and rendered, and rendered normals."""
    height, width = sample.images.shape[-2:]
    drawn = module.model.render_camera(
        without_last_view(sample), sample.intrinsics[-1], sample.world_to_camera[-1], (height, width)
    )
    truth = true_depth(sample, len(sample.images) - 1)
    top = float(truth.max())
    tiles = [colour_picture(sample.images[-1]), colour_picture(drawn.rgb)]
    tiles += [depth_picture(truth, top), depth_picture(drawn.depth, top)]
    if teacher is not None and drawn.semantic is not None:
        tiles += [class_picture(f, teacher) for f in (true_features(sample, teacher), drawn.semantic)]
    tiles.append(colour_picture(0.5 + 0.5 * drawn.normal))
    resized = [cv2.resize(tile, (size, size), interpolation=cv2.INTER_NEAREST) for tile in tiles]
    return np.asarray(np.hstack(resized), np.uint8)


def main(args: Args) -> None:
    """Print a table, write pictures and JSON."""
    module, teacher = load(args.checkpoint)
    branch = module.hparams["branch"]
    side = branch["image_size"]
    sampling = Sampling(
        side,
        (side * 1.03, side * 1.1),
        views=(args.views, args.views),
        interval=args.interval,
        originals="segmentation" if teacher else "none",
    )
    data = PosedRgbdDataset(args.data, "val", sampling, train=False)
    args.out.mkdir(parents=True, exist_ok=True)
    ours, mean = [], []
    for index in range(len(data)):
        sample = data[index]
        ours.append({k: float(v) for k, v in held_out_errors(module.model, sample).items()})
        mean.append(of_the_mean(sample))
        if index < args.pictures:
            row = picture(module, teacher, sample)
            cv2.imwrite(str(args.out / f"{index:02d}.png"), cv2.cvtColor(row, cv2.COLOR_RGB2BGR))
    figures = {
        "scenes": len(data),
        **{
            name: {k: float(np.mean([row[k] for row in rows])) for k in rows[0]}
            for name, rows in (("model", ours), ("mean", mean))
        },
        "device": device(),
        "versions": versions(),
    }
    (args.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{'held-out views':<16}{'PSNR [dB]':>11}{'depth [m]':>11}{'depth [%]':>11}")
    for name in ("model", "mean"):
        row = figures[name]
        print(
            f"{name:<16}{row['psnr']:>11.2f}{row['depth_error']:>11.3f}{100 * row['depth_error_relative']:>11.1f}"
        )


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
