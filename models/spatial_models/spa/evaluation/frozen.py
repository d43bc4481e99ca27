"""Features of a frozen encoder, computed in batches and kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoint import load_encoder

#: What stands for a picture: the class token (what SPA's evaluations use), or the patch tokens averaged over a coarse
#: grid of cells, which keeps where in the picture something is.
Summary = Literal["cls", "grid"]
CELLS = 4


class Encoder(Protocol):
    """What is evaluated: :class:`..encoder.SpaEncoder`, or anything that is called as it is."""

    def __call__(self, image: Tensor, feature_map: bool = False, cat_cls: bool = True) -> Tensor:
        """(N, 3, S, S) in [0, 1] to (N, D), or with ``feature_map=True, cat_cls=False`` to (N, D, h, w)."""
        ...


def frozen(checkpoint: str | Path, image_size: int = 224, device: str = "cpu") -> Any:
    """The encoder of a checkpoint, without gradients; see :func:`..checkpoint.load_encoder`."""
    return load_encoder(checkpoint, image_size).freeze().to(device)


def summaries(
    encoder: Encoder, images: Sequence[NDArray[np.uint8]], summary: Summary = "cls", batch: int = 64
) -> Tensor:
    """One vector per picture.

    Args:
        images: square RGB pictures (S, S, 3). batch: pictures encoded at once.

    Returns:
        (N, D), or for the grid (N, D CELLS²), float32 on the CPU.
    """
    if summary == "cls":
        return _in_batches(images, batch, encoder, encoder)
    return _in_batches(images, batch, encoder, lambda x: _cells(_patches(encoder, x)))


def feature_maps(encoder: Encoder, images: Sequence[NDArray[np.uint8]], batch: int = 64) -> Tensor:
    """Patch tokens (N, D, h, w) float32 on the CPU, of square RGB pictures (S, S, 3)."""
    return _in_batches(images, batch, encoder, lambda x: _patches(encoder, x))


def _patches(encoder: Encoder, images: Tensor) -> Tensor:
    return encoder(images, feature_map=True, cat_cls=False)


def _cells(patches: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(patches, CELLS).flatten(1)


@torch.inference_mode()
def _in_batches(
    images: Sequence[NDArray[np.uint8]], batch: int, encoder: Encoder, encode: Callable[[Tensor], Tensor]
) -> Tensor:
    done = []
    for start in range(0, len(images), batch):
        pictures = torch.from_numpy(np.stack(images[start : start + batch])).to(_device(encoder))
        # [0, 1] and no more: the encoder normalises by itself, and doing it twice would go unnoticed.
        done.append(encode(pictures.movedim(-1, 1).float() / 255.0).float().cpu())
    return torch.cat(done)


def _device(encoder: Any) -> torch.device:
    weight = next(encoder.parameters(), None) if isinstance(encoder, nn.Module) else None
    return weight.device if weight is not None else torch.device("cpu")
