"""Sentences about places: whatever the question generator writes can be read back, and what cannot is told why."""

import itertools

import pytest
from spatial_vla.language.spatial_grammar import (
    EXAMPLES,
    FORMS,
    PLACEMENTS,
    NotUnderstood,
    parse_placement,
    parse_question,
    resolve,
)
from spatial_vla.spatial import templates as t

NAMES = ("red cube", "bowl", "blue brick", "coffee mug 1", "coffee mug 2", "tv in the corner")
A, B, C = "red cube", "bowl", "blue brick"
SAID = {"a": t.the(A), "b": t.the(B), "c": t.the(C)}
FAMILIES = {"relation": t.CONFIGURATION, "room": t.COMPATIBILITY, "free": t.CONTEXT}


def generated():
    """Every sentence that the generator can write of A, B and C, and what it means."""
    for kind, family in FAMILIES.items():
        endings = t.POINT_LIST if kind == "free" else t.YES_NO
        for wording, (relation, phrases), ending in itertools.product(
            family, t.RELATION_PHRASES.items(), endings
        ):
            directed = relation in ("left", "right", "front", "behind")
            if not directed and kind != "relation":
                continue
            for frame in ("ego", "world", "object") if directed else ("",):
                for phrase, view in itertools.product(phrases, t.FRAME_PHRASES[frame]):
                    text = wording.format(relation=phrase.format(**SAID), frame=view.format(**SAID), **SAID)
                    text = " ".join(text.lstrip(", ").split()).replace(" ?", "?").replace(" .", ".")
                    yield f"{text[0].upper()}{text[1:]} {ending}", kind, relation, frame or "world"


def test_everything_the_generator_writes_is_understood():
    count = 0
    for sentence, kind, relation, frame in generated():
        q = parse_question(sentence, NAMES)
        subject = None if kind == "free" else A
        other = C if relation == "between" else None
        wanted = (kind, relation, frame, subject, B, other)
        assert (q.kind, q.relation, q.frame, q.subject, q.reference, q.other) == wanted, sentence
        count += 1
    assert count > 900


@pytest.mark.parametrize("family", [t.GROUNDING, t.POINTING])
def test_where_things_are(family):
    for sentence in family:
        q = parse_question(sentence.format(**SAID), NAMES)
        assert (q.kind, q.subject, q.relation, q.reference) == ("where", A, None, None)


def test_the_robots_view_is_the_worlds_and_none_is_the_default():
    said = "is the red cube left of the bowl, seen from the robot?"
    assert parse_question(said, NAMES).frame == "world"
    assert parse_question("is the red cube left of the bowl", NAMES).frame == "ego"
    assert parse_question("is the red cube left of the bowl", NAMES, "object").frame == "object"
    assert parse_question("is the red cube near the bowl", NAMES, "object").frame == "world"


def test_last_words_do_if_they_are_enough():
    assert resolve("the cube", NAMES) == "red cube"
    assert resolve("tv in the corner", NAMES) == "tv in the corner"
    assert resolve("cylinder", ["red can"]) == "red can"
    with pytest.raises(NotUnderstood, match="may be any of 'my mug', 'her mug'"):
        resolve("mug", ["my mug", "her mug"])


def test_names_with_words_of_relations_in_them():
    q = parse_question("is the tv in the corner behind the bowl?", NAMES)
    assert (q.subject, q.relation, q.reference) == ("tv in the corner", "behind", "bowl")


@pytest.mark.parametrize(
    ("sentence", "says"),
    [
        ("is the red cub left of the bowl?", r"there is no 'red cub'; there is 'red cube', 'bowl'"),
        ("is the bowl left of the bowl?", "cannot be related to itself"),
        ("how many cubes are there?", "is the red cube left of the bowl, seen from the robot"),
        ("", "to the left of B, to the right of B"),
        (
            "is the red cube left of the bowl, from the blue brick's own point of view?",
            "not the reference, 'bowl'",
        ),
    ],
)
def test_what_is_not_understood_is_answered_with_what_would_be(sentence, says):
    with pytest.raises(NotUnderstood, match=says):
        parse_question(sentence, NAMES)


def test_the_examples_of_the_messages_are_right():
    for kind in FORMS:
        assert parse_question(EXAMPLES[kind], NAMES).kind == kind
    for verb in PLACEMENTS:
        assert parse_placement(EXAMPLES[verb], NAMES).verb == verb


def test_placements():
    p = parse_placement("Please put the red cube to the left of the blue brick, seen from the robot.", NAMES)
    assert (p.verb, p.subject, p.relation, p.reference, p.frame) == ("put", A, "left", C, "world")
    p = parse_placement("touch the place between the bowl and the red cube", NAMES)
    assert (p.verb, p.subject, p.relation, p.reference, p.other) == ("touch", None, "between", "bowl", A)
    with pytest.raises(NotUnderstood, match=r"expected e\.g\. 'put the red cube left of the blue brick'"):
        parse_placement("juggle the red cube", NAMES)
