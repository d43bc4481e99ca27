"""The same weights in transformers' own PaliGemma, to compare with it and to measure against its ``generate``."""

from __future__ import annotations

import copy

import torch
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

from .model import SpatialVla


def plain_paligemma(model: SpatialVla) -> PaliGemmaForConditionalGeneration:
    """A PaliGemma that shares the weights of ``model``; it knows no points and has the action table in its input table.

    Give it image features from :meth:`.model.SpatialVla.image_features` to have the points in them:
    ``generate(input_ids, mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=features)}, ...)``. The
    last rows of the model's input table, which the model never reads, are overwritten with the action table.
    """
    source = model.config
    with torch.no_grad():
        table = model.language_model.model.embed_tokens.weight
        table[source.action_begin :] = model.spatial_embed_tokens.weight
    config = PaliGemmaConfig(
        vision_config=copy.deepcopy(source.vision),
        text_config=copy.deepcopy(source.text),
        image_token_index=source.image_token,
        projection_dim=source.width,
        tie_word_embeddings=False,
    )
    config._attn_implementation = "eager"
    with torch.device("meta"):
        plain = PaliGemmaForConditionalGeneration(config)
    plain.model.vision_tower = model.vision_tower
    plain.model.multi_modal_projector.linear = model.multi_modal_projector.linear
    plain.model.language_model = model.language_model.model
    plain.lm_head = model.language_model.lm_head
    return plain.eval()
