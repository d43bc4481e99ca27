"""Reader of NAVI (Jampani et al., NeurIPS 2023; github.com/google/navi, versions 1.0 and 1.5) as probe3d uses it.

    <root>/<object>/<scene>/annotations.json     [{filename, image_size, camera: {q: [w, x, y, z], t: [mm]}, ...}]
                            images/000.jpg ...   depth/000.png ...  (encoded disparity; 0 where the object is not)

Scenes are ``multiview-*`` and ``wild_set``; an object needs both. Training are the first 90 % of an object's multi-view
scenes in alphabetic order, validation the rest, test the wild set. Pictures are cropped to the square around the
object's box, which is where the depth image is not zero. The annotated transform maps the object into the camera's
optical frame (x right, y down, z forward). Video scenes are left out. Where probe3d's preprocessing has left
``downsampled_000.jpg``, that is read instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from spatial_vla.geometry import SE3

from .posed_view import PosedView

Split = Literal["train", "valid", "test"]
TRAIN_SHARE = 0.9
SMALLER = "downsampled_"


def navi_scenes(root: Path, split: Split) -> list[Path]:
    """Folders of the scenes of a split.

    Raises:
        FileNotFoundError: there is nothing in NAVI's layout.
    """
    scenes: list[Path] = []
    for thing in sorted(p for p in Path(root).glob("*") if p.is_dir()):
        wild = thing / "wild_set"
        several = sorted(p for p in thing.glob("multiview*") if (p / "annotations.json").exists())
        if not several or not (wild / "annotations.json").exists():
            continue
        cut = int(TRAIN_SHARE * len(several))
        scenes += {"train": several[:cut], "valid": several[cut:], "test": [wild]}[split]
    if not scenes:
        raise FileNotFoundError(
            f"no NAVI scenes for {split!r} in {root}; expected <object>/multiview-*/annotations.json and "
            "<object>/wild_set/annotations.json (train wants two multi-view scenes or more per object). "
            "github.com/google/navi says where to download it"
        )
    return scenes


def navi_views(root: Path, split: Split, size: int) -> Iterator[PosedView]:
    """Views of a split, scene by scene, square with side ``size`` [px]."""
    for folder in navi_scenes(root, split):
        annotations = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
        for annotation in annotations:
            yield _view(folder, annotation, size)


def _view(folder: Path, annotation: dict[str, Any], size: int) -> PosedView:
    name = Path(annotation["filename"])
    image = _read(folder / "images" / name.with_suffix(".jpg"), cv2.IMREAD_COLOR_RGB)
    depth = _read(folder / "depth" / name.with_suffix(".png"), cv2.IMREAD_UNCHANGED)
    left, top, side = object_square(depth > 0, image.shape[:2])
    crop = cv2.resize(image[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
    scene = f"{folder.parent.name}/{folder.name}"
    return PosedView(scene, np.asarray(crop, dtype=np.uint8), _pose(annotation["camera"], folder))


def object_square(mask: NDArray[np.bool_], shape: tuple[int, int]) -> tuple[int, int, int]:
    """Left, top and side [px] of the square around a mask's box, as large as the box's longer side.

    It is moved into the picture where it would leave it, and cut down to the picture's shorter side.

    Args:
        mask: (h, w), of the picture's aspect ratio. shape: height and width of the picture.
    """
    if not mask.any():
        raise ValueError("the depth image is empty: there is no object to crop to")
    scale = np.array(shape) / mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    low = np.array((rows[0], columns[0])) * scale
    high = np.array((rows[-1] + 1, columns[-1] + 1)) * scale
    side = min(round(float((high - low).max())), *shape)
    top, left = (int(x) for x in np.clip(np.round((low + high - side) / 2), 0, np.array(shape) - side))
    return left, top, side


def _pose(camera: dict[str, Any], folder: Path) -> SE3:
    w, x, y, z = camera["q"]
    try:
        return SE3.from_quaternion(np.array(camera["t"]) / 1000.0, (x, y, z, w))
    except ValueError as error:
        raise ValueError(f"{folder / 'annotations.json'}: {error}") from None


def _read(path: Path, flags: int) -> NDArray:
    smaller = path.with_name(SMALLER + path.name)
    chosen = smaller if smaller.exists() else path
    image = cv2.imread(str(chosen), flags)
    if image is None:
        raise FileNotFoundError(f"cannot read {chosen}; annotations.json of its scene names it")
    return np.asarray(image)
