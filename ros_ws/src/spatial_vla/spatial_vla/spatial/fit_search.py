"""The search behind ``compatibility``: several things, each to be put at the nodes of a region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .fit_region import FitRules, Region
from .free_space import point_margins
from .placement import KEYS, fits_turned, merged
from .scene import SpatialScene

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
#: A cell is divided into this many squared parts for a proof, and of more cells than that none is tried.
_PARTS, _MOST_PROOFS = 4, 60
#: The bearing of a thing's middle differs from that of its ground by parallax.
_PARALLAX = np.array([0.5 if f == "ego" and d in ("left", "right") else 0.0 for f, d in KEYS])


class Search:
    """Things (s,) to be put near the references (b,) of a region, in all directions (12, ``KEYS``) at once.

    ``defined`` (s, b, 12): what has an answer. In lists, ``who`` and ``row`` are indices of thing and reference.
    """

    def __init__(self, scene: SpatialScene, things: Indices, region: Region, rules: FitRules) -> None:
        self._scene, self._region, self._rules = scene, region, rules
        ground, references = region.ground, region.references
        self._axes, self._half, self._slack = ground.axes[things], ground.half[things], scene.slack[things]
        self._outer, self._inner = np.hypot(*self._half.T), self._half.min(axis=1)
        tall = scene.boxes.high[things] - scene.boxes.low[things]
        self._parallax = tall[:, None] * _PARALLAX
        blocking = region.obstacles(tall)
        blocking[things, np.arange(len(things))] = False
        # An obstacle's rectangle is exact only if it stands upright; only such a one proves anything.
        self._blocking, self._sure = blocking, blocking & ground.upright[:, None, None]
        self.defined = region.defined & (region.able[things] & (references != things[:, None]))[..., None]
        self._reach = rules.reach or 2.0 * self._half.max(axis=1)
        self._own = scene.slack[references]
        near = region.near <= (self._reach + self._inner)[:, None, None]
        self._within = region.margins >= np.add.outer(self._outer, self._own)[..., None, None]
        self._within &= near[:, :, None] & self.defined[..., None]

    def find(self) -> tuple[Mask, Indices, Indices]:
        """Per thing, reference and key (s, b, 12): whether it fits somewhere, at which node and turn."""
        region, rules = self._region, self._rules
        certain = self._within & region.seen[:, None]
        room = self._room(self._blocking, -1.0) - self._slack[:, None, None] - rules.clearance
        easy = np.where(room >= self._outer[:, None, None], room, -np.inf)
        score = np.where(certain, easy[:, :, None], -np.inf)
        node, turn = score.argmax(axis=-1), np.zeros(self.defined.shape, np.intp)
        can = np.isfinite(np.take_along_axis(score, node[..., None], -1)[..., 0])
        # Where there is not room for any turn, each turn is tried.
        keys = np.nonzero(self.defined & ~can)
        certain = certain[keys]
        tight = self._of_keys(keys, certain) & (room >= self._inner[:, None, None])
        who, row, at = np.nonzero(tight)
        half = self._half + rules.clearance + self._slack[:, None]
        ok = self._fits(
            who, row, region.nodes[row, at], region.gaps[:, row, at], half, self._blocking, 1.0, rules.turns
        )
        first = np.zeros(tight.shape, np.intp)
        tight[who, row, at], first[who, row, at] = ok.any(axis=1), ok.argmax(axis=1)
        who, row, _ = keys
        score = np.where(certain & tight[who, row], room[who, row], -np.inf)
        pick = score.argmax(axis=-1)
        found = np.isfinite(score[np.arange(len(pick)), pick])
        into = tuple(index[found] for index in keys)
        can[into], node[into], turn[into] = True, pick[found], first[who, row, pick][found]
        return can, node, turn

    def prove(self, wanted: Mask) -> Mask:
        """Per thing, reference and key (s, b, 12): whether it fits nowhere in the region, and all of that is in the
        picture.
        """
        region = self._region
        room = self._room(self._sure, 1.0)
        # Where it fits at a node, at any turn or at one, there is nothing to prove.
        free = room >= self._outer[:, None, None]
        keys = self.defined & wanted & ~(self._within & free[:, :, None]).any(axis=-1)
        who, row, key = listed = np.nonzero(keys)
        wide = region.cell[row] + self._own[row]
        loose = region.margins[row, key] >= -(wide + self._parallax[who, key])[:, None]
        loose &= region.near[row] <= ((self._reach + self._outer)[who] + wide)[:, None]
        keys[listed] = loose.any(axis=-1) & ~(loose & ~region.inside[row]).any(axis=-1)
        within = self._within[listed] & keys[listed][:, None]
        tight = self._of_keys(listed, within) & ~free & (room >= self._inner[:, None, None])
        thing, about, at = np.nonzero(tight)
        spots, gaps = region.nodes[about, at], region.gaps[:, about, at]
        ok = self._fits(thing, about, spots, gaps, self._half, self._sure, -1.0, self._rules.turns)
        tight[thing, about, at] = ok.any(axis=1)
        keys[listed] &= ~(within & tight[who, row]).any(axis=-1)
        unsure = self._of_keys(listed, loose & keys[listed][:, None])
        unsure &= room + region.cell[:, None] >= (self._inner - self._slack)[:, None, None]
        return self._proven(unsure, keys)

    def _of_keys(self, keys: tuple[Indices, ...], masks: Mask) -> Mask:
        """Nodes (s, b, k) that are in the mask (q, k) of any of the keys listed."""
        out = np.zeros((*self.defined.shape[:2], masks.shape[1]), bool)
        place, any_ = merged(keys[0] * self.defined.shape[1] + keys[1], masks)
        out.reshape(-1, masks.shape[1])[place] = any_
        return out

    def _room(self, obstacles: Mask, sign: float) -> Array:
        """Distance (s, b, k) of the nodes to the nearest obstacle (n, s, b), plus or minus its uncertainty, or the
        edge.
        """
        region = self._region
        out = np.repeat(region.edge[None], len(self._half), axis=0)
        for number in np.flatnonzero(obstacles.any(axis=(1, 2))):
            gap = region.gaps[number] + sign * self._scene.slack[number]
            np.minimum(out, np.where(obstacles[number][..., None], gap, np.inf), out=out)
        return out

    def _proven(self, cells: Mask, keys: Mask) -> Mask:
        """Which keys (s, b, 12) stand a finer look at some cells (s, b, k).

        Each cell is divided; around the middle of a part, the thing shrunk by what lies between parts and turns must
        meet something wherever the part may belong to the key's region.
        """
        region = self._region
        keys &= np.count_nonzero(cells, axis=-1, keepdims=True) <= _MOST_PROOFS
        shrink = self._outer * np.sin(np.pi / (4.0 * self._rules.turns)) + self._slack
        half = self._half - shrink[:, None]
        keys &= ((half.min(axis=1) > 0.0)[:, None] | ~cells.any(axis=-1))[..., None]
        who, row, node = np.nonzero(cells & keys.any(axis=-1, keepdims=True))
        # Most proofs fail: first at the middles of whole cells, where the grid has everything at hand.
        loose = self._may_belong(region.margins[row, :, node], region.near[row, node], who, row)
        gaps = region.gaps[:, row, node]
        keys = self._refuted(keys, who, row, loose, region.nodes[row, node], gaps, half)
        still = keys[who, row].any(axis=1)
        who, row, spots, loose, gaps = self._parts(who[still], row[still], node[still])
        for step in (8, 1):
            look = np.flatnonzero((loose & keys[who, row]).any(axis=1))[::step]
            at = who[look], row[look]
            keys = self._refuted(keys, *at, loose[look], spots[look], gaps[:, look], half)
        return keys

    def _may_belong(self, margins: Array, near: Array, who: Indices, row: Indices) -> Mask:
        """Whether the region of a key (p, 12) may reach to within a part of a spot, by the spot's margins (p, 12)."""
        wide = self._region.cell[row] / _PARTS + self._own[row]
        close = near <= (self._reach + self._outer)[who] + wide
        return (margins >= -(wide[:, None] + self._parallax[who])) & close[:, None]

    def _refuted(
        self, keys: Mask, who: Indices, row: Indices, loose: Mask, spots: Array, gaps: Array, half: Array
    ) -> Mask:
        """Keys (s, b, 12) less those in whose region (p, 12) a rectangle of extents ``half`` (s, 2) fits at a spot
        (p, 2).
        """
        loosen, turns = self._region.cell[row] / _PARTS, 2 * self._rules.turns
        fitting = self._fits(who, row, spots, gaps, half, self._sure, -1.0, turns, loosen).any(axis=1)
        failed = np.zeros_like(keys)
        np.logical_or.at(failed, (who[fitting], row[fitting]), loose[fitting])
        return keys & ~failed

    def _parts(
        self, who: Indices, row: Indices, node: Indices
    ) -> tuple[Indices, Indices, Array, Mask, Array]:
        """Of the parts of some cells: indices of thing and reference (p,), middle (p, 2), to which keys' regions it may
        belong (p, 12), and its distance to every object (n, p).
        """
        region = self._region
        step = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
        offsets = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2) * region.steps[row][:, None]
        anchors = region.references[row]
        spots = region.nodes[row, node][:, None] + offsets @ region.ground.axes[anchors]
        height = np.broadcast_to(region.points[row, 0, 2:][:, None], (*spots.shape[:2], 1))
        margins = point_margins(self._scene, np.concatenate((spots, height), axis=-1), anchors)
        table = np.stack([margins[key].ravel() for key in KEYS], axis=1)
        flat, who, row = spots.reshape(-1, 2), np.repeat(who, _PARTS**2), np.repeat(row, _PARTS**2)
        gaps = region.ground.distance(flat).T
        near = gaps[region.references[row], np.arange(len(row))]
        return who, row, flat, self._may_belong(table, near, who, row), gaps

    def _fits(
        self,
        who: Indices,
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
            half: (s, 2) half extents [m].
            obstacles: (n, s, b) what stands in the way, larger (``sign`` 1) or smaller (-1) by its uncertainty.
            loosen: (p,) see ``fits_turned``.
        """
        loosen = np.zeros(len(spots)) if loosen is None else loosen
        grow = sign * self._scene.slack
        gap = np.where(obstacles[:, who, row], gaps - grow[:, None], np.inf)
        normals, inside = self._region.edges(row, spots)
        room = np.minimum(gap.min(axis=0, initial=np.inf), inside.min(axis=1, initial=np.inf))
        outer = np.hypot(*half.T)[who]
        out = np.repeat((room >= outer)[:, None], turns, axis=1)
        at = np.flatnonzero((room + loosen >= half.min(axis=1)[who]) & (room < outer))
        # A rectangle grown by its uncertainty reaches farther at its corners.
        reach = outer[at] + 0.5 * np.abs(grow)[:, None]
        out[at] = fits_turned(
            spots[at],
            self._axes[who[at]],
            half[who[at]],
            turns,
            self._region.ground,
            grow,
            (gap[:, at] <= reach).T,
            (normals[at], inside[at]),
            loosen[at],
        )
        return out
