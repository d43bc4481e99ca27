"""Is the calibration still true? Without a board: by a plane of the scene whose place is known, such as a table.

A plane fixes three of a camera's six degrees of freedom: its height above the plane, and its tilt about the two axes in
it. A camera that was shifted along the plane, or turned about the plane's normal, sees the same plane as before; only
a board tells of that.

What stands on the plane, or moves before it, is left out by least trimmed squares (Rousseeuw and Van Driessen,
"Computing LTS regression for large data sets", 2006), which holds as long as most of what is seen is the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan, ceil, hypot, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3, PinholeCamera
from .drift import SHARE, Drift, RecentErrors
from .errors import CalibrationError

Array = NDArray[np.float64]

#: Fewer points than this are no picture of a plane; more than MOST say little more.
LEAST, MOST = 200, 3000
#: Share of the points that have to lie on one plane.
MAJORITY = 0.6
#: What lies within three standard deviations of the plane is on it, but never what is farther off than this [m].
ROUGHNESS = 0.03
#: No depth is better than this, however well the points fit [m], and so many neighbours err alike.
LEAST_NOISE, ALIKE = 5e-4, 25
#: Three points out of a plane are drawn so often that with MAJORITY of them on it a good draw is missed once in 1e5.
DRAWS = 50
#: Standard deviation of a normal variable, by that of its half nearest to 0.
OF_THE_NEAR_HALF = 2.648


class Unclear(CalibrationError):
    """A picture from which nothing follows about the plane; the text says why."""


@dataclass(frozen=True)
class PlaneRegion:
    """Part of a plane parallel to x and y of its frame: ranges of x and y, and its height z [m]."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: float

    def __post_init__(self) -> None:
        if not (
            np.isfinite((*self.x, *self.y, self.height)).all()
            and self.x[0] < self.x[1]
            and self.y[0] < self.y[1]
        ):
            raise CalibrationError(
                f"region x {self.x}, y {self.y} at z {self.height} is no rectangle: low before high"
            )

    @classmethod
    def from_text(cls, text: str) -> PlaneRegion:
        """From five numbers. Raises CalibrationError if they are not."""
        try:
            x0, x1, y0, y1, height = map(float, text.split())
        except ValueError:
            wanted = "x_low x_high y_low y_high z in metres, such as '0.3 0.8 -0.4 0.4 0.0'"
            raise CalibrationError(f"region {text!r} is not five numbers; expected {wanted}") from None
        return cls((x0, x1), (y0, y1), height)

    def __str__(self) -> str:
        return f"x {self.x[0]:g} to {self.x[1]:g}, y {self.y[0]:g} to {self.y[1]:g}, z {self.height:g}"

    def inside(self, points: Array) -> Array:
        """Those of the points (n, 3) that lie above, on or below the region."""
        low, high = np.array((self.x, self.y)).T
        return points[np.all((points[:, :2] >= low) & (points[:, :2] <= high), axis=1)]


@dataclass(frozen=True)
class PlaneFit:
    """A plane seen in a region.

    Attributes:
        offset: how much too high it is at the region's centre [m]. slopes: dz/dx and dz/dy.
        noise: standard deviation of a point [m]. share: of the points that lie on it.
        uncertainty: standard errors of offset [m] and tilt [rad], as if ALIKE neighbours were one point.
    """

    offset: float
    slopes: tuple[float, float]
    noise: float
    share: float
    uncertainty: tuple[float, float]

    @property
    def tilt(self) -> float:
        """Angle to the plane that should be seen [rad]."""
        return atan(hypot(*self.slopes))


