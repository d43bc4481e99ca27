"""Images and instructions as the network takes them."""

import json

import numpy as np
import pytest
import torch
from spatial_models.spatialvla.configuration import SpatialVlaConfig
from spatial_models.spatialvla.model import IGNORED
from spatial_models.spatialvla.prompt import Prompts, UnusableTokenizer, image_tensor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def folder(make_tokenizer, make_fields, tmp_path_factory):
    """A checkpoint's folder without weights."""
    path = tmp_path_factory.mktemp("checkpoint")
    make_tokenizer(path)
    auto = {"auto_map": {"AutoConfig": "configuration_spatialvla.SpatialVLAConfig"}}
    (path / "config.json").write_text(json.dumps(make_fields() | auto))
    return path


@pytest.fixture(scope="module")
def config(make_fields):
    return SpatialVlaConfig.from_fields(make_fields())


def letters(text):
    """Ids of a text in the tiny vocabulary."""
    return [4 if c == "\n" else 5 if c == " " else 6 + LETTERS.index(c) for c in text]


def test_a_prompt_is_patches_begin_text_newline(folder, config):
    prompts = Prompts.read(folder, config)
    sequences = prompts(["Pick up the  cup", "stop"])
    assert sequences.suffix is None
    for row, text in enumerate(("pick up the cup", "stop")):
        wanted = [39, 39, 39, 39, 2, *letters(text + "\n")]
        assert sequences.ids[row, : len(wanted)].tolist() == wanted
        assert sequences.valid[row].tolist() == [True] * len(wanted) + [False] * (22 - 1 - len(wanted))
        assert not sequences.ids[row, len(wanted) :].any()


def test_lengths_are_padded_to_a_multiple(folder, config):
    sequences = Prompts.read(folder, config, multiple=16)(["stop"])
    assert sequences.ids.shape == (1, 16) and int(sequences.valid.sum()) == 10


def test_case_can_be_kept(folder, config):
    ids = Prompts.read(folder, config, lower_case=False)(["Ab"]).ids[0].tolist()
    assert ids[5:] == [32, 7, 4]


def test_training_sequences_label_actions_and_end_alone(folder, config):
    actions = [[40, 46, 54, 41, 47, 55], [45, 53, 54, 40, 46, 54]]
    sequences, labels = Prompts.read(folder, config).with_actions(["go on", "stop"], actions)
    for row, text in enumerate(("go on", "stop")):
        first = 5 + len(text) + 1
        answer = [*actions[row], 1]
        assert sequences.ids[row, first : first + 7].tolist() == answer
        assert labels[row, first : first + 7].tolist() == answer
        assert sequences.suffix[row].nonzero().flatten().tolist() == list(range(first, first + 7))
        assert int((labels[row] != IGNORED).sum()) == 7
        assert int(sequences.valid[row].sum()) == first + 7


@pytest.mark.parametrize(
    ("text", "said"), [(" \n", "is empty"), ("take <image>", "<image>"), ("<action00001>", "<ACTION")]
)
def test_texts_that_are_no_instruction_are_refused(text, said, folder, config):
    with pytest.raises(ValueError, match=said):
        Prompts.read(folder, config)([text])


def test_another_tokenizer_is_refused(make_tokenizer, make_fields, config, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        Prompts.read(tmp_path, config)
    make_tokenizer(tmp_path, actions=12)
    with pytest.raises(UnusableTokenizer, match="ACTION00015"):
        Prompts.read(tmp_path, config)
    make_tokenizer(tmp_path, image="<picture>")
    with pytest.raises(UnusableTokenizer, match="'<image>'"):
        Prompts.read(tmp_path, config)


def test_images_are_those_of_transformers_processor():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    released = SiglipImageProcessorPil(size={"height": 28, "width": 28}, do_normalize=False)
    wanted = released(image, return_tensors="pt")["pixel_values"][0]
    found = image_tensor(image, 28)
    assert found.shape == (3, 28, 28) and found.dtype == torch.float32
    assert torch.allclose(found, wanted, atol=1e-6)
    with pytest.raises(ValueError, match=r"\(48, 64\)"):
        image_tensor(image[..., 0], 28)
    with pytest.raises(ValueError, match="float64"):
        image_tensor(image / 255, 28)
