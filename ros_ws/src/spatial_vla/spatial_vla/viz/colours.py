"""The colours of every picture, marker and report page, defined once. RGB, 0..255."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

RGB = tuple[int, int, int]

PLAN: RGB = (0, 214, 255)  # the decoded trajectory; no object of the scenes is cyan
TARGET: RGB = (255, 45, 149)  # where the policy believes the named object is
GRID: RGB = (150, 160, 175)  # cells of the action grid that were not chosen
INK: RGB = (14, 17, 23)  # outlines and caption bars
PAPER: RGB = (255, 255, 255)  # caption text


def ramp(values: ArrayLike) -> NDArray[np.uint8]:
    """Values in [0, 1] of any shape (...,) to RGB (..., 3) on the perceptually uniform ramp "plasma"."""
    v = np.nan_to_num(np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0))
    levels = np.round(v * 255.0).astype(np.uint8)
    bgr = cv2.applyColorMap(levels.reshape(1, -1), cv2.COLORMAP_PLASMA)
    return np.ascontiguousarray(bgr.reshape(*levels.shape, 3)[..., ::-1], dtype=np.uint8)
