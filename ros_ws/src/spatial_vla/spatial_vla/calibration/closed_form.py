"""A X C = Z without a starting point: closed form on subsets, and the solution that most samples agree with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..geometry import SE3, matrix_to_rotvec
from .errors import CalibrationError
from .refinement import Poses

Array = NDArray[np.float64]

#: Samples per subset, and subsets tried: with four samples in ten wrong, one subset is clean but once in 10^8 times.
SUBSET, TRIES = 4, 200
#: Distances [m] are compared with angles [rad] by this arm [m].
ARM = 0.3
#: No sample is called wrong for a deviation below this [m].
FLOOR = 2e-4


def closed_form(a: Sequence[SE3], c: Sequence[SE3]) -> tuple[SE3, SE3]:
    """X and Z of A_i X C_i = Z from all pairs: rotation by Park and Martin (1994), translation by least squares."""
    pairs = list(combinations(range(len(a)), 2))
    # A_j^-1 A_i X = X C_j C_i^-1: the axis of the motion of A is X times that of the motion of C.
    moved_a = [a[j].inverse() @ a[i] for i, j in pairs]
    moved_c = [c[j] @ c[i].inverse() for i, j in pairs]
    axes_a = matrix_to_rotvec(np.array([m.rotation for m in moved_a]))
    axes_c = matrix_to_rotvec(np.array([m.rotation for m in moved_c]))
    u, _, vt = np.linalg.svd(axes_a.T @ axes_c)
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    left = np.concatenate([m.rotation - np.eye(3) for m in moved_a])
    right = np.concatenate(
        [rotation @ mc.translation - ma.translation for ma, mc in zip(moved_a, moved_c, strict=True)]
    )
    x = SE3(rotation, np.asarray(np.linalg.lstsq(left, right, rcond=None)[0], dtype=np.float64))
    ends = [ai @ x @ ci for ai, ci in zip(a, c, strict=True)]
    turn = Rotation.from_matrix(np.array([end.rotation for end in ends])).mean().as_matrix()
    return x, SE3(turn, np.median([end.translation for end in ends], axis=0))


def consensus(poses: Poses) -> tuple[tuple[SE3, SE3], NDArray[np.bool_]]:
    """The closed form with the least median residual, and which samples (n,) agree with it."""
    n = len(poses.a)
    rng = np.random.default_rng(0)
    best, chosen = np.inf, None
    subsets = [rng.choice(n, min(SUBSET, n), replace=False) for _ in range(TRIES)]
    for subset in [np.arange(n), *subsets]:
        try:
            solution = closed_form([poses.a[i] for i in subset], [poses.c[i] for i in subset])
        except (np.linalg.LinAlgError, ValueError):
            continue
        median = float(np.median(_size(poses, *solution)))
        if median < best:
            best, chosen = median, solution
    if chosen is None:
        raise CalibrationError("no set of samples has a solution; are all robot poses the same?")
    size = _size(poses, *chosen)
    # Rousseeuw's scale for a small sample; generous, for the refinement looks again.
    scale = max(1.4826 * (1.0 + 5.0 / max(n - SUBSET, 1)) * best, FLOOR)
    return chosen, size < 4.0 * scale


def _size(poses: Poses, x: SE3, z: SE3) -> Array:
    residuals = poses.residuals(x, z)
    return np.hypot(np.linalg.norm(residuals[:, :3], axis=1), ARM * np.linalg.norm(residuals[:, 3:], axis=1))
