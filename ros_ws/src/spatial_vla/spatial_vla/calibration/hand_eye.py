"""Where a camera is, from views of a board while the robot moves: eye-in-hand and eye-to-hand.

Both are A_i X C_i = Z: A_i is base_from_gripper (eye-in-hand; X = gripper_from_camera, Z = base_from_board) or its
inverse (eye-to-hand; X = base_from_camera, Z = gripper_from_board), C_i = camera_from_board. A closed form on small
subsets finds the samples that agree (least median of squares, Rousseeuw 1984); X and Z are then refined on all of
those together, each sample weighted by how well its corners fix the board and by how exactly the robot knows where it
is. The latter is estimated from the data (restricted maximum likelihood), so that the error stated at the end is that
of this robot and not of a wish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from ..geometry import SE3
from .camera import BoardPose
from .closed_form import consensus
from .errors import CalibrationError
from .refinement import Poses, Refined, refine
from .variety import require_variety

Array = NDArray[np.float64]
Setup = Literal["eye-in-hand", "eye-to-hand"]

#: A good sample is farther off than this once in ten thousand times.
GATE = float(chi2.ppf(0.9999, 6))
#: Nothing can be computed from fewer.
FEWEST_SAMPLES = 4


@dataclass(frozen=True, eq=False)
class Sample:
    """One still moment: where the robot said its gripper was, and where the board was seen."""

    name: str
    base_from_gripper: SE3
    view: BoardPose


@dataclass(frozen=True, eq=False)
class HandEyeReport:
    """What came out.

    Attributes:
        setup: "eye-in-hand" or "eye-to-hand".
        camera: gripper_from_camera, or base_from_camera.
        board: base_from_board, or gripper_from_board.
        covariance: (6, 6) of ``camera``: translation [m], rotation vector [rad], along the outer frame's axes.
        bound95: (m, rad) that the true camera pose is within, with 95 % probability each.
        used: names of the samples used.
        rejected: names of the samples that disagree with the others.
        residuals: (n, 2) of the samples used: distance [m] and angle [rad] between board seen and board expected.
        left_out: (n, 2), the same when the sample had no part in the result: what to expect at the next view.
        robot_noise: (m, rad) per axis that the robot's pose seems to be off by.
        rms: of the corners, from the board where the result says it is [px].
    """

    setup: Setup
    camera: SE3
    board: SE3
    covariance: Array
    bound95: tuple[float, float]
    used: tuple[str, ...]
    rejected: tuple[str, ...]
    residuals: Array
    left_out: Array
    robot_noise: tuple[float, float]
    rms: float


def calibrate_hand_eye(
    samples: Sequence[Sample], setup: Setup, min_samples: int = 12, pixel_noise: float | None = None
) -> HandEyeReport:
    """Find the camera on the gripper ("eye-in-hand") or in the base ("eye-to-hand").

    Args:
        samples: taken while the robot stood still.
        setup: where the camera is mounted; the board is at the other place.
        min_samples: refuse fewer that agree; below 12 the stated error is not to be trusted.
        pixel_noise: standard deviation of a corner's coordinates [px]; from the residuals of the views if None.

    Raises:
        CalibrationError: too few samples, too few that agree, or rotations that leave the result undetermined.
    """
    if setup not in ("eye-in-hand", "eye-to-hand"):
        raise CalibrationError(f"setup is {setup!r}; it must be 'eye-in-hand' or 'eye-to-hand'")
    least = max(min_samples, FEWEST_SAMPLES)
    if len(samples) < least:
        raise CalibrationError(
            f"{len(samples)} usable samples; at least {least} are needed. Move the arm to more poses that see the "
            "board, each turned by 20 to 60 degrees about another axis"
        )
    poses = _poses(samples, setup, pixel_noise)
    require_variety(poses.a)
    start, agree = consensus(poses)
    agree, fit = _agreeing(poses, start, agree, least)
    return _report(samples, setup, poses, agree, fit)


def _poses(samples: Sequence[Sample], setup: Setup, pixel_noise: float | None) -> Poses:
    noise = _pixel_noise(samples) if pixel_noise is None else pixel_noise
    grippers = [sample.base_from_gripper for sample in samples]
    return Poses(
        a=tuple(grippers if setup == "eye-in-hand" else [g.inverse() for g in grippers]),
        c=tuple(sample.view.camera_from_board for sample in samples),
        seen_covariance=np.array([noise**2 * np.linalg.inv(s.view.information) for s in samples], np.float64),
        camera_on_gripper=setup == "eye-in-hand",
        intrinsics_slope=np.array([s.view.intrinsics_slope for s in samples]),
        intrinsics_covariance=samples[0].view.intrinsics_covariance,
    )


def _pixel_noise(samples: Sequence[Sample]) -> float:
    """Standard deviation of the corners [px], by the median: a wrong view must not excuse the others."""
    residuals = np.concatenate([sample.view.residuals for sample in samples])
    freedom = max(2 * len(residuals) - 6 * len(samples), 1)
    scale = float(np.median(np.abs(residuals))) / 0.6745
    return max(scale * float(np.sqrt(2 * len(residuals) / freedom)), 0.01)


def _agreeing(
    poses: Poses, start: tuple[SE3, SE3], agree: NDArray[np.bool_], least: int
) -> tuple[NDArray[np.bool_], Refined]:
    """Refine on the samples that agree, and look again which do, until that no longer changes."""
    for _ in range(8):
        if np.sum(agree) < least:
            raise CalibrationError(
                f"only {int(np.sum(agree))} of {len(agree)} samples agree with each other; at least {least} must. Was "
                "the robot still at every capture, did image and robot pose belong together, is the setup "
                "(eye-in-hand or eye-to-hand) right, and is the board's square size the measured one?"
            )
        fit = refine(poses.subset(agree), *start)
        again = fit.distances(poses) < GATE
        if np.array_equal(again, agree):
            break
        agree, start = again, (fit.x, fit.z)
    require_variety([a for a, good in zip(poses.a, agree, strict=True) if good])
    return agree, refine(poses.subset(agree), *start)


def _report(
    samples: Sequence[Sample], setup: Setup, poses: Poses, agree: NDArray[np.bool_], fit: Refined
) -> HandEyeReport:
    used = [sample for sample, good in zip(samples, agree, strict=True) if good]
    kept = poses.subset(agree)
    return HandEyeReport(
        setup=setup,
        camera=fit.x,
        board=fit.z,
        covariance=fit.covariance[:6, :6],
        bound95=fit.bound95(),
        used=tuple(sample.name for sample in used),
        rejected=tuple(s.name for s, good in zip(samples, agree, strict=True) if not good),
        residuals=_distance_angle(kept.residuals(fit.x, fit.z)),
        left_out=_distance_angle(fit.left_out(kept)),
        robot_noise=fit.robot_noise,
        rms=_reprojection(used, kept, fit),
    )


def _distance_angle(residuals: Array) -> Array:
    return np.stack(
        (np.linalg.norm(residuals[:, :3], axis=1), np.linalg.norm(residuals[:, 3:], axis=1)), axis=1
    )


def _reprojection(used: Sequence[Sample], poses: Poses, fit: Refined) -> float:
    """RMS distance [px] of the corners from where the whole chain puts them, to second order in the residuals."""
    squares, count = 0.0, 0
    for sample, e in zip(used, poses.residuals(fit.x, fit.z), strict=True):
        squares += float(np.sum(sample.view.residuals**2) + e @ sample.view.information @ e)
        count += len(sample.view.residuals)
    return float(np.sqrt(squares / count))
