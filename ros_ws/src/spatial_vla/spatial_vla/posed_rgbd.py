"""Posed RGB-D scenes on disk: a folder with ``scene.json``, colour, depth and perhaps class pictures.

The format is described in ``docs/reference/posed_rgbd.md``. Optical frames (z forward, x right, y down), metres, pixel
centres at integer coordinates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .geometry import PinholeCamera

FORMAT = "posed-rgbd-1"
SCENE_FILE = "scene.json"


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """One view: where its pictures are (relative to the scene's folder), the colour camera, and its pose.

    camera_to_world (4, 4) float64; depth may have another size than colour, over the same field of view.
    """

    color: str
    depth: str
    camera: PinholeCamera
    camera_to_world: NDArray[np.float64]
    segmentation: str | None = None


@dataclass(frozen=True, eq=False)
class PosedScene:
    """A scene in ``folder``: frames in the order of the way, metres per depth unit, split, and names of the classes."""

    folder: Path
    frames: tuple[PosedFrame, ...]
    depth_scale: float = 0.001
    split: str = "train"
    classes: tuple[str, ...] = ()

    def color(self, index: int) -> NDArray[np.uint8]:
        """RGB (h, w, 3) of a frame."""
        return read_image(self.folder / self.frames[index].color, cv2.IMREAD_COLOR_RGB).astype(
            np.uint8, copy=False
        )

    def depth(self, index: int) -> NDArray[np.float32]:
        """Depth (h, w) of a frame in metres along the optical axis, 0 where unknown."""
        path = self.folder / self.frames[index].depth
        stored = read_image(path, cv2.IMREAD_UNCHANGED)
        if stored.ndim != 2 or stored.dtype != np.uint16:
            raise ValueError(
                f"{path} is {stored.dtype} {stored.shape}; expected a 16-bit picture of one channel"
            )
        return stored.astype(np.float32) * np.float32(self.depth_scale)

    def segmentation(self, index: int) -> NDArray[np.uint8]:
        """Class of each pixel (h, w) of a frame, an index into ``classes``.

        Raises:
            ValueError: if the frame has none.
        """
        name = self.frames[index].segmentation
        if name is None:
            raise ValueError(
                f"frame {index} of {self.folder} has no segmentation; add 'segmentation' to its entry in {SCENE_FILE}, "
                "or use a teacher that needs none"
            )
        return read_image(self.folder / name, cv2.IMREAD_UNCHANGED).astype(np.uint8, copy=False)


def read_image(path: Path, flags: int) -> NDArray[Any]:
    """The picture in a file, as OpenCV reads it.

    Raises:
        FileNotFoundError: if there is no such file. ValueError: if it is not a picture.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    image = cv2.imread(str(path), flags)
    if image is None:
        raise ValueError(f"{path} cannot be read as a picture; expected PNG or JPEG")
    return image


def write_image(path: Path, image: NDArray[Any]) -> None:
    """Write RGB (h, w, 3) uint8, depth (h, w) uint16 or classes (h, w) uint8; the name's ending says how.

    Raises:
        OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    png = path.suffix.lower() == ".png"
    how = [cv2.IMWRITE_PNG_COMPRESSION, 4] if png else [cv2.IMWRITE_JPEG_QUALITY, 95]
    done, data = cv2.imencode(path.suffix, stored, how)
    if not done:
        raise OSError(f"{path} cannot be encoded")
    path.write_bytes(data.tobytes())


def encode_depth(depth: NDArray[np.floating], depth_scale: float) -> NDArray[np.uint16]:
    """Metres (h, w) to 16 bit; what is unknown, not positive or too far for 16 bits becomes 0."""
    units = np.rint(np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0) / depth_scale)
    return np.where((units > 0) & (units <= 65535), units, 0).astype(np.uint16)


def write_scene(scene: PosedScene) -> None:
    """Write ``scene.json``; the pictures are written by the caller. Intrinsics are shared where they are equal."""
    common = scene.frames[0].camera
    content = {
        "format": FORMAT,
        "depth_scale": scene.depth_scale,
        "split": scene.split,
        "intrinsics": _intrinsics(common),
        "classes": list(scene.classes),
        "frames": [_entry(frame, common) for frame in scene.frames],
    }
    scene.folder.mkdir(parents=True, exist_ok=True)
    (scene.folder / SCENE_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_scene(folder: Path) -> PosedScene:
    """Read ``scene.json`` of a folder; pictures are read when asked for.

    Raises:
        FileNotFoundError: if there is no ``scene.json``.
        ValueError: if something in it is not as the format says; the message names the file and the entry.
    """
    path = folder / SCENE_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a posed RGB-D scene: it has no {SCENE_FILE}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if content.get("format") != FORMAT:
        raise ValueError(f"{path} has format {content.get('format')!r}; expected {FORMAT!r}")
    common = content.get("intrinsics")
    frames = tuple(_frame(path, n, entry, common) for n, entry in enumerate(content.get("frames", ())))
    if not frames:
        raise ValueError(f"{path} lists no frames")
    scale = float(content.get("depth_scale", 0.0))
    if not scale > 0.0:
        raise ValueError(
            f"{path} has depth_scale {content.get('depth_scale')!r}; expected metres per unit, e.g. 0.001"
        )
    return PosedScene(folder, frames, scale, content.get("split", "train"), tuple(content.get("classes", ())))


def find_scenes(root: Path) -> list[Path]:
    """Scene folders at or directly below ``root``, sorted.

    Raises:
        FileNotFoundError: if there is none.
    """
    found = (
        [root]
        if (root / SCENE_FILE).is_file()
        else sorted(path.parent for path in root.glob(f"*/{SCENE_FILE}"))
    )
    if not found:
        raise FileNotFoundError(f"no posed RGB-D scene in {root}: expected {root}/<scene>/{SCENE_FILE}")
    return found


def _intrinsics(camera: PinholeCamera) -> dict[str, float]:
    return {name: getattr(camera, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}


def _entry(frame: PosedFrame, common: PinholeCamera) -> dict[str, Any]:
    entry: dict[str, Any] = {"color": frame.color, "depth": frame.depth}
    if frame.segmentation:
        entry["segmentation"] = frame.segmentation
    if frame.camera != common:
        entry["intrinsics"] = _intrinsics(frame.camera)
    return {**entry, "camera_to_world": np.asarray(frame.camera_to_world).tolist()}


def _frame(path: Path, number: int, entry: Mapping[str, Any], common: Mapping[str, Any] | None) -> PosedFrame:
    where = f"frame {number} of {path}"
    for key in ("color", "depth", "camera_to_world"):
        if key not in entry:
            raise ValueError(f"{where} has no {key!r}; expected color, depth and camera_to_world")
    intrinsics = entry.get("intrinsics", common)
    try:
        camera = PinholeCamera(**(intrinsics or {}))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where} has intrinsics {intrinsics!r} ({error}); expected width, height, fx, fy, cx, cy in pixels"
        ) from error
    pose = checked_pose(entry["camera_to_world"], where)
    return PosedFrame(entry["color"], entry["depth"], camera, pose, entry.get("segmentation"))


def checked_pose(matrix: Sequence[Sequence[float]] | NDArray[Any], where: str) -> NDArray[np.float64]:
    """A homogeneous 4x4 matrix, float64.

    Raises:
        ValueError: if it is not a finite rotation and translation; the message starts with ``where``.
    """
    pose = np.asarray(matrix, dtype=np.float64)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise ValueError(f"{where} has camera_to_world {matrix!r}; expected 4x4 finite numbers")
    rotation = pose[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > 1e-3 or np.linalg.det(rotation) < 0.0:
        raise ValueError(
            f"{where} has a camera_to_world whose upper left 3x3 is not a rotation (off by {error:.2g}, determinant "
            f"{np.linalg.det(rotation):.3g}); remove scale and mirroring from it"
        )
    return pose
