"""A decoded action chunk as points in space: where the tool centre point is meant to go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatial_vla.actions import ActionChunk
from spatial_vla.geometry import SE3


@dataclass(frozen=True, eq=False)
class Plan:
    """Positions that a chunk leads through, and its target, both in the chunk's frame.

    Attributes:
        positions: (T + 1, 3) [m]; the first is the tool centre point at the observation.
        target: (3,) [m], or None.
    """

    positions: NDArray[np.float64]
    target: NDArray[np.float64] | None

    @classmethod
    def of(cls, chunk: ActionChunk, base_from_tcp: SE3) -> Plan:
        """Follow the chunk from the pose that the tool centre point had at the observation."""
        steps = np.concatenate((base_from_tcp.translation[None], chunk.deltas[:, :3]))
        return cls(np.cumsum(steps, axis=0), chunk.target)

    def seen_from(self, camera_from_base: SE3) -> Plan:
        """The same plan in the optical frame of a camera."""
        target = None if self.target is None else camera_from_base.apply(self.target)
        return Plan(camera_from_base.apply(self.positions), target)
