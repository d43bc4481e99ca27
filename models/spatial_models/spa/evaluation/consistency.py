"""Multi-view consistency: do features agree at corresponding points of a scene?

    python -m spatial_models.spa.evaluation.consistency DATA --encoders with=a.ckpt without=b.ckpt --out DIR

A point of view A with depth is projected into view B. It is visible there if it falls into the picture and B's depth at
that pixel says the same within 2 cm or 1 % of the distance. Features are read bilinearly from the patch grid at both
places. For visible points, by the angle at the point between the lines of sight to the two cameras:

* ``same``: mean cosine similarity of the two features;
* ``other``: mean cosine similarity with the features of other visible points of the pair, more than ``within`` away;
* ``retrieval``: how often the most similar feature of view B, among a grid of its pixels with depth, belongs to a point
  at most ``within`` from the true one; ``chance`` is how often a random pixel of that grid does, ``reachable`` how
  often any does.

Cosines of different encoders are not comparable by themselves (a large common component lifts all of them): compare
``same`` with ``other``, and the retrieval. The figure shows all three against the angle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich import print
from torch import Tensor
from torch.nn import functional as F

from .frozen import Encoder, feature_maps, frozen
from .posed_rgbd_views import Split, posed_rgbd_views
from .posed_view import PosedView, by_scene, pairs_within

#: Edges of the bins of the angle between the lines of sight [deg].
ANGLES = (0.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 180.0)
#: How far B's depth may be from the point's: metres, or share of the distance, whichever is more.
DEPTH_TOLERANCE, DEPTH_TOLERANCE_SHARE = 0.02, 0.01
#: Side of the grid of places in view B that retrieval chooses from.
CANDIDATES = 56


@dataclass
class ConsistencyArgs:
    """Agreement of features at corresponding points of different views."""

    data: Annotated[Path, tyro.conf.Positional]
    """folder of posed RGB-D scenes"""
    encoders: tuple[str, ...]
    """checkpoints to compare, each as LABEL=CHECKPOINT"""
    out: Path = Path("consistency")
    """folder of consistency.json and consistency.png"""
    split: Split = "all"
    """scenes to use: train, val or all"""
    within: float = 0.05
    """distance up to which a retrieved point is right [m]"""
    max_angle: float = 120.0
    """largest rotation between the cameras of a pair [deg]"""
    pairs_per_view: int = 4
    """partners of every view"""
    points: int = 256
    """points tried per pair"""
    seed: int = 0
    """of pairs and points"""
    device: str = "cpu"
    """where the encoder runs"""


@dataclass(frozen=True, eq=False)
class Correspondences:
    """P points seen in both views of a pair.

    Attributes:
        first, second: (P, 2) pixels (u, v) in the two pictures.
        point: (P, 3) in the world [m]. angle: (P,) between the lines of sight [deg].
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    point: NDArray[np.float64]
    angle: NDArray[np.float64]


def correspondences(a: PosedView, b: PosedView, tried: int, rng: np.random.Generator) -> Correspondences:
    """Points of view A that view B sees too, out of ``tried`` random pixels with depth.

    Raises:
        ValueError: a view without depth or intrinsics.
    """
    v, u = np.nonzero(_calibration(a)[1] > 0.0)
    chosen = rng.permutation(len(u))[:tried]
    pixels = np.stack((u[chosen], v[chosen]), axis=-1).astype(np.float64)
    points = world_points(a, pixels)
    seen, second = visible(b, points)
    pixels, second, points = pixels[seen], second[seen], points[seen]
    to_a, to_b = (_unit(view.camera_from_world.inverse().translation - points) for view in (a, b))
    angle = np.rad2deg(np.arccos(np.clip((to_a * to_b).sum(axis=-1), -1.0, 1.0)))
    return Correspondences(pixels, second, points, angle)