def fit_plane(points: Array, region: PlaneRegion) -> PlaneFit:
    """The plane that most of the points (n, 3) in the region lie on, in the region's frame.

    Raises:
        Unclear: too few points, or too few of them on one plane.
    """
    seen = region.inside(points)
    if len(seen) < LEAST:
        raise Unclear(f"only {len(seen)} depth points in the region {region}; {LEAST} are needed")
    stride = ceil(len(seen) / MOST)
    seen = seen[::stride]
    centre = (np.mean(region.x), np.mean(region.y))
    design = np.column_stack((np.ones(len(seen)), seen[:, :2] - centre))
    heights = seen[:, 2] - region.height
    plane, noise = _least_trimmed(design, heights)
    on_it = np.zeros(len(seen), bool)
    for _ in range(4):
        on_it = np.abs(heights - design @ plane) <= min(3.0 * max(noise, LEAST_NOISE), ROUGHNESS)
        if on_it.mean() < MAJORITY:
            raise Unclear(
                f"only {on_it.mean():.0%} of the depth points in the region {region} lie on one plane; "
                f"{MAJORITY:.0%} are needed: something is in front of it"
            )
        plane = np.linalg.lstsq(design[on_it], heights[on_it], rcond=None)[0]
        noise = float(np.std(heights[on_it] - design[on_it] @ plane))
    information = design[on_it].T @ design[on_it]
    if np.linalg.cond(information) > 1e9:
        raise Unclear(f"the depth points in the region {region} lie on a line")
    covariance = max(noise, LEAST_NOISE) ** 2 * max(ALIKE / stride, 1.0) * np.linalg.inv(information)
    uncertainty = sqrt(covariance[0, 0]), sqrt(covariance[1, 1] + covariance[2, 2])
    slopes = float(plane[1]), float(plane[2])
    return PlaneFit(float(plane[0]), slopes, noise, float(on_it.mean()), uncertainty)


def _least_trimmed(design: Array, heights: Array) -> tuple[Array, float]:
    """The plane (3,) with the least sum of squares over the half of the points nearest to it, and its noise."""
    half = len(heights) // 2 + 1
    drawn = np.random.default_rng(0).integers(0, len(heights), (DRAWS, 3))
    planes = np.linalg.pinv(design[drawn]) @ heights[drawn][..., None]
    squares = (heights - planes[..., 0] @ design.T) ** 2
    sums = np.partition(squares, half, axis=1)[:, :half].sum(axis=1)
    best = squares[int(np.argmin(sums))]
    plane: NDArray[Any] = np.zeros(3)
    least = np.inf
    while (total := float(np.partition(best, half)[:half].sum())) < least:
        least = total
        near = np.argpartition(best, half)[:half]
        plane = np.linalg.lstsq(design[near], heights[near], rcond=None)[0]
        best = (heights - design @ plane) ** 2
    return plane, OF_THE_NEAR_HALF * sqrt(least / half)


class PlaneMonitor:
    """Where a plane of the scene seems to be, by the last looks at it."""

    def __init__(self, region: PlaneRegion, tolerance: tuple[float, float], views: int = 5) -> None:
        """Watch a region; ``tolerance`` and ``views`` as in :class:`.drift.RecentErrors`."""
        self._region, self._errors = region, RecentErrors(tolerance, views)

    def clear(self) -> None:
        """Forget the looks: time or scene have changed."""
        self._errors.clear()

    def observe(
        self, scene_from_camera: SE3, camera: PinholeCamera, depth: NDArray[np.float32]
    ) -> Drift | None:
        """The drift with another depth image (height, width) [m], 0 or NaN where unknown; None until there are enough.

        Raises:
            Unclear: nothing follows from this image.
        """
        points = camera.back_project(depth).reshape(-1, 3)
        seen = scene_from_camera.apply(points[np.isfinite(points[:, 2])])
        fit = fit_plane(seen, self._region)
        allowed, (distance, angle) = self._errors.tolerance, fit.uncertainty
        if distance > SHARE * allowed[0] or angle > SHARE * allowed[1]:
            raise Unclear(
                f"the plane is seen to {1e3 * distance:.1f} mm and {np.degrees(angle):.2f} degrees only, too little "
                f"for a tolerance of {1e3 * allowed[0]:.1f} mm and {np.degrees(allowed[1]):.2f} degrees; give a "
                "larger region, or widen the tolerance"
            )
        return self._errors.add(abs(fit.offset), fit.tilt)
