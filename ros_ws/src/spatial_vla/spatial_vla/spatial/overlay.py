"""Drawing a record of annotations on its picture: boxes, free points, places, and the axes of the frames."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3, PinholeCamera
from .annotate import Record
from .boxes import EDGES, BoxArray, OrientedBox
from .scene import NEAREST

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]
#: Colours (RGB) of directions in the ego frame, and of x, y and z.
SIDES = {"left": (66, 135, 245), "right": (245, 170, 66), "front": (60, 200, 90), "behind": (220, 70, 200)}
#: Of places that were tried in vain.
REJECTED = (200, 40, 40)
AXES = ((230, 60, 60), (60, 190, 60), (70, 110, 250))
_BOX, _PLACE, _NEUTRAL = (250, 250, 250), (255, 215, 0), (150, 150, 150)
_TEXT = cv2.FONT_HERSHEY_SIMPLEX


class RecordView:
    """A record's camera, boxes and points, ready to be drawn or exported."""

    def __init__(self, record: Record) -> None:
        self.record = record
        width, height = record["image_size"]
        self.camera = PinholeCamera.from_K(width, height, record["camera"]["intrinsic"])
        self.world_from_camera = SE3.from_matrix(record["camera"]["world_from_camera"])
        self.boxes = BoxArray.of([OrientedBox.from_nine(item["box"]) for item in record["objects"]])

    def pixels(self, points: Array) -> Array:
        """Projections (..., 2) of world points (..., 3); NaN behind the camera."""
        return self.camera.project(self.world_from_camera.inverse().apply(points))

    def sides(self) -> list[tuple[Array, str]]:
        """Free points (k, 3) by the direction of their anchor in the ego frame, "" for those in none."""
        out: list[tuple[Array, str]] = []
        for row in self.record["context"]:
            points, left = np.array(row["points"]), np.ones(len(row["points"]), bool)
            for side in SIDES:
                rows = row["directions"].get(f"ego/{side}", [])
                left[rows] = False
                out.append((points[rows], side))
            out.append((points[left], ""))
        return [(points, side) for points, side in out if len(points)]

    def rejected(self) -> Array:
        """Places (k, 3) that were tried for free points in vain, where the run noted them."""
        found = [point for row in self.record["context"] for point in row.get("rejected", [])]
        return np.array(found, np.float64).reshape(-1, 3)

    def places(self) -> Array:
        """Distinct places (k, 3) where something would fit."""
        found = [row[5] for row in self.record["compatibility"] if row[5] is not None]
        return np.unique(np.array(found).reshape(-1, 3), axis=0)

    def arrows(self) -> list[tuple[Array, Array, tuple[int, int, int]]]:
        """Axes as start, end and colour: the world's below the middle of the objects, and the fronts of objects."""
        if not len(self.boxes):
            return []
        middle = self.boxes.centre.mean(axis=0)
        start = np.array((middle[0], middle[1], self.boxes.low.min()))
        length = 0.5 * float(np.median(self.boxes.radius)) + 0.25 * float(np.ptp(self.boxes.centre[:, :2]))
        out = [(start, start + length * axis, colour) for axis, colour in zip(np.eye(3), AXES, strict=True)]
        for i, item in enumerate(self.record["objects"]):
            if item["front"]:
                tip = self.boxes.rotation[i, :, 0] * (self.boxes.half[i, 0] + float(self.boxes.radius[i]))
                out.append((self.boxes.centre[i], self.boxes.centre[i] + tip, AXES[0]))
        return out


def drawn(record: Record, picture: Picture, scale: int = 2) -> Picture:
    """The picture (h, w, 3) RGB, ``scale`` times as large, with everything of the record on it."""
    view = RecordView(record)
    large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    image = np.ascontiguousarray(large, np.uint8)

    def at(points: Array) -> NDArray[np.int32]:
        # Pixel centres are at integers: the picture's corner is at -0.5.
        return np.rint((view.pixels(points) + 0.5) * scale - 0.5).astype(np.int32)

    tried = view.rejected()
    for u, v in at(tried[np.isfinite(view.pixels(tried)).all(axis=-1)]).tolist():
        cv2.circle(image, (u, v), scale, REJECTED, 1, cv2.LINE_AA)
    for points, side in view.sides():
        for u, v in at(points).tolist():
            cv2.circle(image, (u, v), 2 * scale, SIDES.get(side, _NEUTRAL), -1, cv2.LINE_AA)
    for u, v in at(view.places()).tolist():
        cv2.drawMarker(image, (u, v), _PLACE, cv2.MARKER_TILTED_CROSS, 5 * scale, 1, cv2.LINE_AA)
    inside = (
        view.world_from_camera.inverse().apply(view.boxes.corners)[..., 2].min(axis=1, initial=np.inf)
        > NEAREST
    )
    for number in np.flatnonzero(inside):
        corners = at(view.boxes.corners[number])
        for a, b in EDGES:
            cv2.line(image, tuple(corners[a].tolist()), tuple(corners[b].tolist()), _BOX, 1, cv2.LINE_AA)
    for start, end, colour in view.arrows():
        ends = at(np.stack((start, end)))
        if np.abs(ends).max() < 10_000:
            cv2.arrowedLine(image, tuple(ends[0].tolist()), tuple(ends[1].tolist()), colour, 2, cv2.LINE_AA)
    for item in record["objects"]:
        u, v = (int(x * scale) for x in (item["bbox"][0], item["bbox"][1]))
        for colour, thickness in (((0, 0, 0), 3), (_BOX, 1)):
            cv2.putText(image, item["name"], (u, max(v - 3, 10)), _TEXT, 0.4, colour, thickness, cv2.LINE_AA)
    return image
