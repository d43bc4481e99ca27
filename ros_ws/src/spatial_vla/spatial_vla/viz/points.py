"""Points with colours: what a viewer draws as a list of dots or spheres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PointSet:
    """N points of one size.

    Attributes:
        positions: (N, 3) float64 [m].
        colours: (N, 4) float32 red, green, blue, opacity in [0, 1].
        diameter: of every point [m].
    """

    positions: NDArray[np.float64]
    colours: NDArray[np.float32]
    diameter: float

    def __len__(self) -> int:
        return len(self.positions)
