"""SpatialVLA as large as released, or scaled down to measure it where the whole is too large."""

from __future__ import annotations

from typing import Any

from .configuration import SpatialVlaConfig

RELEASED_WIDTH = 2304


def sized(
    width: int = RELEASED_WIDTH,
    layers: int = 26,
    vision_width: int = 1152,
    vision_layers: int = 27,
    dtype: str = "bfloat16",
) -> SpatialVlaConfig:
    """A configuration without ZoeDepth; vocabulary, heads and images are those released, whatever the widths."""
    text: dict[str, Any] = {"model_type": "gemma2", "vocab_size": 265347, "tie_word_embeddings": False}
    text |= {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    text |= {"num_key_value_heads": 4, "num_attention_heads": 8}
    if width != RELEASED_WIDTH:
        text |= {"head_dim": width // 8, "query_pre_attn_scalar": width // 8}
    vision: dict[str, Any] = {
        "model_type": "siglip_vision_model",
        "patch_size": 14,
        "num_attention_heads": 16,
    }
    vision |= {"hidden_size": vision_width, "num_hidden_layers": vision_layers, "vision_use_head": False}
    # so400m, the released one, is wider than the rule.
    vision |= {"intermediate_size": 4304 if vision_width == 1152 else 4 * vision_width}
    return SpatialVlaConfig.from_fields(
        {
            "model_type": "spatialvla",
            "action_token_begin_idx": 257153,
            "spatial_token_num": 8194,
            "image_token_index": 257152,
            "use_vision_zoe": False,
            "torch_dtype": dtype,
            "text_config": text,
            "vision_config": vision,
        }
    )
