"""Free space and compatibility by the released generator's rules: nodes of one grid, seen from above."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .categories import listed
from .scene import SpatialScene

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Points = dict[str, dict[str, list[list[float]]]]
#: How far around the reference something may be put, beyond half the sizes of both [m].
_REACH = 0.5
_BORDER = 1e-4


class PublishedGrid:
    """Nodes at low + i * resolution over the ground rectangle of all objects and the floor.

    Args:
        union: (h, w) pixels of any object's silhouette.
        bounds: (n, 4) silhouettes' rectangles; ``depth`` (n, 2) their nearest and farthest corner [m].
    """

    def __init__(
        self, scene: SpatialScene, union: Mask, bounds: Array, depth: Array, resolution: float
    ) -> None:
        self._scene, self._union, self._bounds, self._depth = scene, union, bounds, depth
        self._resolution = resolution
        ground = [scene.boxes.corners[..., :2].reshape(-1, 2)]
        ground += [surface.corners for surface in scene.surfaces if surface.owner is None]
        area = np.concatenate(ground)
        x, y = (
            np.arange(lo, hi, resolution) for lo, hi in zip(area.min(axis=0), area.max(axis=0), strict=True)
        )
        self._shape = (len(y), len(x))
        self._nodes = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        self._gap = scene.boxes.footprints.distance(self._nodes)
        self._inside = self._gap <= 1e-9

    def at_resolution(self, resolution: float) -> PublishedGrid:
        """The same with another grid."""
        return PublishedGrid(self._scene, self._union, self._bounds, self._depth, resolution)

    def context(
        self, anchor: int, threshold: float, samples: int, rng: np.random.Generator
    ) -> tuple[Points, Points]:
        """Pixels and points (x, y, z) by frame and direction; the two lists of a direction correspond."""
        occupied = np.delete(self._inside, anchor, axis=1).any(axis=1)
        near = np.flatnonzero(~occupied & (self._gap[:, anchor] <= threshold))
        points, pixels, labels = self._labelled(near, anchor)
        shown = ~self._union[pixels[:, 1], pixels[:, 0]]
        flat: Points = {}
        solid: Points = {}
        for frame, sides in labels.items():
            flat[frame], solid[frame] = {}, {}
            for side, holds in sides.items():
                rows = np.flatnonzero(holds & shown)
                if len(rows) > samples:
                    rows = rng.choice(rows, samples, replace=False)
                flat[frame][side], solid[frame][side] = pixels[rows].tolist(), points[rows].tolist()
        return flat, solid

    def room_for(self, subject: int, distance: float, ratio: float) -> Mask:
        """Nodes (k,) on which the subject's ground rectangle fits in one of three turns."""
        others = np.delete(self._inside, subject, axis=1).any(axis=1).reshape(self._shape)
        occupied = others.astype(np.float32)
        ground = self._scene.boxes.footprints
        axes, half = ground.axes[subject], ground.half[subject]
        out = np.zeros(len(self._nodes), bool)
        low, high = self._nodes.min(axis=0) - 1e-9, self._nodes.max(axis=0) + 1e-9
        for angle in (0.0, np.pi / 4, np.pi / 2):
            c, s = np.cos(angle), np.sin(angle)
            turned = axes @ np.array(((c, s), (-s, c)))
            extent = np.abs(turned * half[:, None]).sum(axis=0)
            kernel = self._kernel(turned, half, extent)
            ring = self._ring(kernel, distance)
            inside = float(kernel.sum())
            hit, around = (
                cv2.filter2D(occupied, -1, k, borderType=cv2.BORDER_CONSTANT) for k in (kernel, ring)
            )
            within = ((self._nodes - extent >= low) & (self._nodes + extent <= high)).all(axis=1)
            if inside:
                out |= within & (hit.ravel() < 0.5) & (around.ravel() / inside < ratio)
        return out

    def compatibility(self, subject: int, reference: int, room: Mask) -> dict[str, Any]:
        """By frame (``cameracentric``, ``objectcentric``) and direction, whether any node of that side has room."""
        size = self._scene.boxes.half * 2.0
        reach = _REACH + float(size[subject, :2].max() + size[reference, :2].max()) / 2.0
        near = np.flatnonzero(room & (self._gap[:, reference] <= reach))
        _, _, labels = self._labelled(near, reference)
        return {
            frame: {side: bool(holds.any()) for side, holds in labels[frame].items()}
            for frame in ("cameracentric", "objectcentric")
        }

    def _labelled(
        self, rows: NDArray[np.intp], anchor: int
    ) -> tuple[Array, NDArray[np.int64], dict[str, dict[str, Mask]]]:
        """Of nodes, lifted to the anchor's lowest corner, those in the picture: points, integer pixels, directions."""
        scene = self._scene
        points = np.column_stack((self._nodes[rows], np.full(len(rows), scene.boxes.low[anchor])))
        at = scene.eye_points(points)
        pixels = np.rint(np.nan_to_num(scene.camera.project(at), nan=-1.0)).astype(np.int64)
        size = (scene.camera.width, scene.camera.height)
        inside = (at[:, 2] > 0.0) & ((pixels >= 0) & (pixels < size)).all(axis=1)
        points, pixels, depth = points[inside], pixels[inside], at[inside, 2]
        u0, _, u1, _ = self._bounds[anchor]
        with np.errstate(invalid="ignore"):
            camera = {
                "left": pixels[:, 0] < u0,
                "right": pixels[:, 0] > u1,
                "infront": depth < self._depth[anchor, 0],
                "behind": depth > self._depth[anchor, 1],
            }
        local = (points - scene.boxes.centre[anchor]) @ scene.boxes.rotation[anchor]
        half = scene.boxes.half[anchor] + _BORDER
        own = {
            "left": local[:, 1] > half[1],
            "right": local[:, 1] < -half[1],
            "infront": local[:, 0] > half[0],
            "behind": local[:, 0] < -half[0],
        }
        if scene.objects[anchor].name not in listed("front"):
            own = {side: np.zeros(len(points), bool) for side in own}
        return points, pixels, {"cameracentric": camera, "worldcentric": camera, "objectcentric": own}

    def _kernel(self, axes: Array, half: Array, extent: Array) -> NDArray[np.float32]:
        """Which nodes around a centre node are in the rectangle."""
        nx, ny = (int(np.floor(e / self._resolution + 1e-9)) for e in extent)
        x, y = np.meshgrid(np.arange(-nx, nx + 1), np.arange(-ny, ny + 1))
        along = np.abs(np.stack((x, y), axis=-1) * self._resolution @ axes.T)
        return (along <= half + 1e-9).all(axis=-1).astype(np.float32)

    def _ring(self, kernel: NDArray[np.float32], distance: float) -> NDArray[np.float32]:
        cells = int(np.ceil(distance / self._resolution))
        padded = np.pad(kernel, cells)
        return cv2.dilate(padded, np.ones((2 * cells + 1,) * 2, np.uint8)) - padded
