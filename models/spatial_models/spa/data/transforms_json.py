"""Convert a ``transforms.json`` (nerfstudio, instant-ngp, COLMAP through them) into a posed RGB-D scene:

    python -m spatial_models.spa.data.transforms_json room/transforms.json data/posed/room

Camera axes there are OpenGL's (x right, y up, z backward), here OpenCV's. Pixel centres there are at 0.5, here at
integers. Intrinsics may be global or per frame. Distorted pictures (OPENCV) are undistorted with OpenCV. Depth is
needed (``depth_file_path``, 16-bit PNG or .npy), and poses have to be metric, or the factor that makes them so given.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.progress import track
from spatial_vla.geometry import PinholeCamera
from spatial_vla.posed_rgbd import (
    PosedFrame,
    PosedScene,
    checked_pose,
    encode_depth,
    read_image,
    write_image,
    write_scene,
)

#: Rows and columns of an OpenGL camera's axes in terms of OpenCV's.
OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
_DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")


@dataclass
class ConvertArgs:
    """Convert transforms.json with depth into a posed RGB-D scene folder."""

    transforms: Annotated[Path, tyro.conf.Positional]
    """the transforms.json; picture paths in it are relative to its folder"""
    out: Annotated[Path, tyro.conf.Positional]
    """folder of the scene to write; it must not exist yet"""
    depth_unit: float = 0.001
    """metres per unit of the depth pictures"""
    pose_unit: float = 1.0
    """metres per unit of the camera positions; COLMAP's scale is arbitrary"""
    depth_scale: float = 0.001
    """metres per unit of the depth pictures that are written"""
    split: str = "train"
    """split the scene belongs to"""


@dataclass(frozen=True, eq=False)
class _Lens:
    camera: PinholeCamera
    distortion: NDArray[np.float64]

    @property
    def distorted(self) -> bool:
        return bool(np.any(self.distortion))

    def straightened(self, image: NDArray[Any], flags: int) -> NDArray[Any]:
        """The picture (of any size over the same view) as a lens without distortion sees it; 0 outside."""
        if not self.distorted:
            return image
        height, width = image.shape[:2]
        K = self.camera.resized(width, height).K
        maps = cv2.initUndistortRectifyMap(K, self.distortion, np.eye(3), K, (width, height), cv2.CV_32FC1)
        return cv2.remap(image, *maps, flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def convert(args: ConvertArgs) -> PosedScene:
    """Convert all frames, ordered by their file names.

    Raises:
        FileNotFoundError: if a file is missing. FileExistsError: if ``out`` is there already.
        ValueError: if a frame has no depth, a lens is not handled, or an entry is not as expected.
    """
    if args.out.exists():
        raise FileExistsError(f"{args.out} exists; remove it or choose another folder")
    if not args.transforms.is_file():
        raise FileNotFoundError(f"{args.transforms} does not exist; expected a transforms.json")
    content = json.loads(args.transforms.read_text(encoding="utf-8"))
    entries = sorted(content.get("frames", ()), key=lambda entry: entry["file_path"])
    if not entries:
        raise ValueError(f"{args.transforms} lists no frames")
    for entry in entries:
        if "depth_file_path" not in entry:
            raise ValueError(
                f"frame {entry['file_path']!r} of {args.transforms} has no depth_file_path; the pre-training needs "
                "depth. Export it with the recording (Record3D, Polycam, ...) or render it from a reconstruction"
            )
    aside = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    progress = track(entries, description="converting")
    frames = tuple(_convert_frame(args, aside, content, entry, n) for n, entry in enumerate(progress))
    write_scene(PosedScene(aside, frames, args.depth_scale, args.split))
    aside.rename(args.out)
    return PosedScene(args.out, frames, args.depth_scale, args.split)


def _convert_frame(
    args: ConvertArgs, folder: Path, content: Mapping[str, Any], entry: Mapping[str, Any], number: int
) -> PosedFrame:
    where = f"frame {entry['file_path']!r} of {args.transforms}"
    source = _picture_file(args.transforms.parent / entry["file_path"])
    color = read_image(source, cv2.IMREAD_COLOR_RGB)
    lens = _lens({**content, **entry}, color.shape[1], color.shape[0], where)
    name = f"{number:05d}"
    color_path, depth_path = f"color/{name}{source.suffix.lower()}", f"depth/{name}.png"
    if lens.distorted:
        write_image(folder / color_path, lens.straightened(color, cv2.INTER_LINEAR))
    else:
        (folder / "color").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / color_path)
    depth = _read_depth(args.transforms.parent / entry["depth_file_path"]) * args.depth_unit
    depth = lens.straightened(np.nan_to_num(depth, nan=0.0, posinf=0.0), cv2.INTER_NEAREST)
    write_image(folder / depth_path, encode_depth(depth, args.depth_scale))
    return PosedFrame(color_path, depth_path, lens.camera, _pose(entry, args.pose_unit, where))


def _pose(entry: Mapping[str, Any], unit: float, where: str) -> NDArray[np.float64]:
    matrix = np.asarray(entry.get("transform_matrix"), dtype=np.float64)
    if matrix.shape == (3, 4):
        matrix = np.vstack((matrix, [0.0, 0.0, 0.0, 1.0]))
    pose = checked_pose(matrix, where) @ OPENGL_TO_OPENCV
    pose[:3, 3] *= unit
    return pose


def _lens(values: Mapping[str, Any], width: int, height: int, where: str) -> _Lens:
    """Intrinsics in pixels of a picture of this size; those of another size are scaled."""
    distortion = np.array([float(values.get(key, 0.0)) for key in _DISTORTION])
    model = str(values.get("camera_model", "OPENCV")).upper()
    if model not in _PERSPECTIVE:
        raise ValueError(
            f"{where} has camera_model {model!r}, which is not handled; undistort it first (colmap image_undistorter), "
            f"or use one of {', '.join(_PERSPECTIVE)}"
        )
    w, h = int(values.get("w", width)), int(values.get("h", height))
    if "fl_x" in values:
        fx = float(values["fl_x"])
    elif "camera_angle_x" in values:
        fx = w / 2.0 / np.tan(float(values["camera_angle_x"]) / 2.0)
    else:
        raise ValueError(
            f"{where} has no focal length; expected fl_x [px] or camera_angle_x [rad], global or per frame"
        )
    fy = float(values.get("fl_y", fx))
    cx, cy = float(values.get("cx", w / 2.0)) - 0.5, float(values.get("cy", h / 2.0)) - 0.5
    return _Lens(PinholeCamera(w, h, fx, fy, cx, cy).resized(width, height), distortion)


def _picture_file(path: Path) -> Path:
    """The file itself, or with the ending that Blender's exports leave out."""
    for candidate in (path, path.with_name(path.name + ".png"), path.with_name(path.name + ".jpg")):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{path} does not exist; paths in transforms.json are relative to its folder")


def _read_depth(path: Path) -> NDArray[np.float64]:
    if path.suffix == ".npy":
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist")
        depth = np.load(path, allow_pickle=False)
    else:
        depth = read_image(path, cv2.IMREAD_UNCHANGED)
    depth = np.squeeze(depth)
    if depth.ndim != 2 or depth.dtype == np.uint8:
        raise ValueError(
            f"{path} is {depth.dtype} {depth.shape}; expected depth of one channel, 16 bit or float"
        )
    return depth.astype(np.float64)


if __name__ == "__main__":
    scene = convert(tyro.cli(ConvertArgs))
    print(f"{len(scene.frames)} frames in {scene.folder}")
