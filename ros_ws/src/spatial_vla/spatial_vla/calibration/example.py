"""Writes the images and robot poses of a simulated rig, with its truth beside them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .files import StaticTransform, write_camera_info, write_static_transform, write_yaml
from .hand_eye import Setup
from .rendering import BoardRenderer
from .rig import simulated_rig
from .session import Capture, write_captures


def write_example(folder: Path, setup: Setup, count: int, seed: int) -> None:
    """Images, ``samples.yaml``, ``board.yaml``, and the truth: ``true_camera_info.yaml`` and ``true_pose.yaml``."""
    rng = np.random.default_rng(seed)
    rig = simulated_rig(setup, count, rng)
    renderer = BoardRenderer(rig.board, rig.camera)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    captures = []
    for i, (view, gripper) in enumerate(zip(rig.views, rig.grippers, strict=True)):
        path = folder / "images" / f"{i:02d}.jpg"
        cv2.imwrite(str(path), renderer.render(view, rng), [cv2.IMWRITE_JPEG_QUALITY, 80])
        captures.append(Capture(path, gripper))
    write_captures(folder / "samples.yaml", captures)
    write_yaml(folder / "board.yaml", rig.board.to_dict())
    write_camera_info(folder / "true_camera_info.yaml", "camera", rig.camera)
    parent = "panda_hand" if setup == "eye-in-hand" else "panda_link0"
    truth = StaticTransform(parent, "wrist_camera_optical_frame", rig.camera_pose, {"seed": seed})
    write_static_transform(folder / "true_pose.yaml", truth)
