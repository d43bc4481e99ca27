"""Training samples from posed RGB-D folders (``spatial_vla.posed_rgbd``, docs/reference/posed_rgbd.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
from spatial_vla.posed_rgbd import PosedScene, find_scenes, read_scene

from .dataset import MultiViewDataset
from .sample import RgbdView, Sampling


@dataclass(frozen=True, eq=False)
class _Reader:
    scene: PosedScene
    with_classes: bool

    @property
    def name(self) -> str:
        return self.scene.folder.name

    def __len__(self) -> int:
        return len(self.scene.frames)

    def view(self, frame: int) -> RgbdView:
        entry, color, depth = self.scene.frames[frame], self.scene.color(frame), self.scene.depth(frame)
        if color.shape[:2] != (entry.camera.height, entry.camera.width):
            raise ValueError(
                f"{self.scene.folder / entry.color} is {color.shape[1]}x{color.shape[0]}, its intrinsics are for "
                f"{entry.camera.width}x{entry.camera.height}"
            )
        height, width = depth.shape
        classes = None
        if self.with_classes:
            classes = self.scene.segmentation(frame)
            classes = cv2.resize(classes, (width, height), interpolation=cv2.INTER_NEAREST).astype(
                classes.dtype
            )
        intrinsics = entry.camera.resized(width, height).K
        return RgbdView(color, depth, intrinsics, entry.camera_to_world, classes)


class PosedRgbdDataset(MultiViewDataset):
    """Samples from a folder of posed RGB-D scenes."""

    def __init__(
        self,
        root: Path | str,
        split: Literal["train", "val", "all"] = "train",
        sampling: Sampling | None = None,
        train: bool = True,
        seed: int = 0,
        repeat: int = 1,
    ) -> None:
        """Look at the scenes at or directly below ``root``; by default the views are neighbouring frames.

        Raises:
            FileNotFoundError: no scene there. ValueError: none of that split, or one that is not in the format.
        """
        super().__init__(sampling or Sampling(interval=1), train, seed, repeat)
        found = [read_scene(folder) for folder in find_scenes(Path(root))]
        self.scenes = [scene for scene in found if split in ("all", scene.split)]
        if not self.scenes:
            splits = sorted({scene.split for scene in found})
            raise ValueError(f"{root} has {len(found)} scenes of the splits {splits}, none of {split!r}")

    def scene_count(self) -> int:
        """How many scenes the split has."""
        return len(self.scenes)

    def open_scene(self, index: int) -> _Reader:
        """One of the scenes."""
        return _Reader(self.scenes[index], self.sampling.originals == "segmentation")
