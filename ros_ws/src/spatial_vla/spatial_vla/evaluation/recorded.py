"""Recorded demonstrations as moments to evaluate on.

A recording holds points in the base frame, not depth and poses. Both follow from them: every sub-cell's pixel and point
are known, so the camera's pose is that which projects the points to their pixels, and depth is the points' along its
axis. Between sub-cells, depth is that of the cell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3, PinholeCamera, rotvec_to_matrix
from ..language.grammar import COLOURS, SHAPES, VERBS, Command, ObjectPhrase, render
from ..policy.preprocess import cell_pixels
from .observation import Observation
from .open_loop import Sample

CELLS = 16  # of a patch, as recorded
MOST_OFF = 1.0  # px; a wrong field of view is tens of them off
APART_NS = 10_000_000_000  # moments are strangers to each other


class RecordedSteps:
    """Frames of a recording with the instruction that was being carried out, and the expert's answer.

    Args:
        root: folder of the recording. only_last: take only that many shards at the end; 0 takes all.
        fovy: vertical field of view of its square images [degrees]; the simulation's.

    Raises:
        FileNotFoundError: there is no recording.
    """

    def __init__(self, root: str | Path, only_last: int = 0, fovy: float = 41.0) -> None:
        shards = sorted(p for p in Path(root).glob("shard-*") if (p / "active.npy").is_file())
        if not shards:
            raise FileNotFoundError(
                f"no demonstration shards in {root}; record some with 'spatial-vla-record'"
            )
        names = ("image", "points", "state", "colour", "shape", "labels", "active")
        self.shards = [
            {n: np.load(p / f"{n}.npy", mmap_mode="r") for n in names} for p in shards[-only_last:]
        ]
        self.starts = np.cumsum([0] + [len(shard["active"]) for shard in self.shards])
        size = self.shards[0]["image"].shape[1]
        focal, centre = size / 2.0 / np.tan(np.deg2rad(fovy) / 2.0), (size - 1) / 2.0
        self.camera = PinholeCamera(size, size, focal, focal, centre, centre)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``.

        Raises:
            IndexError: there is no such frame. ValueError: the points do not fit the camera.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index}; the recording has frames 0 to {len(self) - 1}")
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        row: dict[str, Any] = {
            n: np.array(values[index - self.starts[which]]) for n, values in self.shards[which].items()
        }
        verb, obj = (int(i) for i in row["active"])
        phrase = ObjectPhrase(COLOURS[row["colour"][obj]], tuple(SHAPES)[row["shape"][obj]])
        depth, base_from_camera = self._depth_and_pose(row["points"].astype(np.float64), index)
        tcp, width = tool(row["state"])
        observation = Observation(
            image=row["image"],
            instruction=render(Command(tuple(VERBS)[verb], phrase)),
            stamp_ns=index * APART_NS,
            depth=depth,
            camera=self.camera,
            base_from_camera=base_from_camera,
            base_from_tcp=tcp,
            gripper_width=width,
        )
        return Sample(observation, row["labels"][verb, obj].astype(np.float64))

    def _depth_and_pose(self, points: NDArray[np.float64], index: int) -> tuple[NDArray[np.float32], SE3]:
        """Depth image (H, W) [m] and base_from_camera of points (patches, sub-cells, 3)."""
        patches, side = round(len(points) ** 0.5), round(points.shape[1] ** 0.5)
        image = points.reshape(patches, patches, side, side, 3).transpose(0, 2, 1, 3, 4)
        image = image.reshape(patches * side, patches * side, 3)
        size = self.camera.width
        at = cell_pixels(size, size // patches, CELLS).astype(np.float64)
        pixels = np.stack(np.meshgrid(at, at), axis=-1)
        valid = np.isfinite(image).all(axis=-1)
        found, turn, shift = cv2.solvePnP(
            image[valid], pixels[valid], self.camera.K, None, flags=cv2.SOLVEPNP_SQPNP
        )
        turn, shift = cv2.solvePnPRefineLM(image[valid], pixels[valid], self.camera.K, None, turn, shift)
        camera_from_base = SE3(rotvec_to_matrix(turn[:, 0]), shift[:, 0].astype(np.float64))
        seen = camera_from_base.apply(image)
        off = np.linalg.norm(self.camera.project(seen) - pixels, axis=-1)[valid]
        if not found or not np.median(off) < MOST_OFF:
            raise ValueError(
                f"points of frame {index} are {np.median(off):.1f} px off their pixels; give the camera's fovy"
            )
        depth = np.where(valid, seen[..., 2], 0.0).astype(np.float32)
        cell = size // len(at)
        return depth.repeat(cell, axis=0).repeat(cell, axis=1), camera_from_base.inverse()


def tool(state: NDArray[np.float32]) -> tuple[SE3, float]:
    """Pose of the tool and opening of the hand [m] from ``spatial_vla.policy.preprocess.tool_state`` (10,)."""
    x, y = np.asarray(state[3:9], dtype=np.float64).reshape(2, 3)
    # Stored in single precision: make them orthonormal again.
    x = x / np.linalg.norm(x)
    y = y - (y @ x) * x
    y = y / np.linalg.norm(y)
    rotation = np.column_stack((x, y, np.cross(x, y)))
    return SE3(rotation, np.asarray(state[:3], dtype=np.float64)), float(state[9]) * 0.08
