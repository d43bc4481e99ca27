"""The encoders by name: two as released, and two small ones of ours."""

from __future__ import annotations

from pathlib import Path

from .checkpoint import Architecture, load_encoder
from .encoder import SpaEncoder
from .hub import RELEASE

TINY = Architecture(width=192, depth=12, heads=3, patch=16)
SMALL = Architecture(width=384, depth=12, heads=6, patch=16)
BASE = Architecture(width=768, depth=12, heads=12, patch=16)
LARGE = Architecture(width=1024, depth=24, heads=16, patch=16)

_RELEASED = {BASE: f"{RELEASE}:spa-b.safetensors", LARGE: f"{RELEASE}:spa-l.safetensors"}


def spa_vit_base_patch16(
    pretrained: bool | str | Path = False, image_size: int = 224, preprocess: bool = True
) -> SpaEncoder:
    """ViT-B/16, 85.8 M parameters, D = 768.

    Args:
        pretrained: True fetches the released weights (several GB, for they hold the teacher too) or takes them from the
            cache; a path or Hub id is given to :func:`load_encoder`; False leaves the initial weights.
        image_size: side of the images it is for [px]. preprocess: as of :class:`SpaEncoder`.

    Raises:
        DownloadFailed, CheckpointMismatch, and what else :func:`load_encoder` raises.
    """
    return _build(BASE, pretrained, image_size, preprocess)


def spa_vit_large_patch16(
    pretrained: bool | str | Path = False, image_size: int = 224, preprocess: bool = True
) -> SpaEncoder:
    """ViT-L/16, 303.3 M parameters, D = 1024: what SPA's authors recommend. Arguments as of the base model."""
    return _build(LARGE, pretrained, image_size, preprocess)


def spa_vit_small_patch16(
    pretrained: str | Path | bool = False, image_size: int = 224, preprocess: bool = True
) -> SpaEncoder:
    """ViT-S/16, 21.7 M parameters, D = 384; nobody released weights, so ``pretrained`` is a path or Hub id."""
    return _build(SMALL, pretrained, image_size, preprocess)


def spa_vit_tiny_patch16(
    pretrained: str | Path | bool = False, image_size: int = 224, preprocess: bool = True
) -> SpaEncoder:
    """ViT-Ti/16, 5.5 M parameters, D = 192; nobody released weights, so ``pretrained`` is a path or Hub id."""
    return _build(TINY, pretrained, image_size, preprocess)


def _build(
    architecture: Architecture, pretrained: bool | str | Path, image_size: int, preprocess: bool
) -> SpaEncoder:
    if pretrained is False:
        return SpaEncoder(image_size, **vars(architecture), preprocess=preprocess)
    if pretrained is True:
        if architecture not in _RELEASED:
            raise ValueError(
                f"there are no released weights of width {architecture.width}; pass pretrained='path/to/weights', or "
                "take spa_vit_base_patch16 or spa_vit_large_patch16"
            )
        pretrained = _RELEASED[architecture]
    return load_encoder(pretrained, image_size, preprocess, architecture)
