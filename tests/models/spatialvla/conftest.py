"""A SpatialVLA of a few thousand weights in the released layout."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from spatial_models.spatialvla.configuration import SpatialVlaConfig
from spatial_models.spatialvla.model import Sequences, SpatialVla
from torch import Tensor, nn

CELLS = (6, 8, 2)  # tokens of the three slots
TEXT = 40  # ids before the action tokens; the image placeholder is the last of them


class StandInEncoding(nn.Module):
    """Parameters named and shaped as Ego3D's, some function of the points."""

    def __init__(self, cells: int, frequencies: int, width: int) -> None:
        super().__init__()
        self.inputs = cells * cells * 3 * (2 * frequencies + 1)
        self.position_embedding_head = nn.Sequential(
            nn.Linear(self.inputs, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, points: Tensor) -> Tensor:
        flat = points.flatten(2)
        repeated = flat.repeat(1, 1, self.inputs // flat.shape[-1])
        return self.position_embedding_head(repeated.to(self.position_embedding_head[0].weight.dtype))


def encoding_for(config: SpatialVlaConfig) -> StandInEncoding:
    return StandInEncoding(config.ego3d_cells, config.ego3d_frequencies, config.vision.hidden_size)


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


def tiny_model(seed: int = 0, dtype: torch.dtype = torch.float32, depth: bool = False) -> SpatialVla:
    """Random weights, none of them zero: norms and biases too."""
    torch.manual_seed(seed)
    config = SpatialVlaConfig.from_fields(tiny_fields(use_vision_zoe=depth))
    model = SpatialVla(config, encoding_for(config))
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
def make_fields() -> Callable[..., dict[str, Any]]:
    return tiny_fields


@pytest.fixture(scope="session")
def make_encoding() -> Callable[[SpatialVlaConfig], nn.Module]:
    return encoding_for


@pytest.fixture(scope="session")
def make_inputs() -> Callable[..., tuple[Sequences, Tensor, Tensor]]:
    """Prompts of the given lengths with images and points; padding on the right."""

    def make(
        model: SpatialVla,
        lengths: tuple[int, ...] = (3, 5),
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Sequences, Tensor, Tensor]:
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


@pytest.fixture(scope="session")
def cells() -> tuple[int, int, int]:
    return CELLS
