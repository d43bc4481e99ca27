"""Intrinsics of a camera from views of a board, with the figures that say whether to believe them.

A small reprojection error alone proves little: few views, or views that are all alike, fit well and extrapolate badly.
So there are also the deviations of the parameters, the error on views that were left out, and the share of the image
that was covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry import PinholeCamera
from .board import Corners
from .camera import CalibratedCamera, board_pose
from .coverage import Coverage, coverage_of
from .errors import CalibrationError

Array = NDArray[np.float64]
Lens = Literal["none", "normal", "wide"]

FLAGS = {
    "none": cv2.CALIB_FIX_K1 | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST,
    "normal": cv2.CALIB_FIX_K3,
    "wide": cv2.CALIB_RATIONAL_MODEL,
}
#: Which of fx, fy, cx, cy, k1, k2, p1, p2, k3, k4, k5, k6 are fitted.
FREE = {"none": range(4), "normal": range(8), "wide": range(12)}
#: A view whose error is this many times the median of all views is left out.
OUTLIER = 3.0
#: Views that no calibration can do without.
FEWEST_VIEWS = 5
FOLDS = 4
#: The steepest view must be tilted this much [deg], or focal length and distance cannot be told apart.
LEAST_TILT = 15.0


@dataclass(frozen=True, eq=False)
class IntrinsicsReport:
    """What came out.

    Attributes:
        camera: the intrinsics.
        rms: reprojection error of the views used [px].
        held_out_rms: the same on views that the intrinsics were not fitted to [px].
        deviations: standard deviations of fx, fy, cx, cy [px].
        view_rms: per view [px], NaN for views left out.
        rejected: indices of the views left out because they disagree with the others.
        coverage: how well the views fill the image.
    """

    camera: CalibratedCamera
    rms: float
    held_out_rms: float
    deviations: Array
    view_rms: Array
    rejected: tuple[int, ...]
    coverage: Coverage


@dataclass(frozen=True, eq=False)
class _Fit:
    camera: CalibratedCamera
    rms: float
    deviations: Array
    view_rms: Array


def calibrate_intrinsics(
    views: Sequence[Corners],
    width: int,
    height: int,
    lens: Lens = "normal",
    min_views: int = 10,
    max_rms: float = 1.0,
) -> IntrinsicsReport:
    """Fit intrinsics to views of one board.

    Args:
        views: corners per image.
        width: of the images [px].
        height: of the images [px].
        lens: "none" for images without distortion, "normal" (k1, k2, p1, p2), "wide" (k1 to k6, p1, p2).
        min_views: refuse fewer usable views; below 10 the figures mean little.
        max_rms: refuse a worse fit [px].

    Raises:
        CalibrationError: too few views, views all alike, or a fit that is too bad to use.
    """
    least = max(min_views, FEWEST_VIEWS)
    if len(views) < least:
        raise CalibrationError(
            f"{len(views)} usable views of the board; at least {least} are needed. Take more, with the board in every "
            "part of the image, near and far, and tilted by 20 to 50 degrees about both axes"
        )
    kept, fit = _without_outliers(views, (width, height), lens)
    if len(kept) < least:
        raise CalibrationError(
            f"only {len(kept)} of {len(views)} views agree with each other; at least {least} are needed. Is the board "
            "flat, and are its numbers of squares and their size as stated?"
        )
    used = [views[i] for i in kept]
    coverage = coverage_of(used, fit.camera)
    if coverage.steepest < LEAST_TILT:
        raise CalibrationError(
            f"the steepest view is tilted by {coverage.steepest:.0f} degrees; at least {LEAST_TILT:.0f} are needed, or "
            "focal length and distance cannot be told apart. Add views tilted by 20 to 50 degrees about both axes"
        )
    if fit.rms > max_rms:
        raise CalibrationError(
            f"reprojection error is {fit.rms:.2f} px; at most {max_rms} px is accepted. Use a rigid flat board, a "
            "still camera and sharp images, and check the board's numbers of squares"
        )
    errors = np.full(len(views), np.nan)
    errors[kept] = fit.view_rms
    rejected = tuple(i for i in range(len(views)) if i not in set(kept))
    held_out = _held_out(used, (width, height), lens)
    return IntrinsicsReport(fit.camera, fit.rms, held_out, fit.deviations, errors, rejected, coverage)


def _without_outliers(views: Sequence[Corners], size: tuple[int, int], lens: Lens) -> tuple[list[int], _Fit]:
    """Indices of the views that agree, and the fit to them. The worst view goes first."""
    kept = list(range(len(views)))
    while True:
        fit = _fit([views[i] for i in kept], size, lens)
        worst = int(np.argmax(fit.view_rms))
        if len(kept) <= FEWEST_VIEWS or fit.view_rms[worst] <= OUTLIER * float(np.median(fit.view_rms)):
            return kept, fit
        del kept[worst]


def _fit(views: Sequence[Corners], size: tuple[int, int], lens: Lens) -> _Fit:
    points: list[Any] = [view.points.astype(np.float32) for view in views]
    pixels: list[Any] = [view.pixels.astype(np.float32) for view in views]
    start = np.array([[max(size), 0, (size[0] - 1) / 2], [0, max(size), (size[1] - 1) / 2], [0, 0, 1.0]])
    try:
        rms, K, d, _, _, deviations, _, errors = cv2.calibrateCameraExtended(
            points, pixels, size, start, np.zeros(5), flags=FLAGS[lens] | cv2.CALIB_USE_INTRINSIC_GUESS
        )
    except cv2.error as error:
        raise CalibrationError(f"OpenCV could not fit the views: {str(error).strip()}") from error
    model, count = ("rational_polynomial", 8) if lens == "wide" else ("plumb_bob", 5)
    camera = CalibratedCamera(PinholeCamera.from_K(*size, K), _plain(d)[:count], model)
    camera = replace(camera, covariance=_covariance(views, camera, lens))
    return _Fit(camera, float(rms), _plain(deviations)[:4], _plain(errors))


def _covariance(views: Sequence[Corners], camera: CalibratedCamera, lens: Lens) -> Array:
    """Covariance of the intrinsics with the boards' poses integrated out; zero for what was not fitted."""
    free = FREE[lens]
    information, squares, count = np.zeros((len(free), len(free))), 0.0, 0
    for view in views:
        pose = board_pose(view, camera)
        seen = pose.camera_from_board.apply(view.points)
        _, slope = camera.projection_slopes(seen)
        slope = slope.reshape(-1, slope.shape[2])
        # What of the intrinsics' effect the board's pose cannot make up for.
        shift = pose.intrinsics_slope
        lost = (slope.T @ slope - shift.T @ pose.information @ shift)[np.ix_(free, free)]
        information += lost
        squares, count = squares + float(np.sum(pose.residuals**2)), count + 2 * len(view.points)
    variance = squares / max(count - 6 * len(views) - len(free), 1)
    covariance = np.zeros((4 + len(camera.distortion),) * 2)
    covariance[np.ix_(free, free)] = variance * np.linalg.inv(information)
    return covariance


def _plain(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64).ravel()


def _held_out(views: Sequence[Corners], size: tuple[int, int], lens: Lens) -> float:
    """Error on each quarter of the views with intrinsics from the rest; only the poses are fitted to them [px]."""
    squares: list[Array] = []
    for fold in range(FOLDS):
        rest = [view for i, view in enumerate(views) if i % FOLDS != fold]
        if len(rest) < FEWEST_VIEWS - 1:
            return float("nan")
        camera = _fit(rest, size, lens).camera
        squares += [
            np.sum(board_pose(view, camera).residuals ** 2, axis=1)
            for i, view in enumerate(views)
            if i % FOLDS == fold
        ]
    return float(np.sqrt(np.mean(np.concatenate(squares))))
