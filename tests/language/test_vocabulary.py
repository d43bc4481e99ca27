"""Words: what is understood becomes numbers, what is not is said so."""

import numpy as np
import pytest
from spatial_vla.language import UnknownInstruction, Vocabulary

WORDS = Vocabulary(("touch", "the", "red", "cube"), max_words=6)


def test_ids_start_at_one_and_zero_pads() -> None:
    assert WORDS.encode("Touch the RED cube!").tolist() == [1, 2, 3, 4, 0, 0]


def test_encoding_ignores_case_and_punctuation() -> None:
    assert np.array_equal(WORDS.encode("touch, the red cube."), WORDS.encode("TOUCH THE RED CUBE"))


def test_unknown_words_are_named_and_known_ones_listed() -> None:
    with pytest.raises(UnknownInstruction, match=r"banana.*Known words: touch, the, red, cube"):
        WORDS.encode("touch the banana")


@pytest.mark.parametrize("nothing", ["", "   ", "?!"])
def test_empty_instructions_are_refused(nothing: str) -> None:
    with pytest.raises(UnknownInstruction, match="empty"):
        WORDS.encode(nothing)


def test_long_sentences_are_refused_not_cut() -> None:
    with pytest.raises(UnknownInstruction, match="at most 6"):
        WORDS.encode("the the the the the the cube")


def test_a_word_without_training_is_refused_though_it_has_an_id() -> None:
    words = Vocabulary(("touch", "the", "left"), reserved=("left",))
    with pytest.raises(UnknownInstruction, match=r"not trained on: left\. Known words: touch, the$"):
        words.encode("touch the left")
    assert words.encode("touch the").tolist()[:3] == [1, 2, 0]
