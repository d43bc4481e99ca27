"""What is true of the simulated table: spatial relations by corners and plain loops, to judge answers by.

Nothing of ``spatial_vla.spatial`` is used but the wording of questions. The definitions are its documented ones; the
computation is another: corner by corner, pair by pair, gaps by a bounded least-squares solver, sight by MuJoCo's rays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from spatial_vla.geometry import SE3
from spatial_vla.spatial import templates

from .model import VISIBLE_GROUP
from .shapes import half_extents
from .world import World

Array = NDArray[np.float64]
DIRECTIONS = ("left", "right", "front", "behind", "above", "below")
VIEWS = {
    "ego": ("seen from the camera", "in the picture"),
    "world": ("seen from the robot", "from the robot's point of view"),
    "object": ("from {b}'s own point of view",),
}
#: Margins nearer to zero than this [m] are not asked about: the two worlds may differ by rounding.
CLOSE = 1e-4
#: Height of the table and its lowest and highest x, y [m].
TABLE_TOP, TABLE = 0.0, (-0.40, -0.62, 1.30, 0.62)


@dataclass(frozen=True)
class Asked:
    """A sentence, and what it asks: ``kind`` relation, what, free or room."""

    sentence: str
    kind: str
    relation: str
    frame: str
    subject: str
    reference: str
    other: str = ""


@dataclass(frozen=True, eq=False)
class Solid:
    """One box: its pose and half extents (3,)."""

    pose: SE3
    half: Array

    def corners(self) -> list[Array]:
        """The eight corners."""
        return [self.pose.apply(self.half * np.array(s)) for s in itertools.product((-1, 1), repeat=3)]


def solids(world: World) -> dict[str, Solid]:
    """The boxes around the world's objects now."""
    return {
        item.name: Solid(pose, np.array(half_extents(item.shape, item.size)))
        for item, pose in zip(world.scene.objects, world.object_poses(), strict=True)
    }


def margin(world: World, asked: Asked, things: dict[str, Solid] | None = None) -> float:
    """By how much the relation holds [m], negative where it does not; only the sign and the distance from 0 count."""
    things = things or solids(world)
    a, b = things[asked.subject], things[asked.reference]
    if asked.relation in DIRECTIONS:
        return _direction(a, b, asked, world.view().pose("external"))
    if asked.relation == "near":
        diagonal = 2.0 * min(math.dist((0, 0, 0), s.half.tolist()) for s in (a, b))
        return diagonal - _gap(a, b)
    if asked.relation == "between":
        return _between(a, b, things[asked.other])
    if asked.relation == "on":
        bottom, top = min(c[2] for c in a.corners()), max(c[2] for c in b.corners())
        at = b.pose.inverse().apply(a.pose.translation)
        return min(0.015 - abs(bottom - top), *(float(b.half[k] - abs(at[k])) for k in (0, 1)))
    raise ValueError(f"no truth is known of {asked.relation!r}")


def _direction(a: Solid, b: Solid, asked: Asked, eye: SE3) -> float:
    sign = 1.0 if asked.relation in ("left", "front", "above") else -1.0
    if asked.relation in ("left", "right") and asked.frame == "ego":

        def bearing(point: Array) -> float:
            x, _, z = eye.inverse().apply(point)
            return -sign * math.atan2(x, z)

        pairs = [[bearing(c) for c in s.corners()] for s in (a, b)]
        middle = [bearing(s.pose.translation) for s in (a, b)]
    else:
        axis = sign * _axis(asked, b, eye)
        pairs = [[float(c @ axis) for c in s.corners()] for s in (a, b)]
        middle = [float(s.pose.translation @ axis) for s in (a, b)]
    return min(middle[0] - max(pairs[1]), min(pairs[0]) - middle[1])


