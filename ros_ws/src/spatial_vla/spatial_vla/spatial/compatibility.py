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
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .boxes import BoxArray
from .fit_region import FitRules, Region
from .fit_search import Search
from .free_space import supports
from .placement import KEYS, placed_margins, placed_seen
from .scene import SpatialScene
from .verdict import Frame, Relation, Verdict

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
#: Of a scene with many objects, so many numbers are worked on at once that they stay near the processor.
_AT_ONCE = 700_000


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


@dataclass(frozen=True, eq=False)
class FitTable:
    """Answers as columns (f,): indices of ``subject`` and ``reference``, ``key`` into ``KEYS``, ``verdict`` 1 can, -1
    cannot, 0 unknown; ``place`` (f, 3) and ``yaw`` mean something where the verdict is 1.
    """

    subject: Indices
    reference: Indices
    key: Indices
    verdict: NDArray[np.int8]
    place: Array
    yaw: Array


_VERDICTS = {1: Verdict.YES, -1: Verdict.NO, 0: Verdict.UNKNOWN}


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
    table = fit_table(scene, subjects, references, rules)
    columns = (table.subject, table.reference, table.key, table.verdict, table.place, table.yaw)
    out: list[Fit] = []
    for a, b, key, verdict, (x, y, z), yaw in zip(*(c.tolist() for c in columns), strict=True):
        fit = Fit(a, b, *KEYS[key], verdict=_VERDICTS[verdict])
        out.append(replace(fit, place=(x, y, z), yaw=yaw) if verdict == 1 else fit)
    return out


def fit_table(
    scene: SpatialScene,
    subjects: Sequence[int],
    references: Sequence[int],
    rules: FitRules | None = None,
) -> FitTable:
    """``fits`` as columns."""
    rules = rules or FitRules()
    subjects = [a for a in subjects if scene.boxes.footprints.upright[a]]
    standing = supports(scene)
    references = [b for b in references if standing[b] >= 0]
    region = Region(scene, references, standing, subjects, rules) if subjects and references else None
    if region is None or not len(region.references):
        none = np.zeros(0, np.intp)
        return FitTable(none, none, none, none.astype(np.int8), np.zeros((0, 3)), np.zeros(0))
    each = max(_AT_ONCE // region.margins.size, 1)
    parts = [
        _answers(scene, np.array(subjects[start : start + each]), region, rules)
        for start in range(0, len(subjects), each)
    ]
    a, row, key, verdict, node, turn = (np.concatenate(column) for column in zip(*parts, strict=True))
    place, yaw = region.points[row, node], np.pi * turn / rules.turns
    table = FitTable(a, region.references[row], key, verdict, place, yaw)
    shape = (len(scene.objects), *region.near.shape, rules.turns)
    return _confirmed(scene, table, standing, np.ravel_multi_index((a, row, node, turn), shape))


def _answers(scene: SpatialScene, things: Indices, region: Region, rules: FitRules) -> tuple[NDArray, ...]:
    """Columns of the answers for some things to be moved, over all references: thing, row of the reference, key,
    verdict, node and turn; "can" is not yet confirmed.
    """
    search = Search(scene, things, region, rules)
    can, node, turn = search.find()
    verdict = can.astype(np.int8) - search.prove(~can)
    who, row, key = known = np.nonzero(search.defined)
    return things[who], row, key, verdict[known], node[known], turn[known]


def _confirmed(scene: SpatialScene, table: FitTable, standing: Indices, placement: Indices) -> FitTable:
    """Keep "can" only where the relation holds for the box put there and its ground is seen; else "unknown".

    Answers that share their ``placement`` (f,) have the same place and yaw.
    """
    said = np.flatnonzero(table.verdict == 1)
    if not len(said):
        return table
    subject, reference, yaw = table.subject[said], table.reference[said], table.yaw[said]
    boxes = scene.boxes
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.zeros((len(said), 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1], turn[:, 2, 2] = c, -s, s, c, 1.0
    centre = table.place[said]
    centre[:, 2] += boxes.centre[subject, 2] - boxes.low[subject]
    placed = BoxArray(centre, boxes.half[subject], turn @ boxes.rotation[subject])
    _, first, which = np.unique(placement[said], return_index=True, return_inverse=True)
    surfaces = [scene.surfaces[standing[b]] for b in reference[first]]
    seen = placed_seen(scene, placed.take(first), surfaces)[which]
    holds = placed_margins(scene, placed, reference, table.key[said]) > 0.0
    verdict = table.verdict.copy()
    verdict[said[~(seen & holds)]] = 0
    return replace(table, verdict=verdict)
