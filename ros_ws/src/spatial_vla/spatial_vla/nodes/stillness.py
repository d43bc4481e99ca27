"""Whether something that moves was still when an image was taken, so that image and transform belong together."""

from __future__ import annotations

import numpy as np

from ..geometry import SE3, matrix_to_rotvec

#: What moves more than this [m, rad] in STILL_NS is not still.
STILL = (5e-4, 1e-3)
STILL_NS = 100_000_000


def moved(before: SE3, after: SE3) -> bool:
    """Whether a frame that was at ``before`` STILL_NS ago and is at ``after`` now is moving."""
    step = before.inverse() @ after
    distance, angle = np.linalg.norm(step.translation), np.linalg.norm(matrix_to_rotvec(step.rotation))
    return bool(distance > STILL[0] or angle > STILL[1])