def _axis(asked: Asked, b: Solid, eye: SE3) -> Array:
    """Unit vector towards left, front or above."""
    if asked.relation in ("above", "below"):
        return np.array((0.0, 0.0, 1.0))
    sideways = asked.relation in ("left", "right")
    if asked.frame == "world":
        return np.array((0.0, 1.0, 0.0) if sideways else (-1.0, 0.0, 0.0))
    if asked.frame == "ego":
        away = eye.rotation[:, 2] * (1.0, 1.0, 0.0)
        return -away / np.linalg.norm(away)
    front = b.pose.rotation[:, 0] * (1.0, 1.0, 0.0)
    front = front / np.linalg.norm(front)
    return np.array((-front[1], front[0], 0.0)) if sideways else front


def _gap(a: Solid, b: Solid) -> float:
    """Distance of two boxes: least squares over the points of both, each within its box."""
    matrix = np.column_stack((a.pose.rotation, -b.pose.rotation))
    shift = b.pose.translation - a.pose.translation
    limit = np.concatenate((a.half, b.half))
    found = lsq_linear(matrix, shift, (-limit, limit), tol=1e-14)
    return float(np.linalg.norm(found.fun))


def _between(a: Solid, b: Solid, c: Solid) -> float:
    """A is beyond B and before C along their line, not far aside, and not above or below both."""
    line = (c.pose.translation - b.pose.translation)[:2]
    line = line / math.hypot(*line)
    across = np.array((-line[1], line[0]))

    def span(solid: Solid, axis: Array) -> tuple[float, float, float]:
        at = [float(k[:2] @ axis) for k in solid.corners()]
        return min(at), float(solid.pose.translation[:2] @ axis), max(at)

    (a0, a1, a2), (_, b1, b2), (c0, c1, _) = (span(s, line) for s in (a, b, c))
    beyond, before = min(a1 - b2, a0 - b1), min(c0 - a1, c1 - a2)
    wide = max((s[2] - s[0]) / 2.0 for s in (span(b, across), span(c, across)))
    aside = wide - abs(span(a, across)[1] - span(b, across)[1])
    z = [[k[2] for k in s.corners()] for s in (b, c)]
    height = float(a.pose.translation[2])
    return min(beyond, before, aside, height - min(map(min, z)), max(map(max, z)) - height)


def wrong(
    world: World, asked: Asked, verdict: str, points: Sequence[Sequence[float]], fronts: Sequence[str]
) -> str:
    """What is wrong with an answer; empty if nothing.

    Args:
        verdict: yes, no, ambiguous or unknown. points: (k, 3) in the world [m]; of "what" the middles of the things.
        fronts: shapes that were declared to have a front.
    """
    faceless = asked.frame == "object" and asked.reference.split()[-1] not in fronts
    if faceless and asked.relation not in ("above", "below"):
        return "" if verdict == "unknown" else f"{verdict}, though {asked.reference} has no front"
    if asked.kind == "relation":
        truth = "yes" if margin(world, asked) > 0.0 else "no"
        return "" if verdict == truth else f"{verdict} instead of {truth}"
    if asked.kind == "what":
        return _wrong_list(world, asked, points)
    return _wrong_places(world, asked, verdict, points)


def _wrong_list(world: World, asked: Asked, points: Sequence[Sequence[float]]) -> str:
    things = solids(world)
    others = [name for name in things if name not in (asked.reference, asked.other)]
    wanted = {name for name in others if margin(world, replace(asked, subject=name)) > 0.0}
    named = {min(things, key=lambda n: math.dist(things[n].pose.translation.tolist(), p)) for p in points}
    return "" if named == wanted else f"{sorted(named)} instead of {sorted(wanted)}"


def _wrong_places(world: World, asked: Asked, verdict: str, points: Sequence[Sequence[float]]) -> str:
    """Every place on the table, free, seen and where it was said to be; and there is none where "no" was said."""
    if verdict == "yes":
        if not points:
            return "yes, without a place"
        return next(filter(None, (_wrong_place(world, asked, np.array(p)) for p in points)), "")
    if verdict == "no":
        rng = np.random.default_rng(0)
        near = solids(world)[asked.reference].pose.translation[:2]
        for offset in rng.uniform(-0.12, 0.12, (400, 2)):
            if not _wrong_place(world, asked, np.array([*(near + offset), TABLE_TOP]), 0.02):
                return f"no, though {(near + offset).round(3).tolist()} will do"
    return ""


