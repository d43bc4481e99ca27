"""X and Z of A_i X C_i = Z by weighted least squares, with the uncertainty that the data themselves show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, minimize
from scipy.stats import t as student

from ..geometry import SE3, matrix_to_rotvec, rotvec_to_matrix
from .camera import skew

Array = NDArray[np.float64]

#: The robot is never believed to know its pose better than this (m, rad): rounding in its messages.
LEAST_ROBOT_NOISE = (1e-6, 1e-6)
ROUNDS = 3
DRAWS = 20_000


@dataclass(frozen=True, eq=False)
class Poses:
    """The data of A_i X C_i = Z.

    Attributes:
        a: base_from_gripper, or gripper_from_base if the camera is not on the gripper.
        c: camera_from_board.
        seen_covariance: (n, 6, 6) of ``c``: translation [m] and rotation vector [rad], optical axes.
        camera_on_gripper: True for eye-in-hand.
        intrinsics_slope: (n, 6, k) of ``c`` with the camera's intrinsics, whose error all samples share.
        intrinsics_covariance: (k, k).
    """

    a: Sequence[SE3]
    c: Sequence[SE3]
    seen_covariance: Array
    camera_on_gripper: bool
    intrinsics_slope: Array
    intrinsics_covariance: Array

    def subset(self, chosen: NDArray) -> Poses:
        """The samples that a mask (n,) or indices choose."""
        index = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        a, c = [self.a[int(i)] for i in index], [self.c[int(i)] for i in index]
        return replace(
            self,
            a=a,
            c=c,
            seen_covariance=self.seen_covariance[index],
            intrinsics_slope=self.intrinsics_slope[index],
        )

    def residuals(self, x: SE3, z: SE3) -> Array:
        """(n, 6): board expected minus board seen, translation [m] and rotation vector [rad], optical axes."""
        ra, ta, rc, tc = _stacked(self.a), _moves(self.a), _stacked(self.c), _moves(self.c)
        in_a = np.einsum("nji,nj->ni", ra, z.translation - ta)
        moved = (in_a - x.translation) @ x.rotation - tc
        turned = x.rotation.T @ np.einsum("nji,jk->nik", ra, z.rotation) @ np.swapaxes(rc, 1, 2)
        return np.hstack((moved, matrix_to_rotvec(turned)))

    def covariances(self, x: SE3, robot_noise: tuple[float, float]) -> Array:
        """(n, 6, 6) of the residuals: what the corners leave open, and what the robot's own pose does.

        The robot's error moves the gripper by ``robot_noise`` (m, rad) per axis; an angle grows into a distance on the
        way from the gripper to the board.
        """
        inverse = x.inverse()
        gripper = (
            np.tile(inverse.translation, (len(self.c), 1))
            if self.camera_on_gripper
            else np.array([(inverse @ a.inverse()).translation for a in self.a])
        )
        lever = skew(_moves(self.c) - gripper)
        variance_t, variance_r = robot_noise[0] ** 2, robot_noise[1] ** 2
        noise = np.zeros_like(self.seen_covariance)
        noise[:, :3, :3] = variance_t * np.eye(3) + variance_r * lever @ np.swapaxes(lever, 1, 2)
        noise[:, :3, 3:] = -variance_r * lever
        noise[:, 3:, :3] = -variance_r * np.swapaxes(lever, 1, 2)
        noise[:, 3:, 3:] = variance_r * np.eye(3)
        return self.seen_covariance + noise


@dataclass(frozen=True, eq=False)
class Refined:
    """The solution.

    Attributes:
        x: the camera on its mount.
        z: the board on its own.
        covariance: (12, 12) of x and z: translations [m] and rotation vectors [rad], outer axes.
        robot_noise: estimated error of the robot's pose per axis (m, rad).
        freedom: degrees of freedom that the estimate of the noise had.
    """

    x: SE3
    z: SE3
    covariance: Array
    robot_noise: tuple[float, float]
    freedom: int

    def distances(self, poses: Poses) -> Array:
        """Squared Mahalanobis distance (n,) of each sample from the solution."""
        residuals = poses.residuals(self.x, self.z)
        covariances = poses.covariances(self.x, self.robot_noise)
        return np.einsum("ni,ni->n", residuals, np.linalg.solve(covariances, residuals[..., None])[..., 0])

    def bound95(self) -> tuple[float, float]:
        """Distance [m] and angle [rad] from the truth that 95 of 100 such calibrations stay within."""
        rng = np.random.default_rng(0)
        root = np.linalg.cholesky(self.covariance[:6, :6])
        # Student's t: the noise is known only from as many residuals as there are.
        stretch = student.ppf(0.975, self.freedom) / student.ppf(0.975, np.inf)
        draws = rng.standard_normal((DRAWS, 6)) @ root.T * stretch
        distance = np.quantile(np.linalg.norm(draws[:, :3], axis=1), 0.95)
        angle = np.quantile(np.linalg.norm(draws[:, 3:], axis=1), 0.95)
        return float(distance), float(angle)

    def left_out(self, poses: Poses) -> Array:
        """Residual (n, 6) of each sample from the solution of all others."""
        rows = []
        for i in range(len(poses.a)):
            others = poses.subset(np.flatnonzero(np.arange(len(poses.a)) != i))
            x, z, _ = _solve(others, self.x, self.z, self.robot_noise)
            rows.append(poses.subset(np.array([i])).residuals(x, z)[0])
        return np.array(rows)


def refine(poses: Poses, x: SE3, z: SE3) -> Refined:
    """Refine a starting point on samples that all count. The noise is estimated along the way."""
    noise = _noise_at_first(poses.residuals(x, z))
    for _ in range(ROUNDS):
        x, z, jacobian = _solve(poses, x, z, noise)
        noise = _restricted_likelihood(poses, x, z, jacobian, noise)
    x, z, jacobian = _solve(poses, x, z, noise)
    whitened = _whitened(poses.covariances(x, noise), jacobian)
    # Residuals that even the noise allowed for does not explain widen the interval, too.
    freedom = max(len(jacobian) - 12 - 2, 1)
    rest = _whitened(poses.covariances(x, noise), poses.residuals(x, z).reshape(-1, 1))
    excess = max(1.0, float(np.sum(rest**2)) / (freedom + 2))
    covariance = np.linalg.inv(whitened.T @ whitened)
    # Wrong intrinsics shift all samples in concert, which their scatter cannot show.
    slope = poses.intrinsics_slope.reshape(len(jacobian), -1)
    shift = covariance @ whitened.T @ _whitened(poses.covariances(x, noise), slope)
    common = shift @ poses.intrinsics_covariance @ shift.T
    return Refined(x, z, np.asarray(excess * covariance + common, np.float64), noise, freedom)


def _noise_at_first(residuals: Array) -> tuple[float, float]:
    distance = float(np.sqrt(np.mean(residuals[:, :3] ** 2)))
    angle = float(np.sqrt(np.mean(residuals[:, 3:] ** 2)))
    return max(distance, LEAST_ROBOT_NOISE[0]), max(angle, LEAST_ROBOT_NOISE[1])


def _solve(poses: Poses, x: SE3, z: SE3, noise: tuple[float, float]) -> tuple[SE3, SE3, Array]:
    """X and Z of least weighted squares, and the Jacobian (6 n, 12) of the residuals there."""
    roots = np.linalg.inv(np.linalg.cholesky(poses.covariances(x, noise)))

    def weighted(step: Array) -> Array:
        residuals = poses.residuals(moved(x, step[:6]), moved(z, step[6:]))
        return np.einsum("nij,nj->ni", roots, residuals).ravel()

    found = least_squares(weighted, np.zeros(12), method="lm", x_scale=[1e-3] * 12)
    x, z = moved(x, found.x[:6]), moved(z, found.x[6:])
    return x, z, _jacobian(poses, x, z)


def _jacobian(poses: Poses, x: SE3, z: SE3, step: float = 1e-5) -> Array:
    """(6 n, 12) by central differences."""
    columns = []
    for unit in np.eye(12) * step:
        ahead = poses.residuals(moved(x, unit[:6]), moved(z, unit[6:]))
        behind = poses.residuals(moved(x, -unit[:6]), moved(z, -unit[6:]))
        columns.append((ahead - behind).ravel() / (2.0 * step))
    return np.stack(columns, axis=1)


def _restricted_likelihood(
    poses: Poses, x: SE3, z: SE3, jacobian: Array, start: tuple[float, float]
) -> tuple[float, float]:
    """The robot noise (m, rad) under which these residuals are most likely, with X and Z integrated out."""
    residuals = poses.residuals(x, z).reshape(-1, 1)
    both = np.hstack((jacobian, residuals))

    def cost(logarithms: Array) -> float:
        noise = (float(np.exp(logarithms[0])), float(np.exp(logarithms[1])))
        covariances = poses.covariances(x, noise)
        white = _whitened(covariances, both)
        q, r = np.linalg.qr(white[:, :12])
        rest = white[:, 12] - q @ (q.T @ white[:, 12])
        determinant = float(np.sum(np.linalg.slogdet(covariances)[1]))
        return 0.5 * determinant + float(np.sum(np.log(np.abs(np.diag(r))))) + 0.5 * float(rest @ rest)

    bounds = [(np.log(least), np.log(0.1)) for least in LEAST_ROBOT_NOISE]
    inside = np.clip(np.log(start), *np.transpose(bounds))
    found = minimize(cost, inside, method="Nelder-Mead", bounds=bounds, options={"xatol": 0.02})
    return float(np.exp(found.x[0])), float(np.exp(found.x[1]))


def _whitened(covariances: Array, rows: Array) -> Array:
    """``rows`` (6 n, k) of unit covariance."""
    roots = np.linalg.cholesky(covariances)
    white = np.linalg.solve(roots, rows.reshape(len(covariances), 6, -1))
    return np.asarray(white, dtype=np.float64).reshape(len(rows), -1)


def moved(pose: SE3, step: Array) -> SE3:
    """``pose`` moved by ``step`` (6,): translation and rotation vector along the outer axes."""
    return SE3(rotvec_to_matrix(step[3:]) @ pose.rotation, pose.translation + step[:3])


def _stacked(poses: Sequence[SE3]) -> Array:
    return np.array([pose.rotation for pose in poses])


def _moves(poses: Sequence[SE3]) -> Array:
    return np.array([pose.translation for pose in poses])
