"""Feature maps as colour pictures: three principal components become red, green and blue.

The recipe is that of the feature-map figures of SPA (arXiv 2410.08208, Figure 5 and scripts/visualize_featuremap.py
of its release): components of the centred features, projection of the uncentred ones, and a colour range per
component taken from the values within twice the median distance of the median. Two things are ours: the sign of
each component is fixed, and a palette is kept, so that colours mean the same from picture to picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

INLIER_DISTANCE = 2.0  # in median distances from the median


@dataclass(frozen=True, eq=False)
class FeaturePalette:
    """What turns feature vectors of C channels into colours.

    Attributes:
        components: (3, C) orthonormal rows, largest variance first.
        low, high: (3,) projections that become 0 and 1.
    """

    components: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def fit(cls, features: ArrayLike) -> FeaturePalette:
        """Fit to feature vectors (..., C), for example one map (rows, cols, C) or several stacked.

        Raises:
            ValueError: if there are fewer than three channels or vectors, or a number is not finite.
        """
        x = np.asarray(features, dtype=np.float64)
        x = x.reshape(-1, x.shape[-1])
        if min(x.shape) < 3 or not np.isfinite(x).all():
            raise ValueError(f"a palette needs 3 or more finite vectors of 3 or more channels, got {x.shape}")
        _, _, components = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        components = components[:3]
        # A principal component has no sign of its own: make the largest loading positive.
        largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
        components = components * np.where(largest < 0.0, -1.0, 1.0)
        return cls(components, *robust_range(x @ components.T))

    def colours(self, features: ArrayLike) -> NDArray[np.float32]:
        """Feature vectors (..., C) to RGB (..., 3) in [0, 1]."""
        return self._scaled(np.asarray(features, dtype=np.float64) @ self.components.T)

    def picture(self, features: ArrayLike, width: int, height: int) -> NDArray[np.uint8]:
        """A map (rows, cols, C) to an RGB picture (height, width, 3), bilinear between the patch centres."""
        projected = np.asarray(features, dtype=np.float64) @ self.components.T
        # Interpolating the projections equals interpolating the features (both are linear) and is cheaper.
        enlarged = cv2.resize(projected.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.round(self._scaled(enlarged) * 255.0).astype(np.uint8)

    def _scaled(self, projected: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float32]:
        return np.clip((projected - self.low) / (self.high - self.low), 0.0, 1.0).astype(np.float32)


def robust_range(projected: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest inlier of every column of (N, 3)."""
    distance = np.abs(projected - np.median(projected, axis=0))
    inlier = distance <= INLIER_DISTANCE * np.median(distance, axis=0)
    low = np.where(inlier, projected, np.inf).min(axis=0)
    high = np.where(inlier, projected, -np.inf).max(axis=0)
    return low, np.where(high > low, high, low + 1.0)


def overlay(rgb: NDArray[np.uint8], colours: NDArray[np.uint8], opacity: float = 0.6) -> NDArray[np.uint8]:
    """Lay a picture over a camera image of the same size (height, width, 3).

    The image goes in as grey levels, so that every hue in the result comes from the features.
    """
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(colours, opacity, grey, 1.0 - opacity, 0.0), dtype=np.uint8)
