"""From "put the red cube left of the blue brick" to where that is: the region in which the words come true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..language.spatial_grammar import Placement, parse_placement
from ..spatial.boxes import OrientedBox
from ..spatial.directions import directions
from ..spatial.free_space import BoxOccupancy, supports
from ..spatial.relations import judge
from ..spatial.scene import SceneObject, SpatialScene, SupportSurface
from ..spatial.templates import the
from ..spatial.verdict import DIRECTIONS, ROUNDING, Frame, Judgement, Relation, Verdict

Array = NDArray[np.float64]
#: What stands for the hand where the hand itself is to go to a place: name, and side of a cube [m].
HAND, HAND_SIZE = "the hand", 0.02
#: Places judged at a time; all pairs are, so more would take longer each.
_TOGETHER = 32
PLACEABLE: tuple[Relation, ...] = (*DIRECTIONS, "near", "between", "on", "inside")


class NoPlace(ValueError):
    """The words are understood and there is no place where they would come true."""


@dataclass(frozen=True)
class GoalRules:
    """``clearance`` to everything [m], ``step`` of the grid of places [m], ``reach`` beyond the reference [m]."""

    clearance: float = 0.01
    step: float = 0.01
    reach: float = 0.15

    def __post_init__(self) -> None:
        if self.step <= 0.0 or self.reach <= 0.0 or self.clearance < 0.0:
            raise ValueError(
                f"{self} makes no grid of places; expected step and reach above 0, clearance 0 or more"
            )


@dataclass(frozen=True, eq=False)
class GoalRegion:
    """Where a thing (or the hand) may go.

    Attributes:
        points: (k, 3) where the thing's bottom may be centred, the best first [m], in the scene's world frame.
        margins: (k,) by how much the relation would hold there [m].
        clearance: (k,) from the thing, whichever way it is turned, to what is nearest [m].
    """

    placement: Placement
    surface: SupportSurface
    points: Array
    margins: Array
    clearance: Array

    @property
    def place(self) -> Array:
        """The best place (3,)."""
        return self.points[0]


def ground(
    sentence: str, scene: SpatialScene, frame: Frame = "ego", rules: GoalRules | None = None
) -> GoalRegion:
    """The goal of an instruction in a scene.

    Args:
        frame: meant where the sentence names no view.

    Raises:
        NotUnderstood: the sentence is not in the grammar or names what is not there.
        NoPlace: there is no such place, or the relation names none.
    """
    placement = parse_placement(sentence, [item.name for item in scene.objects], frame)
    return region(placement, scene, rules)


def region(placement: Placement, scene: SpatialScene, rules: GoalRules | None = None) -> GoalRegion:
    """As ``ground``, of a placement."""
    rules, scene = rules or GoalRules(), scene.in_world()
    surface = _surface(placement, scene)
    mover = _mover(placement, scene)
    spots = _grid(placement, scene, surface, mover, rules)
    radius = float(np.hypot(*(mover.box.size[:2] / 2.0)))
    own = [scene.index(placement.subject)] if placement.subject else []
    tall = float(mover.box.size[2])
    obstacles = BoxOccupancy(scene, surface, tall, own).obstacles()
    gaps = scene.boxes.footprints.distance(spots)[:, obstacles] - scene.slack[obstacles]
    room = gaps.min(axis=1, initial=np.inf) - radius
    edge = surface.margin(spots)
    # What lies on another thing may stick out, as long as its middle is over it.
    fits = (room >= rules.clearance) & (edge >= (0.005 if placement.relation == "on" else radius))
    room = np.minimum(room, np.where(placement.relation == "on", np.inf, edge - radius))
    points = np.column_stack((spots, np.full(len(spots), surface.height)))[fits]
    margins, bands = _margins(placement, scene, mover, points)
    with np.errstate(invalid="ignore"):
        good = margins > bands + ROUNDING
    if not good.any():
        raise NoPlace(
            f"no place {placement.relation} of {the(placement.reference)} for {placement.subject or HAND}: of "
            f"{len(spots)} tried, {len(points)} are free and in none of these the relation would hold (frame "
            f"{placement.frame}). Clear some space, or name another relation or view."
        )
    points, margins, room = points[good], margins[good], room[fits][good]
    # Comfortably there, and then as near as that allows.
    away = np.linalg.norm(points[:, :2] - scene.boxes.centre[scene.index(placement.reference), :2], axis=1)
    order = np.argsort(0.1 * away - np.minimum(np.minimum(margins, room), 0.03), kind="stable")
    return GoalRegion(placement, surface, points[order], margins[order], room[order])


def reached(placement: Placement, scene: SpatialScene, hand: Array | None = None) -> Judgement:
    """Whether the words are true now.

    Args:
        scene: as it is now.
        hand: (3,) the tool's position in the scene's world frame [m]; needed where the hand itself is to go there.

    Raises:
        ValueError: the placement is of the hand, and no position is given.
    """
    scene = scene.in_world()
    if placement.subject is None:
        if hand is None:
            raise ValueError("where the hand has to be was asked for; give its position")
        box = OrientedBox(np.asarray(hand), np.full(3, HAND_SIZE), np.eye(3))
        scene = replace(scene, objects=(*scene.objects, SceneObject(HAND, "hand", box)))
    subject = placement.subject or HAND
    return judge(scene, subject, placement.relation, placement.reference, placement.frame, placement.other)


def _surface(placement: Placement, scene: SpatialScene) -> SupportSurface:
    """What the thing would stand on."""
    if placement.relation not in PLACEABLE:
        raise NoPlace(
            f"'{placement.relation}' names no place to stand; expected one of {', '.join(PLACEABLE)}"
        )
    index = scene.index(placement.reference)
    if placement.relation == "on":
        tops = [s for s in scene.surfaces if s.owner == placement.reference]
        if not tops:
            raise NoPlace(
                f"{the(placement.reference)} has no flat top that is known; nothing can be put on it"
            )
        return tops[0]
    if placement.relation == "inside":
        if not scene.objects[index].known_traits.container:
            raise NoPlace(
                f"{the(placement.reference)} is not known to hold things; nothing can be put into it"
            )
        corners = scene.boxes.footprints.corners()[index]
        floor = float(scene.boxes.low[index]) + 0.005
        return SupportSurface(f"inside {placement.reference}", corners, floor, owner=placement.reference)
    number = int(supports(scene)[index])
    if number < 0:
        raise NoPlace(f"{the(placement.reference)} stands on no surface that is known")
    return scene.surfaces[number]


def _mover(placement: Placement, scene: SpatialScene) -> SceneObject:
    if placement.subject is not None:
        return scene.objects[scene.index(placement.subject)]
    return SceneObject(HAND, "hand", OrientedBox(np.zeros(3), np.full(3, HAND_SIZE), np.eye(3)))


def _grid(
    placement: Placement, scene: SpatialScene, surface: SupportSurface, mover: SceneObject, rules: GoalRules
) -> Array:
    """Places (k, 2) on the surface around the references."""
    rows = [scene.index(name) for name in (placement.reference, placement.other) if name]
    centre, half = scene.boxes.footprints.centre[rows], scene.boxes.footprints.half[rows]
    wide = np.hypot(*half.T).max() + float(np.hypot(*mover.box.size[:2])) + rules.reach
    low, high = centre.min(axis=0) - wide, centre.max(axis=0) + wide
    axes = [np.arange(a, b + rules.step, rules.step) for a, b in zip(low, high, strict=True)]
    spots = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    return spots[surface.margin(spots) >= 0.0]


def _margins(
    placement: Placement, scene: SpatialScene, mover: SceneObject, points: Array
) -> tuple[Array, Array]:
    """Margins and bands (k,) of the relation for the mover put at points (k, 3)."""
    names = [name for name in (placement.reference, placement.other) if name]
    fixed = [scene.objects[scene.index(name)] for name in names]
    placed = [_put(mover, point, str(number)) for number, point in enumerate(points)]
    if placement.relation in DIRECTIONS:
        found = [
            _directed(placement, scene, (fixed[0], *placed[first : first + _TOGETHER]))
            for first in range(0, len(placed), _TOGETHER)
        ]
        value, band = np.concatenate([np.zeros((2, 0)), *found], axis=1)
        return value, band
    found = [_judged(placement, scene, fixed, item) for item in placed]
    return np.array([f.margin for f in found]), np.array([f.band for f in found])


def _directed(placement: Placement, scene: SpatialScene, items: tuple[SceneObject, ...]) -> Array:
    """Margin and band (2, k) of all items but the first in a direction of the first."""
    both = directions(replace(scene, objects=items))[placement.frame, placement.relation]
    return np.stack((both.value[1:, 0], both.band[1:, 0]))


def _judged(
    placement: Placement, scene: SpatialScene, fixed: Sequence[SceneObject], item: SceneObject
) -> Judgement:
    here = replace(scene, objects=(*fixed, item))
    return judge(here, item.name, placement.relation, placement.reference, placement.frame, placement.other)


def _put(mover: SceneObject, point: Array, name: str) -> SceneObject:
    """The mover with its bottom centred at a point, turned as it is now."""
    high = float((np.abs(mover.box.rotation[2]) * mover.box.size).sum()) / 2.0
    box = replace(mover.box, centre=point + np.array((0.0, 0.0, high)))
    return replace(mover, name=f"placed {name}", box=box, traits=mover.known_traits)


def holds(judgement: Judgement) -> bool:
    """A plain yes."""
    return judgement.verdict is Verdict.YES
