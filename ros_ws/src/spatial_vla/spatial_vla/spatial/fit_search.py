"""The search behind ``compatibility``: grids of nodes around every reference, and one thing to be put at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .free_space import SAFETY, SKIN, point_margins
from .placement import KEYS, fits_turned
from .scene import SpatialScene
from .visibility import blocked, in_picture

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
#: A cell is divided into this many squared parts for a proof, and of more cells than that none is tried.
_PARTS, _MOST_PROOFS = 4, 60
#: The bearing of a thing's middle differs from that of its ground by parallax.
_PARALLAX = np.array([0.5 if f == "ego" and d in ("left", "right") else 0.0 for f, d in KEYS])


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
    apart; ``cell`` (b, 1) half a cell's diagonal; ``gaps`` (n, b, k) to every object's rectangle; ``near`` (b, k) to
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
        self.cell = np.hypot(*self.steps.T)[:, None] / 2.0
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

    def obstacles(self, headroom: float) -> Mask:
        """Which objects stand in the layer of that height above each reference's surface (n, b)."""
        return self._above & (self._from < headroom)

    def _look(self, scene: SpatialScene) -> None:
        _, inside = in_picture(scene, self.points.reshape(-1, 3))
        self.inside = inside.reshape(self.near.shape)
        # Where something stands nothing else can be put; no ray needs to go there.
        taken = self.obstacles(2.0 * SKIN)[..., None] & (self.gaps <= 0.0)
        free, eye = self.inside & ~np.logical_or.reduce(taken, axis=0), scene.scene_from_camera.translation
        self.seen = np.zeros(free.shape, bool)
        owners = _owners(scene)
        for number in np.unique(self.surface):
            at = free & (self.surface == number)[:, None]
            boxes = scene.boxes.grown(~owners[:, number] * (SAFETY + scene.slack))
            self.seen[at] = ~np.asarray(blocked(boxes, eye, self.points[at])).any(axis=1)


