"""A SpatialVLA of a few thousand weights in the released layout."""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from spatial_models.spatialvla.configuration import SpatialVlaConfig
from spatial_models.spatialvla.model import Sequences, SpatialVla
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

CELLS = (6, 8, 2)  # tokens of the three slots
TEXT = 40  # ids before the action tokens; the image placeholder is the last of them


def tiny_fields(**changes: Any) -> dict[str, Any]:
    """A config.json with everything small, its fields as released."""
    backbone = {
        "model_type": "beit",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_attention_heads": 2,
        "num_hidden_layers": 4,
        "image_size": 64,
        "patch_size": 16,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
        "use_relative_position_bias": True,
        "reshape_hidden_states": False,
    }
    bins = {"n_bins": 8, "min_depth": 0.001}
    return {
        "model_type": "spatialvla",
        "action_token_begin_idx": TEXT,
        "spatial_token_num": sum(CELLS),
        "image_token_index": TEXT - 1,
        "ego3d_patch_reso": 2,
        "n_freqs": 2,
        "hidden_size": 2048,
        "projection_dim": 24,
        "torch_dtype": "float32",
        "text_config": {
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "model_type": "gemma2",
            "tie_word_embeddings": False,
            "vocab_size": TEXT + sum(CELLS),
            # Small enough to bend the scores of so small a network.
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
            "initializer_range": 0.2,
        },
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 20,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "image_size": 28,
            "patch_size": 14,
            "model_type": "siglip_vision_model",
            "vision_use_head": False,
        },
        "use_vision_zoe": True,
        "vision_zoe_config": {
            "model_type": "zoedepth",
            "backbone_config": backbone,
            "bin_configurations": [
                {"name": "nyu", "max_depth": 10.0, **bins},
                {"name": "kitti", "max_depth": 80.0, **bins},
            ],
            "neck_hidden_sizes": [8, 8, 8, 8],
            "fusion_hidden_size": 8,
            "bottleneck_features": 8,
            "bin_embedding_dim": 128,
            "num_relative_features": 4,
            "num_patch_transformer_layers": 4,
            "patch_transformer_hidden_size": 128,
            "patch_transformer_intermediate_size": 16,
            "patch_transformer_num_attention_heads": 4,
        },
    } | changes


def tiny_model(
    seed: int = 0, dtype: torch.dtype = torch.float32, depth: bool = False, **fields: Any
) -> SpatialVla:
    """Random weights, none of them zero: norms and biases too."""
    torch.manual_seed(seed)
    config = SpatialVlaConfig.from_fields(tiny_fields(use_vision_zoe=depth, **fields))
    model = SpatialVla(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            size = 0.3 / max(parameter[0].numel(), 1) ** 0.5 if parameter.ndim > 1 else 0.1
            parameter += size * torch.randn(parameter.shape, generator=generator)
            parameter.data = parameter.to(dtype)
    return model.eval()


@pytest.fixture(scope="session")
def make_model() -> Callable[..., SpatialVla]:
    return tiny_model


@pytest.fixture(scope="session")
def make_wide_model() -> Callable[..., SpatialVla]:
    """Widths that quantisers can divide into their groups."""
    fields = tiny_fields()
    text = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16, "query_pre_attn_scalar": 16}
    vision = {"hidden_size": 64, "intermediate_size": 128}
    fields["text_config"] |= text
    fields["vision_config"] |= vision
    # Large enough to be sure of a token.
    fields["text_config"] |= {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    chosen = {name: fields[name] for name in ("text_config", "vision_config")}
    return lambda dtype=torch.bfloat16: tiny_model(dtype=dtype, **chosen)


@pytest.fixture(scope="session")
def make_fields() -> Callable[..., dict[str, Any]]:
    return tiny_fields


@pytest.fixture(scope="session")
def make_inputs() -> Callable[..., tuple[Sequences, torch.Tensor, torch.Tensor]]:
    """Prompts of the given lengths with images and points; padding on the right."""

    def make(
        model: SpatialVla,
        lengths: tuple[int, ...] = (3, 5),
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Sequences, torch.Tensor, torch.Tensor]:
        g = torch.Generator().manual_seed(seed)
        config, batch = model.config, len(lengths)
        patches, size = config.image_tokens, config.image_size
        ids = torch.zeros(batch, patches + max(lengths), dtype=torch.long)
        valid = torch.zeros_like(ids, dtype=torch.bool)
        for row, length in enumerate(lengths):
            ids[row, :patches] = config.image_token
            ids[row, patches : patches + length] = torch.randint(3, TEXT - 1, (length,), generator=g)
            valid[row, : patches + length] = True
        images = torch.rand(batch, 3, size, size, generator=g, dtype=dtype)
        points = torch.randn(batch, patches, config.ego3d_cells**2, 3, generator=g, dtype=dtype)
        return Sequences(ids, valid), images, points

    return make


def write_tokenizer(folder: Path, actions: int = sum(CELLS), image: str = "<image>") -> None:
    """tokenizer.json and tokenizer_config.json laid out as the released ones, for a vocabulary of letters."""
    letters = ["<pad>", "<eos>", "<bos>", "<unk>", "\n", "▁", *string.ascii_lowercase, *"ABCDEFG"]
    added = [image, *(f"<ACTION{i:05d}>" for i in range(actions))]
    assert len(letters) == TEXT - 1
    made = Tokenizer(BPE({c: i for i, c in enumerate(letters)}, [], unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in [*letters[:4], *added]])
    made.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    made.save(str(folder / "tokenizer.json"))
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False) | {"special": True}
    ids = {**dict(enumerate(letters[:4])), **{TEXT - 1 + i: t for i, t in enumerate(added)}}
    fields = {
        "add_bos_token": False,
        "add_eos_token": False,
        "added_tokens_decoder": {str(i): {"content": token, **flags} for i, token in ids.items()},
        "additional_special_tokens": [image],
        "bos_token": "<bos>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<eos>",
        "extra_special_tokens": {},
        "model_max_length": 2048,
        "pad_token": "<pad>",
        "processor_class": "SpatialVLAProcessor",
        "sp_model_kwargs": {},
        "spaces_between_special_tokens": False,
        "tokenizer_class": "GemmaTokenizer",
        "unk_token": "<unk>",
        "use_default_system_prompt": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(fields))


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., None]:
    return write_tokenizer


@pytest.fixture(scope="session")
def cells() -> tuple[int, int, int]:
    return CELLS
