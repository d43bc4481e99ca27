"""What a policy is shown, and what it is expected to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..actions import ActionChunk
from ..geometry import SE3, PinholeCamera


@dataclass(frozen=True, eq=False)
class Observation:
    """One moment as a robot knows it. What a policy needs and is None, it refuses.

    Attributes:
        image: (H, W, 3) uint8 RGB of the external camera.
        instruction: what to do.
        stamp_ns: when the image was taken.
        depth: (H, W) metres along the optical axis, registered to the image; 0, NaN, infinity where not measured.
        camera: intrinsics of the image.
        base_from_camera, base_from_tcp: poses of optical frame and tool centre point.
        gripper_width: opening of the hand [m].
    """

    image: NDArray[np.uint8]
    instruction: str
    stamp_ns: int = 0
    depth: NDArray[np.float32] | None = None
    camera: PinholeCamera | None = None
    base_from_camera: SE3 | None = None
    base_from_tcp: SE3 | None = None
    gripper_width: float | None = None


class Policy(Protocol):
    """What decides."""

    def reset(self) -> None:
        """Another episode begins: forget."""
        ...

    def __call__(self, observation: Observation) -> ActionChunk:
        """The next steps.

        Raises:
            ValueError: the observation lacks what the policy needs.
        """
        ...
