"""The nodes that ``compatibility`` tries: a grid around every reference, and what is known of each node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .free_space import SAFETY, SKIN, point_margins
from .placement import KEYS
from .scene import SpatialScene
from .visibility import blocked, in_picture

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class FitRules:
    """``clearance`` [m], largest gap between A and B [m] (0: A's longer side), turns tried in half a circle, and nodes
    along each side of the grid around B.
    """

    clearance: float = 0.01
    reach: float = 0.0
    turns: int = 8
    nodes: int = 17


class Region:
    """Grids of k nodes around each of b references, each on the surface it stands on, and what is known of each node.

    ``able`` (n, b) which objects could stand on a reference's surface at all; ``nodes`` (b, k, 2), ``steps`` (b, 2)
    apart; ``cell`` (b,) half a cell's diagonal; ``gaps`` (n, b, k) to every object's rectangle; ``near`` (b, k) to
    the reference's; ``edge`` (b, k) to the surface's edge; ``margins`` (b, 12, k) by ``KEYS``, minus infinity where the
    frame is not ``defined`` (b, 12); ``inside`` (b, k) in the picture; ``seen`` (b, k) and not hidden.
    """

    def __init__(
        self,
        scene: SpatialScene,
        references: Sequence[int],
        standing: Indices,
        subjects: Sequence[int],
        rules: FitRules,
    ) -> None:
        self.ground = ground = scene.boxes.footprints
        able = _able(scene, subjects)[:, standing[references]]
        some = able.any(axis=0)
        self.references, self.able = np.array(references)[some], able[:, some]
        self.surface = standing[self.references]
        radius = np.hypot(*ground.half.T)
        widest = np.where(self.able, radius[:, None], 0.0).max(axis=0, initial=0.0)[:, None]
        spans = ground.half[self.references] + widest + (rules.reach or 2.0 * widest)
        steps = np.linspace(-1.0, 1.0, rules.nodes)
        unit = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        offsets = (unit * spans[:, None]) @ ground.axes[self.references]
        self.nodes = ground.centre[self.references][:, None] + offsets
        self.steps = 2.0 * spans / (rules.nodes - 1)
        self.cell = np.hypot(*self.steps.T) / 2.0
        self._measure(scene)
        self._look(scene)

    def _measure(self, scene: SpatialScene) -> None:
        """Distances and margins of the nodes, and what stands in the layer above each reference's surface."""
        count, surfaces = len(self.references), scene.surfaces
        heights = np.array([s.height for s in surfaces])[self.surface]
        self.points = np.concatenate(
            (self.nodes, np.broadcast_to(heights[:, None, None], (*self.nodes.shape[:2], 1))), axis=-1
        )
        gaps = self.ground.distance(self.nodes.reshape(-1, 2)).T
        self.gaps = np.ascontiguousarray(gaps).reshape(len(scene.objects), count, -1)
        self.near = self.gaps[self.references, np.arange(count)]
        self.edge = np.empty(self.near.shape)
        for number in np.unique(self.surface):
            mine = self.surface == number
            self.edge[mine] = surfaces[number].margin(self.nodes[mine].reshape(-1, 2)).reshape(mine.sum(), -1)
        margins = point_margins(scene, self.points, self.references)
        table = np.stack([margins[key] for key in KEYS], axis=1)
        self.defined = ~np.isnan(table[..., 0])
        self.margins = np.where(self.defined[..., None], table, -np.inf)
        owners, boxes, slack = _owners(scene)[:, self.surface], scene.boxes, scene.slack
        self._above = ~owners & ((boxes.high + slack)[:, None] > heights + SKIN)
        self._from = (boxes.low - slack)[:, None] - heights
        edges = [surface.edges for surface in surfaces]
        most = max(len(offset) for _, offset in edges)
        normals, offsets = np.zeros((len(edges), most, 2)), np.full((len(edges), most), -np.inf)
        for number, (normal, offset) in enumerate(edges):
            normals[number, : len(offset)], offsets[number, : len(offset)] = normal, offset
        self._edges = normals, offsets

    def obstacles(self, headroom: Array) -> Mask:
        """Which objects stand in the layers of heights (s,) above each reference's surface (n, s, b)."""
        return self._above[:, None] & (self._from[:, None] < headroom[:, None])

    def edges(self, row: Indices, spots: Array) -> tuple[Array, Array]:
        """Inward normals (p, e, 2) of the surface about references ``row``, and how far inside of them spots (p, 2) are
        (p, e) [m]; surfaces of fewer edges have some infinitely far away.
        """
        normals, offsets = (part[self.surface[row]] for part in self._edges)
        return normals, (normals * spots[:, None]).sum(axis=-1) - offsets

    def _look(self, scene: SpatialScene) -> None:
        _, inside = in_picture(scene, self.points.reshape(-1, 3))
        self.inside = inside.reshape(self.near.shape)
        # Where something stands nothing else can be put; no ray needs to go there.
        taken = (self._above & (self._from < 2.0 * SKIN))[..., None] & (self.gaps <= 0.0)
        free, eye = self.inside & ~np.logical_or.reduce(taken, axis=0), scene.scene_from_camera.translation
        self.seen = np.zeros(free.shape, bool)
        owners = _owners(scene)
        for number in np.unique(self.surface):
            at = free & (self.surface == number)[:, None]
            boxes = scene.boxes.grown(~owners[:, number] * (SAFETY + scene.slack))
            self.seen[at] = ~blocked(boxes, eye, self.points[at]).any(axis=1)


def _owners(scene: SpatialScene) -> Mask:
    """Which object's top a surface is (n, surfaces)."""
    return np.array([[item.name == s.owner for s in scene.surfaces] for item in scene.objects], bool)


def _able(scene: SpatialScene, subjects: Sequence[int]) -> Mask:
    """Which of the subjects are small enough for a surface, and not its owner (n, surfaces)."""
    narrow = 2.0 * scene.boxes.footprints.half.min(axis=1)
    able = narrow[:, None] <= np.array([s.width for s in scene.surfaces])
    asked = np.isin(np.arange(len(scene.objects)), subjects)
    return able & asked[:, None] & ~_owners(scene)
