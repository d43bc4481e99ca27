"""Spatial relations between the objects of a scene. The definitions are in ``directions`` and ``contact``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .contact import Rules, between, contacts
from .directions import Margins, directions
from .scene import SpatialScene
from .verdict import DIRECTIONS, FRAMES, RELATIONS, Frame, Judgement, Relation, decided, verdict_of


class RelationTable:
    """All relations between all objects of a scene, computed once.

    Args:
        scene: any frame; answers are in its world frame.
        rules: sizes in the definitions.
    """

    def __init__(self, scene: SpatialScene, rules: Rules | None = None) -> None:
        self.scene = scene.in_world()
        self._margins = directions(self.scene)
        below = self._margins["world", "below"]
        for relation, margins in contacts(self.scene, rules or Rules(), below).items():
            for frame in FRAMES:
                self._margins[frame, relation] = margins

        for margins in self._margins.values():
            np.fill_diagonal(margins.value, np.nan)

    def margins(self, frame: Frame, relation: Relation) -> Margins:
        """Margins (n, n) of "i relation j" [m], NaN on the diagonal; "between" is not among them."""
        return self._margins[frame, relation]

    def verdicts(self, frame: Frame, relation: Relation) -> NDArray[np.int8]:
        """Verdicts (n, n): 1 yes, -1 no, 0 ambiguous or unknown, also on the diagonal."""
        margins = self._margins[frame, relation]
        return decided(margins.value, margins.band)

    def judge(self, subject: int, relation: Relation, reference: int, frame: Frame = "ego") -> Judgement:
        """The answer for two objects by their indices."""
        margins = self._margins[frame, relation]
        value, band = float(margins.value[subject, reference]), float(margins.band[subject, reference])
        return Judgement(verdict_of(value, band), value, band)

    @cached_property
    def between(self) -> Margins:
        """Margins (n, n, n) of "i is between j and k" [m]; NaN where two are one."""
        return between(self.scene)

    def kinds(self) -> Iterator[tuple[Frame, Relation]]:
        """Frames and relations; those that do not depend on the frame come under "world" alone."""
        for frame, relation in self._margins:
            if frame == "world" or relation in DIRECTIONS:
                yield frame, relation


def judge(
    scene: SpatialScene,
    subject: str,
    relation: Relation,
    reference: str,
    frame: Frame = "ego",
    other: str | None = None,
    rules: Rules | None = None,
) -> Judgement:
    """Is ``subject`` in ``relation`` to ``reference`` (and ``other``, for "between"), seen in ``frame``?

    Raises:
        KeyError: if the scene has no object of that name.
        ValueError: if relation or frame is unknown, or the objects are not different ones.
    """
    if relation not in RELATIONS or frame not in FRAMES:
        raise ValueError(
            f"relation {relation!r} in frame {frame!r} is unknown; expected one of {', '.join(RELATIONS)} "
            f"in one of {', '.join(FRAMES)}"
        )
    names = [subject, reference] + ([other] if other is not None else [])
    if (relation == "between") != (other is not None) or len(set(names)) < len(names):
        raise ValueError(
            f"'{relation}' was asked of {names}; it needs {3 if relation == 'between' else 2} different objects"
        )
    table = RelationTable(scene, rules)
    indices = [table.scene.index(name) for name in names]
    if relation == "between":
        value, band = (float(x[tuple(indices)]) for x in (table.between.value, table.between.band))
        return Judgement(verdict_of(value, band), value, band)
    return table.judge(indices[0], relation, indices[1], frame)
