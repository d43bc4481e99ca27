"""Questions about where things are, and places named by a relation: a sentence to its parts.

    question  := [view ","] ask [[","] view] ["?"]
    ask       := "is" A relation | "can" A "be put" relation | "where is there room" relation | "what is" relation
               | "where is" A            (each with paraphrases; see ``FORMS``)
    relation  := "left of" B | "in front of" B | "between" B "and" C | ...
    view      := "seen from the camera" | "seen from the robot" | "from B's own point of view" | ...
    placement := "put" A relation [view]  |  ("touch" | "point at") "the place" relation [view]

Phrases of relations and views are those of the question generator, so that whatever it writes can be read, and a few
that people say. Things are called by their whole name or by its last words where these are unmistakable. The policy's
own instructions are another grammar, ``grammar``, which is not touched by this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ..spatial.templates import FRAME_PHRASES, POINT_LIST, RELATION_PHRASES, YES_NO
from ..spatial.verdict import DIRECTIONS, Frame, Relation
from . import grammar

Kind = Literal["relation", "room", "free", "what", "where"]
Verb = Literal["put", "touch", "point"]

#: Said besides what the generator says. {b} is the reference.
MORE_RELATIONS: Mapping[str, tuple[str, ...]] = {
    "left": ("on the left of {b}", "at the left of {b}"),
    "right": ("on the right of {b}", "at the right of {b}"),
    "front": ("before {b}",),
    "behind": ("in back of {b}",),
    "above": ("over {b}",),
    "below": ("beneath {b}",),
    "near": ("beside {b}", "by {b}"),
    "on": ("upon {b}", "on the top of {b}"),
    "inside": ("within {b}", "into {b}"),
}
#: "The robot" is the world frame: its base looks along x. The camera has the pictures, so the pictures are its view.
MORE_FRAMES: Mapping[Frame, tuple[str, ...]] = {
    "ego": ("from the camera", "in the picture", "in the image", "in the camera frame", "for the camera"),
    "world": (
        "seen from the robot",
        "from the robot's point of view",
        "from the robot's perspective",
        "from the robot",
        "in the robot's frame",
        "in the base frame",
        "in the world",
    ),
    "object": ("from {b}'s point of view", "seen from {b}", "as seen from {b}", "in {b}'s own frame"),
}
_THING = "(?P<a>.+?)"
#: How each kind is asked; ``REL`` stands for a relation with its reference. The first form that fits counts.
FORMS: Mapping[Kind, tuple[str, ...]] = {
    "room": (
        f"is there (?:room|space) for {_THING} REL",
        f"(?:can|could) {_THING} (?:be (?:put|placed|moved)|fit|stand|go) REL",
        f"(?:can|could) (?:you|i|we|the robot) (?:put|place|move) {_THING} REL",
        f"(?:would|does|will) {_THING} fit REL",
        f"where (?:can|could) {_THING} be (?:put|placed|moved) REL",
        f"suppose {_THING} is moved could it stand REL",
    ),
    "free": (
        "point to (?:a )?free (?:space|places?) REL",
        "where is (?:there )?(?:room|space|free space|a free place) REL",
        "find (?:free )?places REL(?: where nothing stands)?",
        "is there (?:room|space|free space|a free place) REL",
    ),
    "what": (
        "(?:what|which things?|which objects?) (?:is|are|stands?|lies?) REL",
        "is there (?:anything|something) REL",
    ),
    "relation": (
        f"(?:is|are) {_THING} REL",
        f"would you say that {_THING} is REL",
        f"look at {_THING} is it REL",
        f"(?:does|do) {_THING} (?:stand|lie|sit) REL",
    ),
    "where": (
        f"where (?:is|are) {_THING}",
        f"locate {_THING}(?: in the picture)?",
        f"give the bounding box of {_THING}",
        f"point to {_THING}",
        f"which pixel shows {_THING}",
        f"give one point on {_THING}",
    ),
}
PLACEMENTS: Mapping[Verb, tuple[str, ...]] = {
    "put": (f"(?:put|place|move|set|bring) {_THING} REL",),
    "touch": ("(?:touch|tap) the (?:place|spot|table) REL",),
    "point": ("point (?:at|to) the (?:place|spot|table) REL",),
}
EXAMPLES: Mapping[str, str] = {
    "relation": "is the red cube left of the bowl, seen from the robot?",
    "room": "can the red cube be put behind the bowl?",
    "free": "where is there room in front of the bowl?",
    "what": "what is near the bowl?",
    "where": "where is the red cube?",
    "put": "put the red cube left of the blue brick",
    "touch": "touch the place left of the blue brick",
    "point": "point at the place between the red cube and the blue brick",
}


class NotUnderstood(ValueError):
    """The sentence is outside the grammar, or names something that is not there; the text says what would do."""


@dataclass(frozen=True)
class SpatialQuestion:
    """What is asked: ``subject`` in ``relation`` to ``reference`` (and ``other``) in ``frame``; things by name."""

    kind: Kind
    relation: Relation | None
    frame: Frame
    subject: str | None = None
    reference: str | None = None
    other: str | None = None


@dataclass(frozen=True)
class Placement:
    """A place by a relation; ``subject`` is what to put there, None where the hand itself is to go there."""

    verb: Verb
    relation: Relation
    frame: Frame
    subject: str | None
    reference: str
    other: str | None = None


def parse_question(sentence: str, names: Sequence[str], frame: Frame = "ego") -> SpatialQuestion:
    """The question that a sentence asks.

    Args:
        names: of the things that there are.
        frame: meant where the sentence names none.

    Raises:
        NotUnderstood: listing the forms, the relations, the views or the names that would have been understood.
    """
    kind, parts, view = _read(sentence, names, FORMS, f"question {sentence!r}")
    relation: Relation | None = parts.relation
    if relation is not None and relation not in DIRECTIONS and view is None:
        view = "world"  # the same in every frame
    return SpatialQuestion(kind, relation, view or frame, parts.subject, parts.reference, parts.other)


def parse_placement(sentence: str, names: Sequence[str], frame: Frame = "ego") -> Placement:
    """The place that an instruction names, e.g. "put the red cube left of the blue brick".

    Raises:
        NotUnderstood: as ``parse_question``.
    """
    verb, parts, view = _read(sentence, names, PLACEMENTS, f"instruction {sentence!r}")
    assert parts.relation is not None and parts.reference is not None  # every placement has a relation
    view = view or (frame if parts.relation in DIRECTIONS else "world")
    return Placement(verb, parts.relation, view, parts.subject, parts.reference, parts.other)


@dataclass(frozen=True)
class _Parts:
    relation: Relation | None = None
    subject: str | None = None
    reference: str | None = None
    other: str | None = None


def normalised(sentence: str) -> str:
    """Lower case, straight apostrophes, one blank between words, no punctuation, no request for a form of answer."""
    text = sentence.lower().replace("’", "'").replace("<image>", " ")
    for request in (*YES_NO, *POINT_LIST):
        text = text.replace(request.lower(), " ")
    return " ".join(re.sub(r"[^\w\s'-]", " ", text).split())


def _read(sentence: str, names: Sequence[str], forms: Mapping, what: str) -> tuple[Any, _Parts, Frame | None]:
    text = re.sub(r"^(?:please|robot|so|and) ", "", normalised(sentence))
    wrong: list[str] = []
    for body, view, whose in _without_view(text):
        for key, patterns in forms.items():
            for pattern in patterns:
                for groups, relation in _matches(pattern, body):
                    try:
                        parts = _resolved(groups, relation, names)
                        if whose is not None and resolve(whose, names) != parts.reference:
                            raise NotUnderstood(
                                f"the view is that of {whose!r}, which is not the reference, {parts.reference!r}"
                            )
                    except NotUnderstood as error:
                        wrong.append(str(error))
                        continue
                    return key, parts, view
    if wrong:
        # The first reading took the longest phrases, so its complaint is the most telling one.
        raise NotUnderstood(f"{what}: {wrong[0]}")
    raise NotUnderstood(f"{what} is not understood; {_accepted(forms)}")


def _accepted(forms: Mapping) -> str:
    examples = "; ".join(f"'{EXAMPLES[key]}'" for key in forms)
    relations = ", ".join(phrases[0].format(b="B", c="C") for phrases in RELATION_PHRASES.values())
    views = ", ".join(
        f"'{phrase}'"
        for phrase in (
            FRAME_PHRASES["ego"][0],
            MORE_FRAMES["world"][0],
            "from B's own point of view",
        )
    )
    return f"expected e.g. {examples}; with a relation ({relations}) and, if you like, a view ({views})"


def _without_view(text: str) -> Iterator[tuple[str, Frame | None, str | None]]:
    """The sentence without its phrase of a view, the view, and whose it is; last, as it stands."""
    for phrase, frame in _VIEWS:
        if not all(part in text for part in phrase.split("{b}")):
            continue
        pattern = re.escape(phrase).replace(r"\ ", " ").replace(r"\{b\}", "(?P<whose>.+?)")
        for form in (rf"{pattern} (?P<rest>.+)", rf"(?P<rest>.+?) {pattern}"):
            if match := _compiled(form).fullmatch(text):
                yield match["rest"], frame, match.groupdict().get("whose")
    yield text, None, None


def _matches(pattern: str, body: str) -> Iterator[tuple[dict[str, str | None], Relation | None]]:
    if "REL" not in pattern:
        if match := _compiled(pattern).fullmatch(body):
            yield match.groupdict(), None
        return
    for words, phrase, relation in _RELATIONS:
        # Most phrases are not in a sentence, and a look is much faster than a pattern.
        if words in body and (match := _compiled(pattern.replace("REL", phrase)).fullmatch(body)):
            yield match.groupdict(), relation


_compiled = cache(re.compile)


def _resolved(groups: Mapping[str, str | None], relation: Relation | None, names: Sequence[str]) -> _Parts:
    found = {key: resolve(phrase, names) for key, phrase in groups.items() if phrase is not None}
    parts = _Parts(relation, found.get("a"), found.get("b"), found.get("c"))
    named = [name for name in (parts.subject, parts.reference, parts.other) if name is not None]
    if len(set(named)) < len(named):
        raise NotUnderstood(f"{named[0]!r} cannot be related to itself; name two different things")
    return parts


def resolve(phrase: str, names: Sequence[str]) -> str:
    """The one of ``names`` that a phrase means: the whole name, or its last or first words if no other has them.

    Raises:
        NotUnderstood: nothing or more than one thing is called so; lists what there is.
    """
    said = _words(phrase)
    for same in (
        lambda words: words == said,
        lambda words: words[-len(said) :] == said,
        lambda words: words[: len(said)] == said,  # "cup" of "cup 1"
    ):
        found = [name for name in names if said and same(_words(name))]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotUnderstood(
                f"'{' '.join(said)}' may be any of {', '.join(map(repr, found))}; name it in full"
            )
    raise NotUnderstood(
        f"there is no '{' '.join(said)}'; there is {', '.join(map(repr, names)) or 'nothing at all'}"
    )


def _words(name: str) -> tuple[str, ...]:
    """Words of a name without article, synonyms of the instructions' shapes made one ("can" is "cylinder")."""
    words = re.sub(r"^(?:the|a|an) ", "", normalised(name.replace("_", " "))).split()
    return tuple(_SHAPE_OF.get(word, word) for word in words)


def _phrases() -> list[tuple[str, str, Relation]]:
    """Words before the reference, pattern and relation, the longest first: "on the left side of" before "on"."""
    rows = [
        (phrase, relation)
        for table in (RELATION_PHRASES, MORE_RELATIONS)
        for relation, phrases in table.items()
        for phrase in phrases
    ]
    rows.sort(key=lambda row: -len(row[0]))
    patterns = [p.replace("{b}", "(?P<b>.+?)").replace("{c}", "(?P<c>.+?)") for p, _ in rows]
    return [(p.split("{b}")[0], q, r) for (p, r), q in zip(rows, patterns, strict=True)]  # type: ignore[misc]


def _views() -> list[tuple[str, Frame]]:
    """Phrases of views without punctuation; those with a name in them last, since a name matches anything."""
    rows: list[tuple[str, Frame]] = [
        (phrase.lower(), frame)
        for frame in MORE_FRAMES
        for phrase in (*FRAME_PHRASES[frame], *MORE_FRAMES[frame])
    ]
    return sorted(rows, key=lambda row: ("{b}" in row[0], -len(row[0])))


_SHAPE_OF = {word: shape for shape, words in grammar.SHAPES.items() for word in words}
_RELATIONS, _VIEWS = _phrases(), _views()
