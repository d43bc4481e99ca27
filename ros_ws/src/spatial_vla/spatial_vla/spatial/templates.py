"""The wording of questions and answers: families of sentences with slots, several paraphrases of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .categories import normal

#: How a relation is said; "{b}" is the reference.
RELATION_PHRASES: Mapping[str, tuple[str, ...]] = {
    "left": ("to the left of {b}", "left of {b}", "on the left side of {b}"),
    "right": ("to the right of {b}", "right of {b}", "on the right side of {b}"),
    "front": ("in front of {b}",),
    "behind": ("behind {b}", "at the back of {b}"),
    "above": ("above {b}", "higher up than {b}", "higher than {b}"),
    "below": ("below {b}", "lower down than {b}", "lower than {b}"),
    "near": ("near {b}", "close to {b}", "next to {b}"),
    "on": ("on {b}", "on top of {b}", "resting on {b}"),
    "inside": ("inside {b}", "in {b}"),
    "under": ("under {b}", "underneath {b}"),
    "between": ("between {b} and {c}", "in between {b} and {c}"),
}
#: How a frame is said; "" for relations that are the same in all frames.
FRAME_PHRASES: Mapping[str, tuple[str, ...]] = {
    "ego": (
        "seen from the camera",
        "from the camera's point of view",
        "as you see it in the picture",
        "from the viewer's perspective",
    ),
    "world": (
        "in the world frame",
        "seen by someone who looks along the world's x axis",
        "with respect to the world's axes",
    ),
    "object": ("from {b}'s own point of view", "as seen by {b} itself", "with respect to the way {b} faces"),
    "": ("",),
}
CONFIGURATION = (
    "{frame}, is {a} {relation}?",
    "Is {a} {relation} {frame}?",
    "Would you say that {a} is {relation} {frame}?",
    "Look at {a}. Is it {relation} {frame}?",
)
COMPATIBILITY = (
    "{frame}, is there room for {a} {relation}?",
    "Can {a} be put {relation} {frame}?",
    "Would {a} fit {relation} {frame}?",
    "Suppose {a} is moved. Could it stand {relation} {frame}?",
)
CONTEXT = (
    "Point to free space {relation} {frame}.",
    "Where is there room {relation} {frame}?",
    "{frame}, find places {relation} where nothing stands.",
)
GROUNDING = ("Where is {a}?", "Locate {a} in the picture.", "Give the bounding box of {a}.")
POINTING = ("Point to {a}.", "Which pixel shows {a}?", "Give one point on {a}.")
YES_NO = ("Answer yes or no.", "Reply with yes or no.", "Yes or no?")
POINT_LIST = (
    "Answer with a list of points [(x, y), ...], x and y between 0 and 1 from the top left corner.",
    "Give (x, y) points, each between 0 and 1, as a list.",
)
ONE_POINT = ("Answer with one point (x, y), x and y between 0 and 1.", "Give (x, y), each between 0 and 1.")
BOX = (
    "Answer with [x0, y0, x1, y1], each between 0 and 1.",
    "Give the corners as [x0, y0, x1, y1] between 0 and 1.",
)
#: Asked for where there is none.
ABSENT = ("There is no {name} in the picture.", "I see no {name} here.")
COMMON_THINGS = (
    "bottle",
    "lamp",
    "plant",
    "shoe",
    "keyboard",
    "apple",
    "backpack",
    "kettle",
    "pillow",
    "umbrella",
)


def the(name: str) -> str:
    """A name as it stands in a sentence: "the red cube"; numbers stay, full stops go."""
    words = name.replace("_", " ").strip(" .")
    return words if words.lower().startswith(("the ", "a ", "an ")) else f"the {words}"


def plain(name: str) -> str:
    """A category as it stands in a sentence without article."""
    return normal(name)


def one_of(choices: Sequence[str], rng: np.random.Generator) -> str:
    """A paraphrase."""
    return choices[int(rng.integers(len(choices)))]


def sentence(
    family: Sequence[str],
    suffix: Sequence[str],
    rng: np.random.Generator,
    relation: str,
    frame: str,
    **names: str,
) -> str:
    """A question of a family, its slots filled and its form of answer asked for.

    Args:
        relation: key of ``RELATION_PHRASES`` or "".
        frame: key of ``FRAME_PHRASES``.
        names: what stands for {a}, {b} and {c}.
    """
    phrase = one_of(RELATION_PHRASES[relation], rng).format(**names) if relation else ""
    view = one_of(FRAME_PHRASES[frame], rng).format(**names)
    text = one_of(family, rng).format(relation=phrase, frame=view, **names)
    text = " ".join(text.lstrip(", ").split()).replace(" ?", "?").replace(" .", ".")
    return f"{text[0].upper()}{text[1:]} {one_of(suffix, rng)}"
