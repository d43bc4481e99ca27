"""Views of posed RGB-D folders (``spatial_vla.posed_rgbd``, docs/reference/posed_rgbd.md), scene by scene."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from spatial_vla.geometry import SE3
from spatial_vla.posed_rgbd import find_scenes, read_scene

from .posed_view import PosedView

Split = Literal["train", "val", "all"]


def posed_rgbd_views(root: Path, split: Split = "all") -> Iterator[PosedView]:
    """Views of all scenes of a split at or below ``root``; depth is brought to the size of the colour picture.

    Raises:
        FileNotFoundError: no scene at all. ValueError: none of that split.
    """
    scenes = [scene for scene in map(read_scene, find_scenes(Path(root))) if split in ("all", scene.split)]
    if not scenes:
        raise ValueError(f"no scene in {root} has the split {split!r}; choose another split, or 'all'")
    for scene in scenes:
        for index, frame in enumerate(scene.frames):
            image = scene.color(index)
            height, width = image.shape[:2]
            depth = cv2.resize(scene.depth(index), (width, height), interpolation=cv2.INTER_NEAREST)
            pose = SE3.from_matrix(frame.camera_to_world).inverse()
            yield PosedView(scene.folder.name, image, pose, np.asarray(depth, np.float32), frame.camera)
