"""Make the metadata of ScanNet scenes: ``python -m spatial_models.spa.data.scannet_metadata --root data/scannet``.

The scenes of a split are the entries of ``<root>/<split>/`` (their names, without an ending), or the lines of
``<root>/<split>.txt``. What is written is described in ``scannet``; frames whose pose is not finite are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from rich.progress import track


@dataclass
class MetadataArgs:
    """Collect intrinsics, poses and paths of ScanNet scenes into one JSON file per scene."""

    root: Path = Path("data/scannet")
    """folder with rgbd/ and the lists of scenes"""
    splits: tuple[str, ...] = ("train", "val")
    """splits to make"""
    jobs: int = 1
    """processes"""


def scene_names(root: Path, split: str) -> list[str]:
    """Scenes of a split.

    Raises:
        FileNotFoundError: if nothing lists them. ValueError: if the list is empty.
    """
    folder, listing = root / split, root / f"{split}.txt"
    if folder.is_dir():
        names = sorted(
            {path.name.split(".")[0] for path in folder.iterdir() if not path.name.startswith(".")}
        )
    elif listing.is_file():
        names = sorted(listing.read_text(encoding="utf-8").split())
    else:
        raise FileNotFoundError(f"nothing lists the scenes of {split!r}: expected {folder}/ or {listing}")
    if not names:
        raise ValueError(f"the list of {split!r} scenes in {root} is empty")
    return names


def scene_metadata(rgbd: Path, name: str) -> dict[str, object]:
    """What is written for one scene: scene_name, intrinsic (4x4), frames with color_path, depth_path and extrinsic.

    Raises:
        FileNotFoundError: if a file of the scene is missing. ValueError: if it has no usable frame or a bad matrix.
    """
    scene = rgbd / name
    frames = []
    for pose_file in sorted((scene / "pose").glob("*.txt"), key=lambda path: int(path.stem)):
        pose = _matrix(pose_file)
        if not np.isfinite(pose).all():
            continue
        color, depth = (
            scene / kind / f"{pose_file.stem}.{end}" for kind, end in (("color", "jpg"), ("depth", "png"))
        )
        for path in (color, depth):
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing, although {pose_file} is there")
        frames.append(
            {
                "color_path": color.relative_to(rgbd).as_posix(),
                "depth_path": depth.relative_to(rgbd).as_posix(),
                "extrinsic": np.linalg.inv(pose).tolist(),
            }
        )
    if not frames:
        raise ValueError(
            f"{scene} has no frame with a finite pose; expected pose/<number>.txt with 4x4 numbers"
        )
    intrinsic = _matrix(scene / "intrinsic" / "intrinsic_depth.txt")
    return {"scene_name": name, "intrinsic": intrinsic.tolist(), "frames": frames}


def make_metadata(args: MetadataArgs) -> None:
    """Write ``<root>/metadata/<split>/<scene>.json`` for all scenes; the first error ends it and says which scene."""
    for split in args.splits:
        names, target = scene_names(args.root, split), args.root / "metadata" / split
        target.mkdir(parents=True, exist_ok=True)
        work = partial(_write, args.root / "rgbd", target)
        if args.jobs == 1:
            _consume(map(work, names), len(names), split)
        else:
            with ProcessPoolExecutor(args.jobs) as pool:
                _consume(pool.map(work, names, chunksize=4), len(names), split)


def _consume(results: Iterable[None], total: int, split: str) -> None:
    for _ in track(results, description=split, total=total):
        pass


def _write(rgbd: Path, target: Path, name: str) -> None:
    aside = target / f"{name}.partial"
    aside.write_text(json.dumps(scene_metadata(rgbd, name)), encoding="utf-8")
    aside.rename(target / f"{name}.json")


def _matrix(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected ScanNet exported in PonderV2's layout")
    numbers = path.read_text(encoding="utf-8").split()
    try:
        return np.array(numbers, dtype=np.float64).reshape(4, 4)
    except ValueError as error:
        raise ValueError(f"{path} holds {len(numbers)} numbers ({error}); expected a 4x4 matrix") from error


if __name__ == "__main__":
    make_metadata(tyro.cli(MetadataArgs))