def _wrong_place(world: World, asked: Asked, place: Array, spare: float = 0.0) -> str:
    things = solids(world)
    radius = 0.0
    if asked.kind == "room":
        mover = things.pop(asked.subject)
        radius = float(min(mover.half[:2]))
        put = Solid(SE3(mover.pose.rotation, place + np.array((0.0, 0.0, float(mover.half[2])))), mover.half)
    else:
        put = Solid(SE3(np.eye(3), place), np.zeros(3))
    x0, y0, x1, y1 = TABLE
    if abs(place[2] - TABLE_TOP) > 1e-6 or not (x0 < place[0] < x1 and y0 < place[1] < y1):
        return f"{place.round(3).tolist()} is not on the table"
    for name, solid in things.items():
        at = np.abs(solid.pose.inverse().apply(place))[:2] - solid.half[:2]
        if float(np.linalg.norm(np.maximum(at, 0.0))) < radius + spare:
            return f"{place.round(3).tolist()} is taken by {name}"
    if asked.kind == "free":
        if margin(world, replace(asked, subject="place"), {**things, "place": put}) < -1e-6:
            return f"{place.round(3).tolist()} is not {asked.relation} of {asked.reference}"
        if not _seen(world, place):
            return f"{place.round(3).tolist()} is hidden"
    return ""


def _seen(world: World, place: Array) -> bool:
    view = world.view()
    eye, groups = view.pose("external").translation, np.zeros(6, np.uint8)
    groups[VISIBLE_GROUP] = 1
    way = place - eye
    length, hit = float(np.linalg.norm(way)), np.array([-1], np.int32)
    met = mujoco.mj_ray(view.model, view.data, eye, way / length, groups, 1, -1, hit)
    return met < 0.0 or met > length - 2e-3 or _is_robot(view.model, int(hit[0]))


def _is_robot(model: mujoco.MjModel, geom: int) -> bool:
    """The robot is no object of the questions; what it hides counts as seen."""
    body = model.body(model.geom_bodyid[geom]).name
    return not body.startswith("object") and body != "world"


def draw(world: World, rng: np.random.Generator, fronts: Sequence[str]) -> Asked:
    """A random question about the table, in random words, with an answer that is not a matter of rounding."""
    while True:
        asked = _draw(world, rng)
        faceless = asked.frame == "object" and asked.reference.split()[-1] not in fronts
        if asked.kind in ("free", "room") or faceless:
            return asked
        subjects = (
            [asked.subject]
            if asked.kind == "relation"
            else [n for n in solids(world) if n not in (asked.reference, asked.other)]
        )
        if all(abs(margin(world, replace(asked, subject=n))) > CLOSE for n in subjects):
            return asked


def _draw(world: World, rng: np.random.Generator) -> Asked:
    names = [str(n) for n in rng.permutation([item.name for item in world.scene.objects])]
    kind = str(rng.choice(["relation", "what", "free", "room"], p=[0.6, 0.15, 0.15, 0.1]))
    ground = ["left", "right", "front", "behind"]
    kinds = {
        "relation": [*ground, *ground, "above", "below", "near", "between", "on"],
        "what": [*ground, "near"],
    }
    relation = str(rng.choice(kinds.get(kind, ground)))
    frame = str(rng.choice(list(VIEWS))) if relation in ground else "world"
    a, b, c = (*names, "")[:3]
    said = {"b": f"the {b}", "c": f"the {c}"}
    phrase = str(rng.choice(templates.RELATION_PHRASES[relation])).format(**said)
    view = str(rng.choice(VIEWS[frame])).format(**said) if relation in ground else ""
    body = {
        "relation": f"is the {a} {phrase}",
        "what": f"what is {phrase}",
        "free": f"where is there room {phrase}",
        "room": f"can the {a} be put {phrase}",
    }[kind]
    sentence = (
        f"{view}, {body}?" if view and rng.random() < 0.3 else f"{body}, {view}?" if view else f"{body}?"
    )
    return Asked(sentence, kind, relation, frame, a, b, c if relation == "between" else "")
