"""A calibration session on disk: images and, for hand-eye, where the robot was. It can be computed anew at any time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3
from .board import Board, Corners
from .camera import CalibratedCamera, board_pose
from .drift import Drift, DriftMonitor
from .errors import CalibrationError
from .files import StaticTransform, pose_from, pose_table, read_yaml, write_yaml
from .hand_eye import Sample

FEWEST_TO_VERIFY = 3
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Capture:
    """An image file and the robot's pose base_from_gripper when it was taken."""

    image: Path
    base_from_gripper: SE3


def image_files(folder: Path) -> list[Path]:
    """Images in a folder, by name. Raises CalibrationError if there are none."""
    if not folder.is_dir():
        raise CalibrationError(f"no folder {folder}")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    if not found:
        raise CalibrationError(f"{folder} holds no images ({', '.join(IMAGES)})")
    return found


def read_grey(path: Path) -> NDArray[np.uint8]:
    """An image as grey values (H, W). Raises CalibrationError if it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise CalibrationError(f"{path} is not an image that OpenCV can read")
    return np.asarray(image, dtype=np.uint8)


def detect_all(
    board: Board, files: Iterable[Path]
) -> tuple[list[tuple[Path, Corners]], list[Path], tuple[int, int]]:
    """Corners per image, the images without a board, and the width and height that all images share."""
    found: list[tuple[Path, Corners]] = []
    missed: list[Path] = []
    size: tuple[int, int] | None = None
    for path in files:
        image = read_grey(path)
        shape = (image.shape[1], image.shape[0])
        if size is not None and shape != size:
            raise CalibrationError(
                f"{path} is {shape[0]}x{shape[1]}, the images before it are {size[0]}x{size[1]}; "
                "calibrate one camera mode at a time"
            )
        size = shape
        corners = board.detect(image)
        if corners is None:
            missed.append(path)
        else:
            found.append((path, corners))
    return found, missed, size or (0, 0)


def read_captures(path: Path) -> list[Capture]:
    """Captures from a sample file; image paths are relative to it. Raises CalibrationError naming the bad entry."""
    rows = read_yaml(path).get("samples")
    if not isinstance(rows, list) or not rows:
        raise CalibrationError(f"{path} has no list 'samples'; see calibration/README.md for the form")
    return [_capture(row, i, path) for i, row in enumerate(rows)]


def _capture(row: Any, index: int, path: Path) -> Capture:
    if not isinstance(row, dict) or not {"image", "base_from_gripper"} <= set(row):
        raise CalibrationError(f"{path}: sample {index} is {row!r}; expected 'image' and 'base_from_gripper'")
    return Capture(path.parent / str(row["image"]), pose_from(row["base_from_gripper"], path))


def write_captures(path: Path, captures: Iterable[Capture]) -> None:
    """Write a sample file; the images must lie beside or below it."""
    rows = [
        {
            "image": capture.image.relative_to(path.parent).as_posix(),
            "base_from_gripper": pose_table(capture.base_from_gripper),
        }
        for capture in captures
    ]
    write_yaml(path, {"samples": rows})


def samples_from(
    captures: Iterable[Capture], board: Board, camera: CalibratedCamera
) -> tuple[list[Sample], list[Path]]:
    """Samples for hand-eye calibration, and the images in which no board was found.

    Raises:
        CalibrationError: a chessboard, which looks the same when turned by 180 degrees, or images of another size.
    """
    if board.kind != "charuco":
        raise CalibrationError(
            "hand-eye calibration needs a ChArUco board: a chessboard looks the same when turned by 180 degrees"
        )
    poses = {capture.image: capture.base_from_gripper for capture in captures}
    found, missed, size = detect_all(board, poses)
    expected = (camera.pinhole.width, camera.pinhole.height)
    if found and size != expected:
        raise CalibrationError(
            f"images are {size[0]}x{size[1]}, the intrinsics are for {expected[0]}x{expected[1]}; "
            "use the camera mode that was calibrated"
        )
    samples = [Sample(path.name, poses[path], board_pose(corners, camera)) for path, corners in found]
    return samples, missed


def verify(
    samples: Path,
    camera: CalibratedCamera,
    pose: StaticTransform,
    known: StaticTransform,
    tolerance: tuple[float, float],
) -> tuple[list[tuple[str, Drift]], Drift]:
    """How far the board is seen from where it should be: in each sample, and the median of all.

    Args:
        pose: of the camera, in the gripper or in the base. known: of the board, in the other of the two.
        tolerance: (m, rad).

    Raises:
        CalibrationError: no board in fewer than three images, or files that do not belong together.
    """
    if not isinstance(known.figures.get("board"), dict):
        raise CalibrationError(f"the pose of {known.child} does not say what the board is (quality: board:)")
    board = Board.from_dict(known.figures["board"])
    taken, missed = samples_from(read_captures(samples), board, camera)
    if len(taken) < FEWEST_TO_VERIFY:
        raise CalibrationError(
            f"the board is in {len(taken)} images, not in {[path.name for path in missed]}; at least "
            f"{FEWEST_TO_VERIFY} are needed"
        )
    setup = pose.figures.get("setup")
    if setup not in ("eye-in-hand", "eye-to-hand"):
        raise CalibrationError(f"the pose of {pose.child} does not say how it is mounted (quality: setup:)")
    rows: list[tuple[str, Drift]] = []
    together = DriftMonitor(board, known.pose, tolerance, len(taken))
    drift: Drift | None = None
    for sample in taken:
        gripper = sample.base_from_gripper
        moving = gripper if setup == "eye-in-hand" else gripper.inverse()
        one = DriftMonitor(board, known.pose, tolerance, 1).observe(moving @ pose.pose, sample.view)
        drift = together.observe(moving @ pose.pose, sample.view)
        assert one is not None
        rows.append((sample.name, one))
    assert drift is not None
    return rows, drift
