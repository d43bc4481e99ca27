"""Can A be put left of, right of, in front of or behind B, on the surface that B stands on?

    can      a place and a turn were found: A's ground rectangle with the clearance meets no obstacle and no edge,
             the relation holds for A put there, and the camera sees that place
    cannot   proven for every place and turn, not only for those tried: around each node of a grid A, shrunk by what
             lies between nodes and turns, still meets an obstacle or an edge; all of the region is in the picture
    unknown  anything else

The region is where A's middle would be: beyond B in that direction, with a gap of at most ``reach`` between the two.
A's present place counts as free. Nothing is said of an A that is too large for the surface as such. Only things that
stand upright are moved, and turned about the vertical.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import BoxArray
from .free_space import SAFETY, SKIN, obstructs, point_margins, supports
from .placement import fits_turned, placed_margins, placed_seen
from .scene import SpatialScene, SupportSurface
from .verdict import DIRECTIONS, FRAMES, Frame, Relation, Verdict
from .visibility import blocked, in_picture

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: A cell is divided into this many squared parts for a proof, and of more cells than that none is tried.
_PARTS, _MOST_PROOFS = 4, 60
KEYS: tuple[tuple[Frame, Relation], ...] = tuple((f, d) for f in FRAMES for d in DIRECTIONS)


@dataclass(frozen=True)
class FitRules:
    """``clearance`` [m], largest gap between A and B [m] (0: A's longer side), turns tried in half a circle, and nodes
    along each side of the grid around B.
    """

    clearance: float = 0.01
    reach: float = 0.0
    turns: int = 8
    nodes: int = 17


@dataclass(frozen=True)
class Fit:
    """An answer; of "can", the ``place`` (x, y, z) of A's bottom centre and its ``yaw`` relative to now."""

    subject: int
    reference: int
    frame: Frame
    direction: Relation
    verdict: Verdict
    place: tuple[float, float, float] | None = None
    yaw: float = 0.0


def fits(
    scene: SpatialScene,
    subjects: Sequence[int],
    references: Sequence[int],
    rules: FitRules | None = None,
) -> list[Fit]:
    """Answers for all pairs of a subject and another reference, in all frames that the reference has.

    Args:
        scene: in its world frame.
        subjects: what would be moved; those that do not stand upright are left out.
        references: those that stand on no known surface are left out.
    """
    rules = rules or FitRules()
    subjects = [a for a in subjects if scene.boxes.footprints.upright[a]]
    standing = supports(scene)
    found: list[Fit] = []
    for number in sorted({int(standing[b]) for b in references} - {-1} if subjects else ()):
        surface = scene.surfaces[number]
        ground = scene.boxes.footprints
        able = [
            a
            for a in subjects
            if surface.owner != scene.objects[a].name and 2.0 * ground.half[a].min() <= surface.width
        ]
        if able:
            region = _Region(scene, [b for b in references if standing[b] == number], surface, able, rules)
            for a in able:
                found += _for_subject(scene, a, region, rules)
    return _confirmed(scene, found, standing)


class _Region:
    """Grids of k nodes around each of the b references on one surface, and what is known of each node.

    ``nodes`` (b, k, 2), ``steps`` (b, 2) apart; ``cell`` (b, 1) half a cell's diagonal; ``gaps`` (b, k, n) to every
    object's rectangle; ``near`` (b, 1, k) to the reference's; ``edge`` (b, k) to the surface's edge; ``margins``
    (b, 12, k) by ``KEYS``, minus infinity where the frame is not ``defined`` (b, 12); ``inside`` (b, 1, k) in the
    picture; ``seen``: and not hidden.
    """

    def __init__(
        self,
        scene: SpatialScene,
        references: list[int],
        surface: SupportSurface,
        subjects: list[int],
        rules: FitRules,
    ) -> None:
        self.references, self.surface, self.ground = np.array(references), surface, scene.boxes.footprints
        ground, count = self.ground, len(references)
        widest = float(np.hypot(*ground.half[subjects].T).max())
        spans = ground.half[references] + widest + (rules.reach or 2.0 * widest)
        steps = np.linspace(-1.0, 1.0, rules.nodes)
        unit = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        self.nodes = ground.centre[references][:, None] + (unit * spans[:, None]) @ ground.axes[references]
        self.steps = 2.0 * spans / (rules.nodes - 1)
        self.cell = np.hypot(*self.steps.T)[:, None] / 2.0
        flat = self.nodes.reshape(-1, 2)
        points = np.column_stack((flat, np.full(len(flat), surface.height)))
        gaps = ground.distance(flat)
        self.gaps = gaps.reshape(count, -1, len(scene.objects))
        self.near = self.gaps[np.arange(count), :, references][:, None]
        self.edge = surface.margin(flat).reshape(count, -1)
        margins = point_margins(scene, points.reshape(count, -1, 3), references)
        table = np.stack([margins[key] for key in KEYS], axis=1)
        self.defined = ~np.isnan(table[..., 0])
        self.margins = np.where(self.defined[..., None], table, -np.inf)
        _, inside = in_picture(scene, points)
        self.inside = inside.reshape(count, 1, -1)
        # Where something stands nothing else can be put; no ray needs to go there.
        free = np.flatnonzero(inside & (gaps[:, obstructs(scene, surface, SKIN * 2)] > 0.0).all(axis=1))
        other = np.array([item.name != surface.owner for item in scene.objects])
        boxes = scene.boxes.grown(other * (SAFETY + scene.slack))
        seen = np.zeros(len(flat), bool)
        seen[free] = ~blocked(boxes, scene.scene_from_camera.translation, points[free]).any(axis=1)
        self.seen = seen.reshape(count, 1, -1)


def _for_subject(scene: SpatialScene, a: int, region: _Region, rules: FitRules) -> list[Fit]:
    """Answers for one thing to be moved, over all references; "can" is not yet confirmed."""
    search = _Search(scene, a, region, rules)
    can, node, turn = search.find()
    cannot = search.prove(~can)
    yaws = np.pi * turn / rules.turns
    places = region.nodes[np.arange(len(can))[:, None], node].tolist()
    out: list[Fit] = []
    for row, key in np.argwhere(search.defined).tolist():
        b, height = int(region.references[row]), region.surface.height
        if can[row, key]:
            x, y = places[row][key]
            out.append(Fit(a, b, *KEYS[key], Verdict.YES, (x, y, height), float(yaws[row, key])))
        else:
            out.append(Fit(a, b, *KEYS[key], Verdict.NO if cannot[row, key] else Verdict.UNKNOWN))
    return out


class _Search:
    """One thing to be put near the references of a region, in all directions at once."""

    def __init__(self, scene: SpatialScene, a: int, region: _Region, rules: FitRules) -> None:
        self._scene, self._region, self._rules = scene, region, rules
        ground, slack, references = region.ground, scene.slack, region.references
        self._axes, self._half, self._slack = ground.axes[a], ground.half[a], float(slack[a])
        self._outer, self._inner = float(np.hypot(*self._half)), float(self._half.min())
        tall = float(scene.boxes.high[a] - scene.boxes.low[a])
        rows = np.flatnonzero(obstructs(scene, region.surface, tall))
        self._rows, self._grow = rows[rows != a], slack
        # An obstacle's rectangle is exact only if it stands upright; only such a one proves anything.
        self._sure_rows = self._rows[ground.upright[self._rows]]
        self.defined = region.defined & (references != a)[:, None]
        reach = self._reach = rules.reach or 2.0 * float(self._half.max())
        own = slack[references][:, None]
        near, margins = region.near, region.margins
        self._within = (margins >= (self._outer + own)[..., None]) & (near <= reach + self._inner)
        self._certain = self._within & region.seen
        # The bearing of A's middle differs from that of its ground by parallax.
        self._parallax = np.array(
            [tall / 2.0 if f == "ego" and d in ("left", "right") else 0.0 for f, d in KEYS]
        )
        wide = region.cell + own
        self._loose = (margins >= -(wide + self._parallax)[..., None]) & (
            near <= (reach + self._outer + wide)[..., None]
        )

    def find(self) -> tuple[Mask, NDArray[np.intp], NDArray[np.intp]]:
        """Per reference and key (b, 12): whether A fits somewhere, at which node and turn."""
        region, rules = self._region, self._rules
        gap = (region.gaps[..., self._rows] - self._grow[self._rows]).min(axis=-1, initial=np.inf)
        room = np.minimum(gap, region.edge) - self._slack - rules.clearance
        score = np.where(self._certain, np.where(room >= self._outer, room, -np.inf)[:, None], -np.inf)
        node, turn = score.argmax(axis=-1), np.zeros(self.defined.shape, np.intp)
        best = np.take_along_axis(score, node[..., None], -1)[..., 0]
        can = self.defined & np.isfinite(best)
        open_ = self.defined & ~can
        tight = (self._certain & open_[..., None]).any(axis=1) & (room >= self._inner)
        if tight.any():
            half = self._half + rules.clearance + self._slack
            ok = self._fits(
                region.nodes[tight], region.gaps[tight], half, self._rows, self._grow, rules.turns
            )
            free, first = np.zeros(tight.shape, bool), np.zeros(tight.shape, np.intp)
            free[tight], first[tight] = ok.any(axis=1), ok.argmax(axis=1)
            score = np.where(self._certain, np.where(free, room, -np.inf)[:, None], -np.inf)
            pick = score.argmax(axis=-1)
            found = open_ & np.isfinite(np.take_along_axis(score, pick[..., None], -1)[..., 0])
            can |= found
            node[found] = pick[found]
            turn[found] = np.take_along_axis(first, pick, -1)[found]
        return can, node, turn

    def prove(self, wanted: Mask) -> Mask:
        """Per reference and key (b, 12): whether A fits nowhere in the region, and all of that is in the picture."""
        region, loose, rows = self._region, self._loose, self._sure_rows
        in_view = loose.any(axis=-1) & ~(loose & ~region.inside).any(axis=-1)
        keys = self.defined & wanted & in_view
        room = np.minimum(
            (region.gaps[..., rows] + self._grow[rows]).min(axis=-1, initial=np.inf), region.edge
        )
        # Where A fits at a node, at any turn or at one, there is nothing to prove.
        free = room >= self._outer
        keys &= ~(self._within & free[:, None]).any(axis=-1)
        tight = (self._within & keys[..., None]).any(axis=1) & ~free & (room >= self._inner)
        if tight.any():
            spots, gaps = region.nodes[tight], region.gaps[tight]
            free[tight] = self._fits(spots, gaps, self._half, rows, self._grow, self._rules.turns).any(axis=1)
            keys &= ~(self._within & free[:, None]).any(axis=-1)
        if not keys.any():
            return keys
        unsure = (loose & keys[..., None]).any(axis=1) & (room + region.cell >= self._inner - self._slack)
        return self._proven(unsure, keys)

    def _proven(self, cells: Mask, keys: Mask) -> Mask:
        """Which keys (b, 12) stand a finer look at the cells (b, k) of some nodes.

        Each cell is divided; around the middle of a part, A shrunk by what lies between parts and turns must meet
        something wherever the part may belong to the key's region.
        """
        region, turns = self._region, 2 * self._rules.turns
        keys = keys & (np.count_nonzero(cells, axis=1, keepdims=True) <= _MOST_PROOFS)
        row, node = np.nonzero(cells & keys.any(axis=1, keepdims=True))
        if not len(row):
            return keys
        cell = float(region.cell[row].max()) / _PARTS
        half = self._half - cell - self._outer * np.sin(np.pi / turns / 2.0) - self._slack
        if half.min() <= 0.0:
            keys[row] = False
            return keys
        # Most proofs fail: first at the middles of whole cells, where the grid has everything at hand.
        margins, near = region.margins[row, :, node], region.near[row, 0, node]
        loose = self._may_belong(margins, near, row, cell)
        keys = self._refuted(keys, row, loose, region.nodes[row, node], region.gaps[row, node], half)
        still = np.flatnonzero(keys[row].any(axis=1))
        row, spots, loose, gaps = self._parts(row[still], node[still], cell)
        for step in (8, 1):
            look = np.flatnonzero((loose & keys[row]).any(axis=1))[::step]
            if len(look):
                keys = self._refuted(keys, row[look], loose[look], spots[look], gaps[look], half)
        return keys

    def _may_belong(self, margins: Array, near: Array, row: NDArray[np.intp], within: float) -> Mask:
        """Whether the region of a key (p, 12) may reach up to ``within`` of a spot, by the spot's margins (p, 12)."""
        wide = within + self._scene.slack[self._region.references[row]][:, None]
        return (margins >= -(wide + self._parallax)) & (near[:, None] <= self._reach + self._outer + wide)

    def _refuted(
        self, keys: Mask, row: NDArray[np.intp], loose: Mask, spots: Array, gaps: Array, half: Array
    ) -> Mask:
        """Keys (b, 12) less those in whose region (p, 12) a rectangle of extents ``half`` fits at a spot (p, 2)."""
        rows, turns = self._sure_rows, 2 * self._rules.turns
        fitting = self._fits(spots, gaps, half, rows, -self._grow, turns).any(axis=1)
        failed = np.zeros_like(keys)
        np.logical_or.at(failed, row[fitting], loose[fitting])
        return keys & ~failed

    def _parts(
        self, row: NDArray[np.intp], node: NDArray[np.intp], within: float
    ) -> tuple[NDArray[np.intp], Array, Mask, Array]:
        """Of the parts of some cells: index of the reference (p,), middle (p, 2), to which keys' regions it may belong
        (p, 12), and its distance to every object (p, n).
        """
        region = self._region
        step = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
        offsets = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2) * region.steps[row][:, None]
        anchors = region.references[row]
        spots = region.nodes[row, node][:, None] + offsets @ region.ground.axes[anchors]
        points = np.concatenate((spots, np.full((*spots.shape[:2], 1), region.surface.height)), axis=-1)
        margins = point_margins(self._scene, points, anchors)
        table = np.stack([margins[key].ravel() for key in KEYS], axis=1)
        flat, row = spots.reshape(-1, 2), np.repeat(row, _PARTS**2)
        gaps = region.ground.distance(flat)
        loose = self._may_belong(table, gaps[np.arange(len(row)), region.references[row]], row, within)
        return row, flat, loose, gaps

    def _fits(
        self, spots: Array, gaps: Array, half: Array, rows: NDArray[np.intp], grow: Array, turns: int
    ) -> Mask:
        """Whether a rectangle fits at spots (p, 2) whose distance to each object is ``gaps`` (p, n), by turn (p, t)."""
        surface, ground = self._region.surface, self._region.ground
        gaps = gaps[:, rows] - grow[rows]
        out = np.zeros((len(spots), turns), bool)
        room = np.minimum(gaps.min(axis=1, initial=np.inf), surface.margin(spots))
        outer = float(np.hypot(*half))
        out[room >= outer] = True
        tight = np.flatnonzero((room >= half.min()) & (room < outer))
        if len(tight):
            rows = rows[gaps[tight].min(axis=0, initial=np.inf) <= outer]
            obstacles = ground.take(rows)
            out[tight] = fits_turned(spots[tight], self._axes, half, turns, obstacles, grow[rows], surface)
        return out


