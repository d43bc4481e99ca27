"""Variations of what is seen, as the published training has them: crop, brightness, contrast, saturation, hue.

Other than there, depth is cropped and intrinsics are moved with the image, so that points stay where they are.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from spatial_vla.datasets import Moment

AREA = 0.9  # of the crop, its sides' ratio the image's
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.2, (0.8, 1.2), (0.8, 1.2), 0.05


def augmented(moment: Moment, rng: np.random.Generator) -> Moment:
    """The moment seen a little otherwise."""
    height, width = moment.image.shape[:2]
    rows, columns = round(AREA**0.5 * height), round(AREA**0.5 * width)
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    window = (slice(top, top + rows), slice(left, left + columns))
    intrinsics = None
    if moment.intrinsics is not None:
        intrinsics = moment.intrinsics - np.array([[0, 0, left], [0, 0, top], [0, 0, 0]])
    depth = None if moment.depth is None else moment.depth[window]
    return replace(moment, image=recoloured(moment.image[window], rng), depth=depth, intrinsics=intrinsics)


def recoloured(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Brightness, contrast, saturation and hue varied, in this order; (H, W, 3) RGB."""
    unit = image.astype(np.float32) / 255 + np.float32(rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    mean = unit.mean((0, 1), keepdims=True)
    unit = np.clip((unit - mean) * np.float32(rng.uniform(*CONTRAST)) + mean, 0, 1)
    hsv = cv2.cvtColor(unit, cv2.COLOR_RGB2HSV)  # degrees, then shares
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(*SATURATION), 0, 1)
    hsv[..., 0] = (hsv[..., 0] + 360 * rng.uniform(-HUE, HUE)) % 360
    return np.rint(np.clip(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), 0, 1) * 255).astype(np.uint8)
