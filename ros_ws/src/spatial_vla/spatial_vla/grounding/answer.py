"""Answers to questions about a scene: verdict, margin, a sentence, and points in space and in the picture."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..language.spatial_grammar import SpatialQuestion
from ..spatial.compatibility import FitRules, fits
from ..spatial.free_space import ContextRules, free_points, supports
from ..spatial.relations import judge
from ..spatial.scene import SpatialScene
from ..spatial.templates import RELATION_PHRASES, the
from ..spatial.verdict import DIRECTIONS, Frame, Judgement, Relation, Verdict

Array = NDArray[np.float64]
VIEW: dict[Frame, str] = {
    "ego": ", seen from the camera",
    "world": ", seen from the robot",
    "object": " from {b}'s own point of view",
}


@dataclass(frozen=True)
class AnswerRules:
    """How much is looked at: ``tries`` for free places, of which at most ``points`` are told; the draw's ``seed``."""

    tries: int = 256
    points: int = 20
    seed: int = 0
    fit: FitRules = field(default_factory=FitRules)


@dataclass(frozen=True, eq=False)
class SpatialAnswer:
    """An answer.

    Attributes:
        verdict: None where the question is not one of yes or no.
        margin, band: of the relation and its uncertainty [m]; NaN and 0 where there is none.
        points: (k, 3) in the scene's world frame [m]; of things their middles, of free places points on the surface.
        pixels: (k, 2) their projections (u, v), NaN behind the camera.
        names: of the things that the answer is about, those of ``points`` where they are things.
    """

    text: str
    verdict: Verdict | None
    margin: float
    band: float
    points: Array
    pixels: Array
    names: tuple[str, ...] = ()


def answer(question: SpatialQuestion, scene: SpatialScene, rules: AnswerRules | None = None) -> SpatialAnswer:
    """The answer to a question.

    Args:
        scene: any frame; points are given in its world frame.

    Raises:
        KeyError: the scene has no thing of that name.
        ValueError: the relation has no answer of that kind, e.g. free places "inside"; the text says which have.
    """
    rules = rules or AnswerRules()
    scene = scene.in_world()
    by_kind = {"relation": _relation, "room": _room, "free": _free, "what": _what, "where": _where}
    return by_kind[question.kind](question, scene, rules)


def _relation(question: SpatialQuestion, scene: SpatialScene, _: AnswerRules) -> SpatialAnswer:
    assert question.subject and question.reference and question.relation
    found = judge(
        scene, question.subject, question.relation, question.reference, question.frame, question.other
    )
    claim = _claim(question)
    said = {
        Verdict.YES: f"Yes, {the(question.subject)} is {claim}, by {_length(found.margin)}.",
        Verdict.NO: f"No, {the(question.subject)} is not {claim}; {_length(-found.margin)} are missing.",
        Verdict.AMBIGUOUS: f"It cannot be told whether {the(question.subject)} is {claim}: the margin, "
        f"{_length(found.margin)}, is within the uncertainty of the poses, {_length(found.band)}.",
        Verdict.UNKNOWN: _unknown(question, scene),
    }
    names = [n for n in (question.subject, question.reference, question.other) if n]
    return _about(scene, names, said[found.verdict], found.verdict, found)


def _unknown(question: SpatialQuestion, scene: SpatialScene) -> str:
    assert question.reference
    thing = scene.objects[scene.index(question.reference)]
    if question.frame == "object" and not thing.known_traits.front:
        return f"That has no answer: {the(question.reference)} has no front of its own."
    if question.relation in ("inside", "under"):
        return (
            f"That is not known: one is within the other's box, and nobody knows whether {the(question.reference)} "
            "holds or covers things."
        )
    return "That has no answer: part of them is behind the camera, or they are in one place."


def _room(question: SpatialQuestion, scene: SpatialScene, rules: AnswerRules) -> SpatialAnswer:
    assert question.subject and question.reference
    relation = _direction(question.relation, "room")
    a, b = scene.index(question.subject), scene.index(question.reference)
    rows = fits(scene, [a], [b], rules.fit)
    found = next((f for f in rows if (f.frame, f.direction) == (question.frame, relation)), None)
    verdict = Verdict.UNKNOWN if found is None else found.verdict
    claim, points = _claim(question), np.zeros((0, 3))
    if found is not None and found.place is not None:
        points = np.array([found.place])
        text = f"Yes, {the(question.subject)} fits {claim}, turned by {np.rad2deg(found.yaw):.0f} degrees."
    elif verdict is Verdict.NO:
        text = (
            f"No, {the(question.subject)} fits nowhere {claim} within reach; all of that is in the picture."
        )
    else:
        text = (
            f"It is not known whether {the(question.subject)} fits {claim}: {_why_no_place(question, scene)}"
        )
    return SpatialAnswer(text, verdict, np.nan, 0.0, points, scene.pixels(points), (question.subject,))


