"""ScanNet in PonderV2's layout:

    <root>/rgbd/<scene>/color/*.jpg  depth/*.png  pose/*.txt  intrinsic/intrinsic_depth.txt
    <root>/metadata/<split>/<scene>.json      made by ``python -m spatial_models.spa.data.scannet_metadata``

Depth is in millimetres, 0 = unknown; poses are camera-to-world. Published metadata (``.pth``) are read too, without
running anything that is pickled in them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from spatial_vla.posed_rgbd import read_image

from .dataset import MultiViewDataset
from .sample import RgbdView, Sampling

DEPTH_SCALE = 0.001
_HOW = "make it with python -m spatial_models.spa.data.scannet_metadata"


@dataclass(frozen=True, eq=False)
class ScanNetFrame:
    """Pictures relative to ``<root>/rgbd``, and world_to_camera (4, 4)."""

    color: str
    depth: str
    extrinsic: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScanNetScene:
    """A scene of the data set at ``root``; ``intrinsic`` (4, 4) is that of the depth camera."""

    root: Path
    name: str
    intrinsic: NDArray[np.float64]
    frames: tuple[ScanNetFrame, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def view(self, frame: int) -> RgbdView:
        """Read one frame."""
        entry, folder = self.frames[frame], self.root / "rgbd"
        color = read_image(folder / entry.color, cv2.IMREAD_COLOR_RGB).astype(np.uint8, copy=False)
        depth = read_image(folder / entry.depth, cv2.IMREAD_UNCHANGED).astype(np.float32) * np.float32(
            DEPTH_SCALE
        )
        return RgbdView(
            color, depth, self.intrinsic[:3, :3], np.linalg.inv(entry.extrinsic).astype(np.float64)
        )


class ScanNetDataset(MultiViewDataset):
    """Samples from ScanNet: one to eight views, every 20th frame."""

    def __init__(
        self,
        root: Path | str,
        split: str = "train",
        sampling: Sampling | None = None,
        train: bool = True,
        seed: int = 0,
        repeat: int = 1,
    ) -> None:
        """List the scenes of ``<root>/metadata/<split>``.

        Raises:
            FileNotFoundError: if there is no metadata; the message says how to make it.
        """
        super().__init__(sampling or Sampling(), train, seed, repeat)
        self.root = Path(root)
        folder = self.root / "metadata" / split
        self.files = sorted(folder.glob("*.json")) or sorted(folder.glob("*.pth"))
        if not self.files:
            raise FileNotFoundError(f"no metadata of ScanNet scenes in {folder}; {_HOW} --root {self.root}")

    def scene_count(self) -> int:
        """How many scenes the split has."""
        return len(self.files)

    def open_scene(self, index: int) -> ScanNetScene:
        """One of the scenes."""
        return read_metadata(self.files[index], self.root)


def read_metadata(path: Path, root: Path) -> ScanNetScene:
    """Read the metadata of one scene, ``.json`` or ``.pth``.

    Raises:
        ValueError: if something in it is not as expected, or if a ``.pth`` holds more than numbers, texts and arrays.
    """
    content = _read_pth(path) if path.suffix == ".pth" else json.loads(path.read_text(encoding="utf-8"))
    try:
        frames = tuple(
            ScanNetFrame(
                _inside_rgbd(frame["color_path"]),
                _inside_rgbd(frame["depth_path"]),
                np.asarray(frame["extrinsic"], np.float64).reshape(4, 4),
            )
            for frame in content["frames"]
        )
        intrinsic = np.asarray(content["intrinsic"], np.float64).reshape(4, 4)
        name = str(content["scene_name"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not ScanNet metadata ({error!r}); expected scene_name, intrinsic 4x4 and frames with "
            f"color_path, depth_path and extrinsic 4x4; {_HOW}"
        ) from error
    if not frames:
        raise ValueError(f"{path} lists no frames; delete it and {_HOW}")
    return ScanNetScene(root, name, intrinsic, frames)


def _inside_rgbd(path: str) -> str:
    """The last three parts, ``<scene>/color/<file>``: published paths start at their authors' folders."""
    parts = PurePosixPath(path).parts
    if len(parts) < 3:
        raise ValueError(f"path {path!r} is not .../<scene>/<color or depth>/<file>")
    return str(PurePosixPath(*parts[-3:]))


def _read_pth(path: Path) -> dict[str, Any]:
    """A dict saved by torch, of plain values, tensors and numeric arrays; nothing else is unpickled."""
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read without running code from it ({type(error).__name__}: {error}); {_HOW}"
        ) from error


def _numpy_globals() -> list[Any]:
    """What numeric arrays and numbers of numpy are pickled as, by the names of numpy 1 and 2."""
    array: Any = np.empty(0).__reduce__()[0]
    number: Any = np.float64(0.0).__reduce__()[0]
    old = [(array, "numpy.core.multiarray._reconstruct"), (number, "numpy.core.multiarray.scalar")]
    kinds = {type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "u2", "?")}
    return [np.ndarray, np.dtype, array, number, *old, *kinds]
