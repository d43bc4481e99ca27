"""How well views of a board fill the image, and what views are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .board import Corners
from .camera import CalibratedCamera, board_pose

#: Cells of the image that a corner should fall into, across and down.
ACROSS, DOWN = 4, 3
COLUMNS = ("left", "centre left", "centre right", "right")
ROWS = ("top", "middle", "bottom")


@dataclass(frozen=True)
class Coverage:
    """What the views show.

    Attributes:
        share: of the cells of the image with a corner in at least one view.
        empty: names of the cells without one.
        steepest: largest angle between optical axis and board normal [deg].
        tilted_about: views tilted by more than 15 degrees mainly about the image's x and about its y axis.
        nearest: shortest distance of a board from the camera [m].
        farthest: longest distance [m].
    """

    share: float
    empty: tuple[str, ...]
    steepest: float
    tilted_about: tuple[int, int]
    nearest: float
    farthest: float

    def advice(self) -> list[str]:
        """What to add; empty when the views are good."""
        advice = []
        if self.empty:
            advice.append(f"no corner was seen in: {', '.join(self.empty)}; hold the board there")
        for count, axis in zip(self.tilted_about, ("horizontal", "vertical"), strict=True):
            if count < 2:
                advice.append(
                    f"{count} views are tilted about the {axis} axis; add some, by 20 to 50 degrees"
                )
        if self.farthest < 1.3 * self.nearest:
            advice.append("all views are about equally far away; add nearer and farther ones")
        return advice


def coverage_of(views: Sequence[Corners], camera: CalibratedCamera) -> Coverage:
    """Coverage by ``views`` with known intrinsics."""
    size = np.array([camera.pinhole.width, camera.pinhole.height])
    cells = np.concatenate([view.pixels for view in views]) / size * (ACROSS, DOWN)
    hit = {(int(x), int(y)) for x, y in np.clip(cells, 0, (ACROSS - 1, DOWN - 1))}
    empty = [f"{ROWS[y]} {COLUMNS[x]}" for y in range(DOWN) for x in range(ACROSS) if (x, y) not in hit]
    poses = [board_pose(view, camera).camera_from_board for view in views]
    normals = np.array([pose.rotation[:, 2] for pose in poses])
    tilts = np.degrees(np.arccos(np.clip(np.abs(normals[:, 2]), 0.0, 1.0)))
    steep = normals[tilts > 15.0]
    about_x = int(np.sum(np.abs(steep[:, 1]) > np.abs(steep[:, 0])))
    distances = [float(np.linalg.norm(pose.translation)) for pose in poses]
    return Coverage(
        share=len(hit) / (ACROSS * DOWN),
        empty=tuple(empty),
        steepest=float(tilts.max()),
        tilted_about=(about_x, len(steep) - about_x),
        nearest=min(distances),
        farthest=max(distances),
    )
