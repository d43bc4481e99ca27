"""A printed calibration board in the simulated world: on the table, or held by the gripper.

It is a thin plate that collides with nothing. Rays find it as they find any other surface, so that what is in front of
it hides it; where it is seen, its print is looked up with many samples per pixel, as a lens and a sensor would average.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray
from spatial_vla.calibration import Board
from spatial_vla.geometry import SE3, PinholeCamera

from .scene import Scene

GEOM = "calibration_board"
PLACES = ("table", "gripper")
THICKNESS = 0.004
#: Paper around the squares [m].
MARGIN = 0.015
#: Reflectance of ink and paper.
INK, PAPER = 0.06, 0.92
#: Pixels per square of the print, and samples per pixel along each side.
RESOLUTION, SAMPLES = 64, 4

#: Centre of the board on the table [m]: in view of the wrist camera when the arm is at home.
ON_TABLE = (0.42, 0.0, THICKNESS)
#: Centre of the board in the hand's frame [m], and how far it leans back [rad]: it faces the external camera at home.
IN_HAND, LEAN = (0.07, 0.0, 0.14), np.deg2rad(25.0)
#: Objects that stand where the board lies are put here: x and y of the first [m], and the way to the next.
ASIDE, SPACING = (0.95, -0.4), 0.2


@dataclass(frozen=True, eq=False)
class CalibrationBoard:
    """A board on a body of the model.

    Attributes:
        board: what is printed.
        body: the body that carries it; "world" for none that moves.
        body_from_board: pose of the board's frame (see ``spatial_vla.calibration.board``).
    """

    board: Board
    body: str
    body_from_board: SE3

    @classmethod
    def at(cls, place: str, board: Board | None = None) -> CalibrationBoard:
        """On the "table" or in the "gripper".

        Raises:
            ValueError: another place.
        """
        if place not in PLACES:
            raise ValueError(
                f"calibration board at {place!r}; expected one of {', '.join(PLACES)}, or '' for none"
            )
        board = board or Board()
        on_table = place == "table"
        # Columns: x, y and z of the board's frame; z points away from whoever reads the board.
        back = np.array([-np.cos(LEAN), 0.0, np.sin(LEAN)])
        right = np.array([0.0, 1.0, 0.0])
        facing = np.column_stack((right, np.cross(back, right), back))
        rotation = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]) if on_table else facing
        centre = np.array(ON_TABLE if on_table else IN_HAND)
        corner = centre - rotation @ np.array([*board.size, 0.0]) / 2.0
        return cls(board, "world" if on_table else "panda_hand", SE3(rotation, corner))

    def add_to(self, spec: mujoco.MjSpec, group: int) -> None:
        """Add the plate, its front where the print is; geoms in ``group`` are seen by cameras."""
        width, height = self.board.size
        behind = np.array([width / 2.0, height / 2.0, THICKNESS / 2.0])
        # A body of its own: of the hand's, rays find no geom that reaches beyond the hand's bounding sphere.
        plate = spec.body(self.body).add_body(
            name=GEOM,
            pos=self.body_from_board.apply(behind),
            quat=np.roll(self.body_from_board.quaternion(), 1),
        )
        geom = plate.add_geom(
            name=GEOM,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[width / 2.0 + MARGIN, height / 2.0 + MARGIN, THICKNESS / 2.0],
            rgba=[PAPER, PAPER, PAPER, 1.0],
        )
        geom.group, geom.contype, geom.conaffinity, geom.mass = group, 0, 0, 0.0

    def cleared(self, scene: Scene) -> Scene:
        """The scene with its objects put aside if the board lies where they stand."""
        if self.body != "world":
            return scene
        (x, y), spacing = ASIDE, SPACING
        objects = [
            replace(item, position=(x, y + i * spacing, item.position[2]))
            for i, item in enumerate(scene.objects)
        ]
        return replace(scene, objects=tuple(objects))

    def world_from_board(self, data: mujoco.MjData) -> SE3:
        """Where the board is now."""
        body = data.body(self.body)
        return SE3(body.xmat.reshape(3, 3).copy(), body.xpos.copy()) @ self.body_from_board

    def paint(
        self,
        albedo: NDArray[np.float32],
        seen: NDArray[np.bool_],
        camera: PinholeCamera,
        camera_from_board: SE3,
    ) -> None:
        """Put the print into ``albedo`` (H, W, 3) where the plate is ``seen`` (H, W)."""
        if not seen.any() or camera_from_board.inverse().translation[2] >= 0.0:
            return  # out of view, or seen from behind
        rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
        # From samples to pixels, from these to the plane of the board, from there to the print: homographies all.
        n = float(SAMPLES)
        pixel = np.array(
            [[1 / n, 0.0, left + (0.5 / n - 0.5)], [0.0, 1 / n, top + (0.5 / n - 0.5)], [0.0, 0.0, 1.0]]
        )
        plane = np.column_stack((camera_from_board.rotation[:, :2], camera_from_board.translation))
        scale = RESOLUTION / self.board.square
        texel = np.array([[scale, 0.0, RESOLUTION - 0.5], [0.0, scale, RESOLUTION - 0.5], [0.0, 0.0, 1.0]])
        fine = cv2.warpPerspective(
            self._print,
            texel @ np.linalg.inv(camera.K @ plane) @ pixel,
            (width * SAMPLES, height * SAMPLES),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        grey = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        part = np.s_[top : top + height, left : left + width]
        albedo[part][seen[part]] = grey[seen[part]][:, None]

    @cached_property
    def _print(self) -> NDArray[np.float32]:
        """Reflectance of the board with one square of paper around it."""
        ink = self.board.picture(RESOLUTION).astype(np.float32) / 255.0
        return np.pad(INK + ink * (PAPER - INK), RESOLUTION, constant_values=PAPER)
