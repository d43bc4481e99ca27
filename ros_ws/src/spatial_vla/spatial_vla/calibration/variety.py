"""Whether robot poses differ enough for hand-eye calibration: it needs rotations about two axes at least."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..geometry import SE3, matrix_to_rotvec
from .errors import CalibrationError

#: The largest rotation between two samples must reach this [deg].
LEAST_ROTATION = 30.0
#: Rotations about the second axis must come to this share of those about the first.
LEAST_SPREAD = 0.15


def variety(poses: Sequence[SE3]) -> tuple[float, float]:
    """Largest rotation between two poses [deg], and the spread of the axes: 0 when all turn about one, 1 at best."""
    pairs = combinations(poses, 2)
    vectors = matrix_to_rotvec(np.array([a.rotation.T @ b.rotation for a, b in pairs]))
    strengths = np.linalg.svd(vectors, compute_uv=False)
    largest = float(np.degrees(np.linalg.norm(vectors, axis=1).max()))
    return largest, float(strengths[1] / strengths[0]) if strengths[0] > 0.0 else 0.0


def require_variety(poses: Sequence[SE3]) -> None:
    """Raise CalibrationError if the rotations between ``poses`` leave the camera's pose undetermined."""
    largest, spread = variety(poses)
    if largest < LEAST_ROTATION:
        raise CalibrationError(
            f"the largest rotation between two samples is {largest:.0f} degrees; at least {LEAST_ROTATION:.0f} are "
            "needed. Turn the gripper more between samples"
        )
    if spread < LEAST_SPREAD:
        raise CalibrationError(
            f"all rotations between samples are about nearly one axis (spread {spread:.2f}, at least {LEAST_SPREAD} is "
            "needed): the camera's place along that axis is undetermined. Turn the gripper about another axis, too"
        )
