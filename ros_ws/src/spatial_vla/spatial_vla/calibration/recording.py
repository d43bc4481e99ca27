"""A folder of samples that grows one by one and is whole at every moment, so that a session can be gone on with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from ..geometry import SE3
from .board import Board
from .camera import CalibratedCamera
from .errors import CalibrationError
from .files import read_camera_info, read_yaml, write_camera_info, write_yaml
from .session import Capture, read_captures, write_captures


class Recording:
    """``board.yaml``, ``camera_info.yaml``, ``samples.yaml`` and ``images/`` in a folder.

    Args:
        folder: made if it is not there; if there are samples in it, they are gone on with.
        board: the board that is looked at.
        camera: intrinsics of the images; None if they are not known yet.

    Raises:
        CalibrationError: the samples in the folder are of another board or another camera mode.
    """

    def __init__(self, folder: Path, board: Board, camera: CalibratedCamera | None, name: str) -> None:
        self.folder = folder
        self.samples, info = folder / "samples.yaml", folder / "camera_info.yaml"
        self.captures: list[Capture] = []
        if self.samples.exists():
            self._require_same(board, camera, info)
            self.captures = read_captures(self.samples)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        write_yaml(folder / "board.yaml", board.to_dict())
        if camera is not None:
            write_camera_info(info, name, camera)

    def add(self, rgb: NDArray[np.uint8], base_from_gripper: SE3) -> Path:
        """Keep a sample: image (H, W, 3) RGB and the gripper's pose. Returns the image's path."""
        image = self.folder / "images" / f"{len(self.captures):02d}.png"
        _, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        aside = image.with_name(f".{image.name}.part")
        aside.write_bytes(png.tobytes())
        aside.replace(image)
        self.captures.append(Capture(image, base_from_gripper))
        # Only now does the list name the image: whatever ends the session, the list is of images that are there.
        aside = self.samples.with_name(f".{self.samples.name}.part")
        write_captures(aside, self.captures)
        aside.replace(self.samples)
        return image

    def _require_same(self, board: Board, camera: CalibratedCamera | None, info: Path) -> None:
        before = read_yaml(self.folder / "board.yaml")
        wayout = "give another --output, or remove the folder to begin anew"
        if before != yaml.safe_load(yaml.safe_dump(board.to_dict())):
            raise CalibrationError(
                f"{self.folder} holds samples of the board {before}, not of {board.to_dict()}; {wayout}"
            )
        if camera is None or not info.exists():
            return
        known, now = read_camera_info(info)[1].pinhole, camera.pinhole
        if (known.width, known.height) != (now.width, now.height) or not np.allclose(
            known.K, now.K, rtol=1e-6
        ):
            one, other = (f"{p.width}x{p.height} px with K = {p.K.ravel().tolist()}" for p in (known, now))
            raise CalibrationError(
                f"{self.folder} holds samples of a camera of {one}, not of {other}; {wayout}"
            )
