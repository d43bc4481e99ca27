"""Sizes of a SpatialVLA, read from and written as its released ``config.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from transformers import Gemma2Config, SiglipVisionConfig, ZoeDepthConfig

FILE = "config.json"
_REQUIRED = (
    "text_config",
    "vision_config",
    "action_token_begin_idx",
    "image_token_index",
    "spatial_token_num",
)


class UnusableConfiguration(ValueError):
    """A configuration lacks fields, or its fields contradict each other; the message says which."""


@dataclass(frozen=True)
class SpatialVlaConfig:
    """What the network is made of.

    Attributes:
        vision: SigLIP. text: Gemma 2, its vocabulary with the action tokens. depth: ZoeDepth, or None for a network
            that is always given depth.
        image_token: id that stands for an image patch in a prompt.
        action_begin, action_tokens: the action tokens are the ids from ``action_begin`` on, the last of the
            vocabulary.
        ego3d_cells: points per patch along an edge; divides the patch. ego3d_frequencies: octaves of the encoding.
        dtype: type that the file's weights are stored in.
    """

    vision: SiglipVisionConfig
    text: Gemma2Config
    depth: ZoeDepthConfig | None
    image_token: int
    action_begin: int
    action_tokens: int
    ego3d_cells: int = 2
    ego3d_frequencies: int = 8
    dtype: torch.dtype = torch.bfloat16

    def __post_init__(self) -> None:
        sides = (self.vision.image_size, self.vision.patch_size)
        if not all(isinstance(side, int) for side in sides):
            raise UnusableConfiguration(
                f"image and patch are {sides}; expected the side of a square each [px]"
            )
        patch, end = self.patch_size, self.action_begin + self.action_tokens
        if end != self.text.vocab_size:
            raise UnusableConfiguration(
                f"action tokens are the ids {self.action_begin}..{end - 1}, but the vocabulary has "
                f"{self.text.vocab_size} ids; expected the action tokens to be its last ones"
            )
        if self.ego3d_cells < 1 or patch % self.ego3d_cells:
            raise UnusableConfiguration(
                f"ego3d_patch_reso {self.ego3d_cells} does not divide the patch of {patch} px; released files have 2"
            )
        if self.text.tie_word_embeddings:
            raise UnusableConfiguration(
                "text_config.tie_word_embeddings is true; SpatialVLA has separate tables for input and output"
            )

    @property
    def width(self) -> int:
        """Width of the text model, 2304 as released."""
        return self.text.hidden_size

    @property
    def image_size(self) -> int:
        """Side of the square image [px]."""
        return cast(int, self.vision.image_size)

    @property
    def patch_size(self) -> int:
        """Side of a patch [px]."""
        return cast(int, self.vision.patch_size)

    @property
    def image_tokens(self) -> int:
        """Patches of an image."""
        return (self.image_size // self.patch_size) ** 2

    def without_depth(self) -> SpatialVlaConfig:
        """The same without ZoeDepth, for those who have depth."""
        return replace(self, depth=None)

    @classmethod
    def read(cls, folder: str | Path) -> SpatialVlaConfig:
        """From ``config.json`` of a checkpoint's folder.

        Raises:
            FileNotFoundError: there is no such file.
            UnusableConfiguration: it is no SpatialVLA's, or contradicts itself.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}; expected the folder of a SpatialVLA checkpoint")
        return cls.from_fields(json.loads(path.read_text()))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> SpatialVlaConfig:
        """From the fields of a ``config.json``, names as released."""
        absent = [name for name in _REQUIRED if name not in fields]
        if absent or fields.get("model_type") != "spatialvla":
            raise UnusableConfiguration(
                f"config has model_type {fields.get('model_type')!r} and lacks {absent}; expected 'spatialvla' with "
                f"{', '.join(_REQUIRED)}"
            )
        text = {"tie_word_embeddings": False} | dict(fields["text_config"])
        # The softmax with capped scores exists in the eager attention alone.
        text["attn_implementation"] = "eager"
        depth = fields.get("vision_zoe_config") if fields.get("use_vision_zoe", True) else None
        return cls(
            vision=SiglipVisionConfig.from_dict(dict(fields["vision_config"])),
            text=Gemma2Config.from_dict(text),
            depth=ZoeDepthConfig.from_dict(dict(depth)) if depth else None,
            image_token=fields["image_token_index"],
            action_begin=fields["action_token_begin_idx"],
            action_tokens=fields["spatial_token_num"],
            ego3d_cells=fields.get("ego3d_patch_reso", 2),
            ego3d_frequencies=fields.get("n_freqs", 8),
            dtype=getattr(torch, fields.get("torch_dtype") or fields.get("dtype") or "bfloat16"),
        )

    def fields(self) -> dict[str, Any]:
        """The fields of ``config.json``, names as released."""
        return {
            "model_type": "spatialvla",
            "architectures": ["SpatialVLAForConditionalGeneration"],
            "action_token_begin_idx": self.action_begin,
            "spatial_token_num": self.action_tokens,
            "image_token_index": self.image_token,
            "ego3d_patch_reso": self.ego3d_cells,
            "n_freqs": self.ego3d_frequencies,
            "projection_dim": self.width,
            "torch_dtype": str(self.dtype).removeprefix("torch."),
            "use_spatial_token": True,
            "use_vision_zoe": self.depth is not None,
            "text_config": self.text.to_dict(),
            "vision_config": self.vision.to_dict(),
            **({"vision_zoe_config": self.depth.to_dict()} if self.depth else {}),
        }

    def write(self, folder: str | Path) -> None:
        """Write ``config.json`` into a folder."""
        (Path(folder) / FILE).write_text(json.dumps(self.fields(), indent=2, default=list) + "\n")