class Search:
    """One thing to be put near the references of a region, in all directions at once."""

    def __init__(self, scene: SpatialScene, a: int, region: Region, rules: FitRules) -> None:
        self._scene, self._region, self._rules = scene, region, rules
        ground, references = region.ground, region.references
        self._axes, self._half, self._slack = ground.axes[a], ground.half[a], float(scene.slack[a])
        self._outer, self._inner = float(np.hypot(*self._half)), float(self._half.min())
        tall = float(scene.boxes.high[a] - scene.boxes.low[a])
        self._parallax = tall * _PARALLAX
        blocking = region.obstacles(tall)
        blocking[a] = False
        # An obstacle's rectangle is exact only if it stands upright; only such a one proves anything.
        self._blocking, self._sure = blocking, blocking & ground.upright[:, None]
        self.defined = region.defined & (region.able[a] & (references != a))[:, None]
        reach = self._reach = rules.reach or 2.0 * float(self._half.max())
        self._own = scene.slack[references][:, None]
        near, margins = region.near[:, None], region.margins
        self._within = (margins >= (self._outer + self._own)[..., None]) & (near <= reach + self._inner)
        self._within &= self.defined[..., None]

    def find(self) -> tuple[Mask, Indices, Indices]:
        """Per reference and key (b, 12): whether A fits somewhere, at which node and turn."""
        region, rules = self._region, self._rules
        certain = self._within & region.seen[:, None]
        room = self._room(self._blocking, -1.0) - self._slack - rules.clearance
        score = np.where(certain, np.where(room >= self._outer, room, -np.inf)[:, None], -np.inf)
        node, turn = score.argmax(axis=-1), np.zeros(self.defined.shape, np.intp)
        best = np.take_along_axis(score, node[..., None], -1)[..., 0]
        can = self.defined & np.isfinite(best)
        open_ = self.defined & ~can
        tight = np.logical_or.reduce(certain & open_[..., None], axis=1) & (room >= self._inner)
        row, at = np.nonzero(tight)
        if len(row):
            half = self._half + rules.clearance + self._slack
            ok = self._fits(
                row, region.nodes[row, at], region.gaps[:, row, at], half, self._blocking, 1.0, rules.turns
            )
            free, first = np.zeros(tight.shape, bool), np.zeros(tight.shape, np.intp)
            free[row, at], first[row, at] = ok.any(axis=1), ok.argmax(axis=1)
            rows = np.flatnonzero(open_.any(axis=1))
            score = np.where(certain[rows], np.where(free, room, -np.inf)[rows, None], -np.inf)
            pick = np.zeros_like(node)
            pick[rows] = score.argmax(axis=-1)
            best = np.take_along_axis(score, pick[rows][..., None], -1)[..., 0]
            found = np.zeros_like(can)
            found[rows] = open_[rows] & np.isfinite(best)
            can |= found
            node[found] = pick[found]
            turn[found] = np.take_along_axis(first, pick, -1)[found]
        return can, node, turn

    def prove(self, wanted: Mask) -> Mask:
        """Per reference and key (b, 12): whether A fits nowhere in the region, and all of that is in the picture."""
        region = self._region
        room = self._room(self._sure, 1.0)
        # Where A fits at a node, at any turn or at one, there is nothing to prove.
        free = room >= self._outer
        keys = self.defined & wanted & ~(self._within & free[:, None]).any(axis=-1)
        rows = np.flatnonzero(keys.any(axis=1))
        if not len(rows):
            return keys
        wide = (region.cell + self._own)[rows]
        loose = region.margins[rows] >= -(wide + self._parallax)[..., None]
        loose &= (region.near[rows] <= self._reach + self._outer + wide)[:, None]
        keys[rows] &= loose.any(axis=-1) & ~(loose & ~region.inside[rows, None]).any(axis=-1)
        tight = np.logical_or.reduce(self._within & keys[..., None], axis=1) & ~free & (room >= self._inner)
        row, at = np.nonzero(tight)
        if len(row):
            spots, gaps = region.nodes[row, at], region.gaps[:, row, at]
            turns = self._rules.turns
            free[row, at] = self._fits(row, spots, gaps, self._half, self._sure, -1.0, turns).any(axis=1)
            keys &= ~(self._within & free[:, None]).any(axis=-1)
        unsure = np.logical_or.reduce(loose & keys[rows][..., None], axis=1)
        unsure &= (room + region.cell)[rows] >= self._inner - self._slack
        return self._proven(rows, unsure, keys)

    def _room(self, obstacles: Mask, sign: float) -> Array:
        """Distance (b, k) of the nodes to the nearest obstacle (n, b), plus or minus its uncertainty, or the edge."""
        which = np.flatnonzero(obstacles.any(axis=1))
        add = np.where(obstacles[which], sign * self._scene.slack[which][:, None], np.inf)
        gaps = self._region.gaps[which] + add[..., None]
        return np.minimum(gaps.min(axis=0, initial=np.inf), self._region.edge)

    def _proven(self, rows: Indices, cells: Mask, keys: Mask) -> Mask:
        """Which keys (b, 12) stand a finer look at some cells (r, k) of some references.

        Each cell is divided; around the middle of a part, A shrunk by what lies between parts and turns must meet
        something wherever the part may belong to the key's region.
        """
        region, turns = self._region, 2 * self._rules.turns
        keys[rows] &= np.count_nonzero(cells, axis=1, keepdims=True) <= _MOST_PROOFS
        row, node = np.nonzero(cells & keys[rows].any(axis=1, keepdims=True))
        if not len(row):
            return keys
        row = rows[row]
        half = self._half - self._outer * np.sin(np.pi / turns / 2.0) - self._slack
        if half.min() <= 0.0:
            keys[row] = False
            return keys
        # Most proofs fail: first at the middles of whole cells, where the grid has everything at hand.
        loose = self._may_belong(region.margins[row, :, node], region.near[row, node], row)
        gaps = region.gaps[:, row, node]
        keys = self._refuted(keys, row, loose, region.nodes[row, node], gaps, half)
        still = np.flatnonzero(keys[row].any(axis=1))
        if not len(still):
            return keys
        row, spots, loose, gaps = self._parts(row[still], node[still])
        for step in (8, 1):
            look = np.flatnonzero((loose & keys[row]).any(axis=1))[::step]
            if len(look):
                keys = self._refuted(keys, row[look], loose[look], spots[look], gaps[:, look], half)
        return keys

    def _may_belong(self, margins: Array, near: Array, row: Indices) -> Mask:
        """Whether the region of a key (p, 12) may reach to within a part of a spot, by the spot's margins (p, 12)."""
        wide = self._region.cell[row] / _PARTS + self._own[row]
        return (margins >= -(wide + self._parallax)) & (near[:, None] <= self._reach + self._outer + wide)

    def _refuted(self, keys: Mask, row: Indices, loose: Mask, spots: Array, gaps: Array, half: Array) -> Mask:
        """Keys (b, 12) less those in whose region (p, 12) a rectangle of extents ``half`` fits at a spot (p, 2)."""
        loosen, turns = self._region.cell[row, 0] / _PARTS, 2 * self._rules.turns
        fitting = self._fits(row, spots, gaps, half, self._sure, -1.0, turns, loosen).any(axis=1)
        failed = np.zeros_like(keys)
        np.logical_or.at(failed, row[fitting], loose[fitting])
        return keys & ~failed

    def _parts(self, row: Indices, node: Indices) -> tuple[Indices, Array, Mask, Array]:
        """Of the parts of some cells: index of the reference (p,), middle (p, 2), to which keys' regions it may belong
        (p, 12), and its distance to every object (n, p).
        """
        region = self._region
        step = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
        offsets = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2) * region.steps[row][:, None]
        anchors = region.references[row]
        spots = region.nodes[row, node][:, None] + offsets @ region.ground.axes[anchors]
        height = np.broadcast_to(region.points[row, 0, 2:][:, None], (*spots.shape[:2], 1))
        margins = point_margins(self._scene, np.concatenate((spots, height), axis=-1), anchors)
        table = np.stack([margins[key].ravel() for key in KEYS], axis=1)
        flat, row = spots.reshape(-1, 2), np.repeat(row, _PARTS**2)
        gaps = region.ground.distance(flat).T
        loose = self._may_belong(table, gaps[region.references[row], np.arange(len(row))], row)
        return row, flat, loose, gaps

    def _fits(
        self,
        row: Indices,
        spots: Array,
        gaps: Array,
        half: Array,
        obstacles: Mask,
        sign: float,
        turns: int,
        loosen: Array | None = None,
    ) -> Mask:
        """Whether a rectangle fits at spots (p, 2) about references ``row``, by turn (p, t).

        Args:
            gaps: (n, p) distance of the spots to each object.
            obstacles: (n, b) what stands in the way, larger (``sign`` 1) or smaller (-1) by its uncertainty.
            loosen: (p,) see ``fits_turned``.
        """
        loosen = np.zeros(len(spots)) if loosen is None else loosen
        outer, slack = float(np.hypot(*half)), sign * self._scene.slack
        out = np.zeros((len(spots), turns), bool)
        surface = self._region.surface[row]
        for number in np.unique(surface):
            mine = np.flatnonzero(surface == number)
            which = np.flatnonzero(obstacles[:, row[mine[0]]])
            gap = gaps[np.ix_(which, mine)] - slack[which][:, None]
            on = self._scene.surfaces[number]
            room = np.minimum(gap.min(axis=0, initial=np.inf), on.margin(spots[mine]))
            out[mine[room >= outer]] = True
            tight = np.flatnonzero((room + loosen[mine] >= half.min()) & (room < outer))
            if len(tight):
                which = which[gap[:, tight].min(axis=1, initial=np.inf) <= outer]
                near, at = self._region.ground.take(which), mine[tight]
                out[at] = fits_turned(spots[at], self._axes, half, turns, near, slack[which], on, loosen[at])
        return out


def _owners(scene: SpatialScene) -> Mask:
    """Which object's top a surface is (n, surfaces)."""
    return np.array([[item.name == s.owner for s in scene.surfaces] for item in scene.objects], bool)


def _able(scene: SpatialScene, subjects: Sequence[int]) -> Mask:
    """Which of the subjects are small enough for a surface, and not its owner (n, surfaces)."""
    narrow = 2.0 * scene.boxes.footprints.half.min(axis=1)
    able = narrow[:, None] <= np.array([s.width for s in scene.surfaces])
    asked = np.isin(np.arange(len(scene.objects)), subjects)
    return able & asked[:, None] & ~_owners(scene)