def _why_no_place(question: SpatialQuestion, scene: SpatialScene) -> str:
    assert question.reference
    b = scene.index(question.reference)
    if question.frame == "object" and not scene.objects[b].known_traits.front:
        return f"{the(question.reference)} has no front of its own."
    if supports(scene)[b] < 0:
        return f"{the(question.reference)} stands on no surface that is known."
    return "no place was found, nor a proof that there is none."


def _free(question: SpatialQuestion, scene: SpatialScene, rules: AnswerRules) -> SpatialAnswer:
    assert question.reference
    key = (question.frame, _direction(question.relation, "free places"))
    b = scene.index(question.reference)
    found = free_points(scene, [b], np.random.default_rng(rules.seed), ContextRules(tries=rules.tries)).get(b)
    rows = np.zeros(0, np.intp) if found is None else found.directions.get(key, np.zeros(0, np.intp))
    claim = _claim(question)
    if found is None or not len(rows):
        text = f"No free place {claim} was found: {_why_no_place(question, scene)}"
        return SpatialAnswer(text, Verdict.UNKNOWN, np.nan, 0.0, np.zeros((0, 3)), np.zeros((0, 2)))
    # The roomiest first.
    rows = rows[np.argsort(-found.clearance[rows], kind="stable")][: rules.points]
    widest = _length(float(found.clearance[rows[0]]))
    text = f"There is free space {claim}; the roomiest of {len(rows)} places has {widest} around it."
    return SpatialAnswer(text, Verdict.YES, np.nan, 0.0, found.points[rows], found.pixels[rows])


def _what(question: SpatialQuestion, scene: SpatialScene, _: AnswerRules) -> SpatialAnswer:
    assert question.reference and question.relation
    sure: list[str] = []
    maybe: list[str] = []
    for item in scene.objects:
        if item.name in (question.reference, question.other):
            continue
        found = judge(scene, item.name, question.relation, question.reference, question.frame, question.other)
        if found.verdict is Verdict.YES:
            sure.append(item.name)
        elif found.verdict is not Verdict.NO:
            maybe.append(item.name)
    text = f"{_listed(sure) if sure else 'Nothing'} {'are' if len(sure) > 1 else 'is'} {_claim(question)}."
    if maybe:
        text += f" Of {_listed(maybe)} that cannot be told."
    verdict = Verdict.YES if sure else Verdict.UNKNOWN if maybe else Verdict.NO
    return _about(scene, sure, text[0].upper() + text[1:], verdict)


def _where(question: SpatialQuestion, scene: SpatialScene, _: AnswerRules) -> SpatialAnswer:
    assert question.subject
    x, y, z = scene.boxes.centre[scene.index(question.subject)]
    text = f"The middle of {the(question.subject)} is at x {x:.3f}, y {y:.3f}, z {z:.3f} m."
    return _about(scene, [question.subject], text, None)


def _about(
    scene: SpatialScene, names: list[str], text: str, verdict: Verdict | None, found: Judgement | None = None
) -> SpatialAnswer:
    points = scene.boxes.centre[[scene.index(name) for name in names]].reshape(-1, 3)
    margin, band = (found.margin, found.band) if found else (np.nan, 0.0)
    return SpatialAnswer(text, verdict, margin, band, points, scene.pixels(points), tuple(names))


def _claim(question: SpatialQuestion) -> str:
    """How the relation is said, with its view where it has one."""
    assert question.relation and question.reference
    names = {"b": the(question.reference), "c": the(question.other or "")}
    view = VIEW[question.frame].format(**names) if question.relation in DIRECTIONS else ""
    return f"{RELATION_PHRASES[question.relation][0].format(**names)}{view}"


def _direction(relation: Relation | None, what: str) -> Relation:
    if relation not in DIRECTIONS:
        raise ValueError(
            f"{what} '{relation}' of something cannot be asked for; expected one of {', '.join(DIRECTIONS)}"
        )
    return relation


def _listed(names: list[str]) -> str:
    words = [the(name) for name in names]
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _length(metres: float) -> str:
    return f"{metres * 100.0:.1f} cm"
