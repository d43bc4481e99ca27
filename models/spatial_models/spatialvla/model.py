"""The network of SpatialVLA (arXiv 2501.15830): PaliGemma 2 whose image tokens know where they are in space.

SigLIP, Gemma 2 and ZoeDepth are those of transformers. What is added: an encoding of the 3D points of every patch
joins SigLIP's output before the projector, and the action tokens take their input embeddings from a table of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Gemma2ForCausalLM, SiglipVisionModel, ZoeDepthForDepthEstimation

from .configuration import SpatialVlaConfig
from .ego3d import Ego3DPositionEncoding
from .masks import PromptAttention, additive, visible

IGNORED = -100  # label of a token that is not to be predicted


@dataclass(frozen=True)
class Sequences:
    """Token sequences, image patches first, padded on the right. All (B, T).

    Attributes:
        ids: token ids; the first ``image_tokens`` columns stand for the patches.
        valid: bool, False for padding.
        suffix: bool, True for what follows the prompt; None when nothing does.
    """

    ids: Tensor
    valid: Tensor
    suffix: Tensor | None = None

    def to(self, device: torch.device | str) -> Sequences:
        """On another device."""
        suffix = None if self.suffix is None else self.suffix.to(device)
        return Sequences(self.ids.to(device), self.valid.to(device), suffix)


class Projector(nn.Module):
    """From SigLIP's width to the text model's."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return self.linear(features)


class SpatialVla(nn.Module):
    """The network. Submodules are named as in the released files, see :mod:`.checkpoint` for where they differ.

    Args:
        config: sizes.
        compat: round positions as the released code does, see :mod:`.ego3d`.
    """

    def __init__(self, config: SpatialVlaConfig, compat: bool = False) -> None:
        super().__init__()
        self.config = config
        self.vision_tower = SiglipVisionModel(config.vision)
        self.multi_modal_projector = Projector(config.vision.hidden_size, config.width)
        self.language_model = Gemma2ForCausalLM(config.text)
        self.spatial_embed_tokens = nn.Embedding(config.action_tokens, config.width)
        self.position_embedding_3d = Ego3DPositionEncoding(
            config.vision.hidden_size, config.ego3d_frequencies, config.ego3d_cells, compat=compat
        )
        self.vision_zoe_model = ZoeDepthForDepthEstimation(config.depth) if config.depth else None
        nn.init.normal_(self.spatial_embed_tokens.weight, std=config.text.initializer_range)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.spatial_embed_tokens.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.spatial_embed_tokens.weight.device

    @property
    def scale(self) -> float:
        """Gemma multiplies embeddings by the root of its width."""
        return self.config.width**0.5

    def image_features(self, images: Tensor, points: Tensor) -> Tensor:
        """What stands for the patches among the text.

        Args:
            images: (B, 3, H, W), values in [0, 1].
            points: (B, patches, cells squared, 3) of every patch [m, camera frame].

        Returns:
            (B, patches, width), as the text model's first layer takes it.
        """
        pixels = (images.to(self.dtype) - 0.5) / 0.5
        seen = self.vision_tower(pixels).last_hidden_state
        seen = seen + self.position_embedding_3d(points).to(seen.dtype)
        # Divided and multiplied: the published code does both, and in bfloat16 both round.
        return self.multi_modal_projector(seen) / self.scale * self.scale

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings (..., width) of text and action tokens, as the text model's first layer takes them."""
        begin = self.config.action_begin
        text = functional.embedding(ids, self.language_model.model.embed_tokens.weight)
        actions = self.spatial_embed_tokens((ids - begin).clamp(min=0))
        return torch.where((ids >= begin)[..., None], actions, text) * self.scale

    def embed_actions(self, tokens: Tensor) -> Tensor:
        """Embeddings (..., width) of action tokens, counted from the first action token."""
        return self.spatial_embed_tokens(tokens) * self.scale

    def embed_sequences(self, sequences: Sequences, images: Tensor, points: Tensor) -> Tensor:
        """Embeddings (B, T, width) of whole sequences, their images put in."""
        patches, ids = self.config.image_tokens, sequences.ids
        if ids.shape[1] <= patches or len(ids) != len(images):
            raise ValueError(
                f"sequences of shape {tuple(ids.shape)} with {len(images)} images; expected an image each, its "
                f"{patches} patches first"
            )
        return torch.cat((self.image_features(images, points), self.embed(ids[:, patches:])), dim=1)

    def hidden(self, sequences: Sequences, images: Tensor, points: Tensor, prompt: PromptAttention) -> Tensor:
        """Last hidden states (B, T, width), normalised, without a cache."""
        embeddings = self.embed_sequences(sequences, images, points)
        suffix = sequences.suffix
        suffix = torch.zeros_like(sequences.valid) if suffix is None else suffix
        mask = additive(visible(sequences.valid, suffix, prompt), embeddings.dtype)
        positions = torch.arange(1, embeddings.shape[1] + 1, device=embeddings.device)[None]
        return self.decode(embeddings, mask, positions)

    def decode(
        self, embeddings: Tensor, mask: Tensor | None, positions: Tensor, cache: object | None = None
    ) -> Tensor:
        """The text model's layers and last norm.

        Args:
            embeddings: (B, T, width). mask: (B or 1, 1, T or 1, columns) to add to the scores, None for nothing.
            positions: (B or 1, T), the first token of a sequence is 1.
            cache: keys and values of earlier tokens, as :class:`.cache.KeyValueCache`.
        """
        self.check_length(embeddings.shape[1])
        output = self.language_model.model(
            inputs_embeds=embeddings,
            attention_mask={"full_attention": mask, "sliding_attention": mask},
            position_ids=positions,
            past_key_values=cache,  # pyright: ignore[reportArgumentType]
            use_cache=False,
        )
        return output.last_hidden_state

    def check_length(self, tokens: int) -> None:
        """Raise ValueError if some layers would not see all of so many tokens."""
        limit = self.config.text.sliding_window
        if limit is not None and tokens > limit:
            raise ValueError(f"{tokens} tokens; even layers see {limit} only: shorten the instruction")

    def logits(self, hidden: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """Scores (..., ids) of the ids from ``first`` to before ``last``, all of them by default; softly capped."""
        return self.capped(functional.linear(hidden, self.language_model.lm_head.weight[first:last]))

    def capped(self, scores: Tensor) -> Tensor:
        """Scores within Gemma's soft cap."""
        cap = self.config.text.final_logit_softcapping
        return scores if cap is None else torch.tanh(scores / cap) * cap

    def loss(
        self, sequences: Sequences, labels: Tensor, images: Tensor, points: Tensor, prompt: PromptAttention
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the labelled tokens, and the scores they were predicted with.

        Args:
            labels: (B, T) ids, :data:`IGNORED` where none is to be predicted; each is predicted from the token
                before it.

        Returns:
            The mean loss, and (labelled tokens, ids) float32 scores in the order of the labels.
        """
        hidden = self.hidden(sequences, images, points, prompt)
        wanted = (labels[:, 1:] != IGNORED) & sequences.valid[:, 1:]
        if not wanted.any():
            raise ValueError("no token is labelled: every label is -100 or padding")
        # The vocabulary is large; scores are made where they are needed alone.
        scores = self.logits(hidden[:, :-1][wanted]).float()
        return functional.cross_entropy(scores, labels[:, 1:][wanted]), scores