def _confirmed(scene: SpatialScene, found: list[Fit], standing: NDArray[np.intp]) -> list[Fit]:
    """Keep "can" only where the relation holds for the box put there and its ground is seen; else "unknown"."""
    said = [fit for fit in found if fit.place is not None]
    if not said:
        return found
    # Many answers share a placement.
    spots = {(fit.subject, fit.place, fit.yaw, int(standing[fit.reference])): fit for fit in said}
    order = {spot: number for number, spot in enumerate(spots)}
    subject, places, yaws, surfaces = (list(column) for column in zip(*spots, strict=True))
    boxes = scene.boxes
    c, s = np.cos(yaws), np.sin(yaws)
    turn = np.zeros((len(spots), 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1], turn[:, 2, 2] = c, -s, s, c, 1.0
    centre = np.array(places)
    centre[:, 2] += boxes.centre[subject, 2] - boxes.low[subject]
    placed = BoxArray(centre, boxes.half[subject], turn @ boxes.rotation[subject])
    seen = placed_seen(scene, placed, [scene.surfaces[k] for k in surfaces])
    which = np.array([order[fit.subject, fit.place, fit.yaw, int(standing[fit.reference])] for fit in said])
    references = np.array([fit.reference for fit in said])
    keys: list[tuple[Frame, Relation]] = [(fit.frame, fit.direction) for fit in said]
    holds = placed_margins(scene, placed.take(which), references, keys) > 0.0
    good = {id(fit) for fit, ok in zip(said, seen[which] & holds, strict=True) if ok}
    return [
        Fit(fit.subject, fit.reference, fit.frame, fit.direction, Verdict.UNKNOWN)
        if fit.place is not None and id(fit) not in good
        else fit
        for fit in found
    ]
