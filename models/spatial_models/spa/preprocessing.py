"""What the encoder does to an image before the first layer: resize, then normalise.

The same numbers as torchvision's ``resize`` (since 0.17) and ``normalize`` give, without torchvision.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(image: Tensor) -> Tensor:
    """RGB in [0, 1], (N, 3, H, W), to ImageNet's zero mean and unit variance."""
    # Channel by channel with plain numbers: constants held as tensors would lose digits in a half-precision model.
    channels = zip(image.unbind(1), IMAGENET_MEAN, IMAGENET_STD, strict=True)
    return torch.stack([(channel - mean) / std for channel, mean, std in channels], dim=1)


def resized_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width after the shorter side became ``size``; the longer one is truncated to an integer."""
    if height <= width:
        return size, int(size * width / height)
    return int(size * height / width), size


def resize(image: Tensor, size: int) -> Tensor:
    """Bring the shorter side of (N, 3, H, W) to ``size`` and keep the aspect ratio.

    Antialiased bicubic, align_corners False. The result is not clamped: it may leave [0, 1] a little at edges. An image
    that fits is returned as it is.
    """
    shape = resized_shape(image.shape[-2], image.shape[-1], size)
    if image.shape[-2:] == shape:
        return image
    return F.interpolate(image, size=shape, mode="bicubic", align_corners=False, antialias=True)


def preprocess(image: Tensor, size: int) -> Tensor:
    """RGB (N, 3, H, W) in [0, 1] of any floating type to normalised (N, 3, size, size), float32 or float64.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: not (N, 3, H, W), or not square once the shorter side is ``size``.
    """
    check_image(image)
    shape = resized_shape(image.shape[-2], image.shape[-1], size)
    if shape != (size, size):
        height, width = image.shape[-2:]
        raise ValueError(
            f"an image of {height} x {width} is not square; the encoder takes square images alone and does not crop. "
            f"Crop or pad it first, for instance image[..., :{min(height, width)}, :{min(height, width)}]"
        )
    # Interpolation of half-precision images is not there on every device, and would cost digits.
    return normalise(resize(image.to(torch.promote_types(image.dtype, torch.float32)), size))


def check_image(image: Any) -> None:
    """Raise TypeError or ValueError unless ``image`` is a floating-point tensor (N, 3, H, W)."""
    if not isinstance(image, Tensor):
        raise TypeError(
            f"expected a float tensor (N, 3, H, W) with RGB in [0, 1], got {type(image).__name__}; "
            "a PIL or numpy picture becomes one by torch.from_numpy(numpy.array(picture)).permute(2, 0, 1)[None] / 255"
        )
    if not image.is_floating_point():
        raise TypeError(
            f"expected floating point with RGB in [0, 1], got {image.dtype}; for 8 bits pass image.float() / 255"
        )
    if image.ndim != 4 or image.shape[1] != 3:
        hint = ""
        if image.ndim == 3 and image.shape[0] == 3:
            hint = "; for a single image pass image[None]"
        elif image.ndim in (3, 4) and image.shape[-1] == 3:
            hint = "; channels come before rows and columns: use movedim(-1, -3)"
        raise ValueError(f"expected an image tensor (N, 3, H, W), got {tuple(image.shape)}{hint}")