def world_points(view: PosedView, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (P, 3) in the world that integer pixels (P, 2) with depth show [m]."""
    camera, depth = _calibration(view)
    u, v = pixels.T
    z = depth[v.astype(int), u.astype(int)].astype(np.float64)
    local = np.stack(((u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z), axis=-1)
    return view.camera_from_world.inverse().apply(local)


def visible(view: PosedView, points: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which world points (P, 3) a view sees, by its own depth, and their pixels (P, 2)."""
    camera, depth = _calibration(view)
    local = view.camera_from_world.apply(points)
    pixels = camera.project(local)
    nearest = (
        np.round(np.nan_to_num(pixels, nan=-1.0, posinf=-1.0, neginf=-1.0)).clip(-1, 1 << 30).astype(int)
    )
    u, v = nearest.T
    inside = (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    there = np.where(inside, depth[v.clip(0, camera.height - 1), u.clip(0, camera.width - 1)], 0.0)
    tolerance = np.maximum(DEPTH_TOLERANCE, DEPTH_TOLERANCE_SHARE * local[:, 2])
    return (there > 0.0) & (np.abs(there - local[:, 2]) <= tolerance), pixels


def sample(feature_map: Tensor, pixels: NDArray[np.float64], side: int) -> Tensor:
    """Unit features (P, D) of a map (D, h, w) at pixels (P, 2) of its square picture of ``side`` pixels."""
    # The centre of pixel 0 is half a pixel from the picture's edge: align_corners False.
    place = torch.from_numpy((pixels + 0.5) / side * 2.0 - 1.0).float()
    read = F.grid_sample(feature_map[None], place[None, None], padding_mode="border", align_corners=False)
    return F.normalize(read[0, :, 0].T, dim=1)


class Agreement:
    """Sums of what is compared, by angle."""

    def __init__(self, within: float) -> None:
        self.within = within
        self.rows: list[NDArray[np.float64]] = []

    def add(self, a: PosedView, b: PosedView, maps: Sequence[Tensor], found: Correspondences) -> None:
        """Compare the maps (D, h, w) of two square views at corresponding points."""
        if len(found.angle) < 2:
            return
        first = sample(maps[0], found.first, a.image.shape[0])
        second = sample(maps[1], found.second, b.image.shape[0])
        similarity = (first @ second.T).double().numpy()
        far = np.linalg.norm(found.point[:, None] - found.point[None], axis=-1) > self.within
        count = far.sum(axis=1)
        other = np.where(count > 0, (similarity * far).sum(axis=1) / np.maximum(count, 1), np.nan)
        right, chance, reachable = self._retrieved(b, maps[1], first, found.point)
        self.rows.append(
            np.stack((found.angle, np.diagonal(similarity), other, right, chance, reachable), axis=-1)
        )

    def _retrieved(
        self, b: PosedView, feature_map: Tensor, wanted: Tensor, points: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        side = b.image.shape[0]
        steps = np.round((np.arange(CANDIDATES) + 0.5) * side / CANDIDATES - 0.5)
        pixels = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        pixels = pixels[_calibration(b)[1][pixels[:, 1].astype(int), pixels[:, 0].astype(int)] > 0.0]
        best = (wanted @ sample(feature_map, pixels, side).T).argmax(dim=1).numpy()
        distance = np.linalg.norm(world_points(b, pixels)[None] - points[:, None], axis=-1)
        near = distance <= self.within
        return (
            near[np.arange(len(points)), best].astype(float),
            near.mean(axis=1),
            near.any(axis=1).astype(float),
        )

    def figures(self) -> dict[str, Any]:
        """Means over all points, and by angle.

        Raises:
            ValueError: no two views saw the same point.
        """
        if not self.rows:
            raise ValueError(
                "no pair of views saw the same points: do the views overlap, and are poses camera-to-world, in metres?"
            )
        table = np.concatenate(self.rows)
        bins = np.digitize(table[:, 0], ANGLES[1:-1])
        by_angle = [
            {"from_deg": ANGLES[i], "to_deg": ANGLES[i + 1], **_means(table[bins == i])}
            for i in range(len(ANGLES) - 1)
            if (bins == i).any()
        ]
        return {**_means(table), "by_angle": by_angle}


def _means(table: NDArray[np.float64]) -> dict[str, float]:
    names = ("same", "other", "retrieval", "chance", "reachable")
    return {
        "points": len(table),
        **{name: float(np.nanmean(column)) for name, column in zip(names, table[:, 1:].T, strict=True)},
    }


def consistency(encoder: Encoder, views: Iterable[PosedView], args: ConsistencyArgs) -> dict[str, Any]:
    """Compare features over pairs of views, scene by scene; the same pairs and points for every encoder."""
    rng = np.random.default_rng(args.seed)
    agreement = Agreement(args.within)
    for scene in by_scene(views):
        square = [view.square() for view in scene]
        maps = feature_maps(encoder, [view.image for view in square])
        poses = [view.camera_from_world for view in square]
        names = [view.scene for view in square]
        for i, j in pairs_within(names, poses, args.max_angle, args.pairs_per_view, rng):
            found = correspondences(square[i], square[j], args.points, rng)
            agreement.add(square[i], square[j], (maps[i], maps[j]), found)
    return agreement.figures()


def draw(figures: dict[str, dict[str, Any]], path: Path) -> None:
    """The three quantities against the angle, a colour per encoder, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    similarity, retrieval = figure.subplots(1, 2)
    for number, (label, result) in enumerate(figures.items()):
        rows = result["by_angle"]
        angle = [(row["from_deg"] + min(row["to_deg"], 120.0)) / 2 for row in rows]
        colour = f"C{number}"
        similarity.plot(
            angle, [row["same"] for row in rows], "o-", color=colour, label=f"{label}, same point"
        )
        similarity.plot(
            angle, [row["other"] for row in rows], "o:", color=colour, label=f"{label}, other points"
        )
        retrieval.plot(angle, [row["retrieval"] for row in rows], "o-", color=colour, label=label)
        if number == 0:
            retrieval.plot(angle, [row["chance"] for row in rows], ":", color="grey", label="chance")
    similarity.set_ylabel("mean cosine similarity")
    retrieval.set_ylabel("share of points found again")
    retrieval.set_ylim(bottom=0.0)
    for axes in (similarity, retrieval):
        axes.set_xlabel("angle between the lines of sight [deg]")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)


def labelled(encoders: Sequence[str]) -> dict[str, str]:
    """LABEL=CHECKPOINT texts as a dictionary.

    Raises:
        ValueError: a text without label, or a label twice.
    """
    split = {label: checkpoint for label, _, checkpoint in (text.partition("=") for text in encoders)}
    if len(split) < len(encoders) or not all(label and path for label, path in split.items()):
        raise ValueError(f"expected different labels as LABEL=CHECKPOINT, got {' '.join(encoders)}")
    return split


def main() -> None:
    """Command line."""
    args = tyro.cli(ConsistencyArgs, description=__doc__)
    figures = {}
    for label, checkpoint in labelled(args.encoders).items():
        encoder = frozen(checkpoint, device=args.device)
        figures[label] = consistency(encoder, posed_rgbd_views(args.data, args.split), args)
        means = ", ".join(
            f"{name} {figures[label][name]:.3f}" for name in ("same", "other", "retrieval", "chance")
        )
        print(f"{label}: {means}")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "consistency.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    draw(figures, args.out / "consistency.png")
    print(f"consistency.json and consistency.png in {args.out}")


def _calibration(view: PosedView) -> tuple[Any, NDArray[np.float32]]:
    if view.depth is None or view.camera is None:
        raise ValueError(f"a view of {view.scene} has no depth or no intrinsics, which consistency needs")
    return view.camera, view.depth


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


if __name__ == "__main__":
    main()
