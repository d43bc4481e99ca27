"""Adaptive action grid: end-effector steps to discrete tokens and back (SpatialVLA, arXiv 2501.15830, section III-B).

A step becomes three tokens. Translation is split in polar coordinates (theta, phi, r), rotation per axis, the gripper
in two. Cell edges hold equal probability under a Gaussian fitted to the data and truncated to the range, so that
cells are fine where motion is common. Unlike the released grid, ours can say "no motion": translations shorter than
``r_edges[0]`` and rotations below the dead zone have a token of their own.

Token ids are local to their slot (0 .. cells - 1); a model adds its own offsets.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]
ANGLE_SIGMA = 2.0  # rad
SLOTS = ("translation", "rotation", "gripper")


def equal_probability_edges(mean: float, std: float, low: float, high: float, cells: int) -> Array:
    """Edges (cells + 1,) of equal mass under the Gaussian (mean, std) truncated to [low, high]."""
    if not (std > 0.0 and high > low and cells >= 1):
        raise ValueError(
            f"grid needs std > 0, high > low, cells >= 1; got std={std}, [{low}, {high}], cells={cells}"
        )
    mass_low, mass_high = ndtr((low - mean) / std), ndtr((high - mean) / std)
    edges = np.clip(mean + std * ndtri(np.linspace(mass_low, mass_high, cells + 1)), low, high)
    edges[0], edges[-1] = low, high
    return edges


def polar(xyz: ArrayLike) -> Array:
    """Cartesian (..., 3) to (theta from +z in [0, pi], phi in [-pi, pi], r)."""
    x, y, z = np.moveaxis(np.asarray(xyz, dtype=np.float64), -1, 0)
    return np.stack(
        (np.arctan2(np.hypot(x, y), z), np.arctan2(y, x), np.sqrt(x * x + y * y + z * z)), axis=-1
    )


def cartesian(theta_phi_r: ArrayLike) -> Array:
    """Inverse of :func:`polar`."""
    theta, phi, r = np.moveaxis(np.asarray(theta_phi_r, dtype=np.float64), -1, 0)
    return (
        np.stack((np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)), axis=-1)
        * r[..., None]
    )


def _cell(edges: Array, values: Array) -> NDArray[np.int64]:
    """Index of the half-open cell [edge_i, edge_i+1); outside falls into the end cells."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _centres(edges: Array) -> Array:
    return 0.5 * (edges[1:] + edges[:-1])


@dataclass(frozen=True, eq=False)
class ActionGrid:
    """Cell edges of every variable, and the scale that makes actions unit-sized.

    Attributes:
        theta, phi, r: translation edges [rad, rad, units].
        roll, pitch, yaw: edges of the three components of the rotation vector [units].
        translation_scale: metres per unit. rotation_scale: radians per unit.
        zero_motion: the last translation and the last rotation token mean "none"; translation is none below ``r[0]``
            units, rotation is none when every component lies below ``rotation_dead_zone`` units.
    """

    theta: Array
    phi: Array
    r: Array
    roll: Array
    pitch: Array
    yaw: Array
    translation_scale: float = 1.0
    rotation_scale: float = 1.0
    zero_motion: bool = True
    rotation_dead_zone: float = 0.0

    def __post_init__(self) -> None:
        for name in ("theta", "phi", "r", "roll", "pitch", "yaw"):
            edges = np.asarray(getattr(self, name), dtype=np.float64)
            if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
                raise ValueError(f"grid edges of {name} must increase strictly, got {edges.tolist()}")
            object.__setattr__(self, name, edges)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of cells of (theta, phi, r, roll, pitch, yaw)."""
        return tuple(len(e) - 1 for e in (self.theta, self.phi, self.r, self.roll, self.pitch, self.yaw))

    @property
    def cells(self) -> tuple[int, int, int]:
        """Number of tokens of each slot: translation, rotation, gripper."""
        t, p, r, roll, pitch, yaw = self.shape
        zero = int(self.zero_motion)
        return t * p * r + zero, roll * pitch * yaw + zero, 2

    def encode(self, deltas: ArrayLike, gripper: ArrayLike) -> NDArray[np.int64]:
        """Steps to tokens.

        Args:
            deltas: (..., 6) translation [m] and rotation vector [rad].
            gripper: (...,) opening in [0, 1]; 0.5 and above is open.

        Returns:
            (..., 3) token ids, local to their slots.
        """
        d = np.asarray(deltas, dtype=np.float64)
        if d.shape[-1] != 6 or not np.isfinite(d).all():
            raise ValueError(f"deltas must be finite with shape (..., 6), got shape {d.shape}")
        opening = np.asarray(gripper, dtype=np.float64)
        if not np.isfinite(opening).all():
            raise ValueError(f"gripper openings must be finite, in [0, 1]; got {opening.tolist()}")
        translation = self.translation_cell(polar(d[..., :3] / self.translation_scale))
        rotation = self.rotation_cell(d[..., 3:] / self.rotation_scale)
        return np.stack((translation, rotation, (opening >= 0.5).astype(np.int64)), axis=-1)

    def translation_cell(self, theta_phi_r: ArrayLike) -> NDArray[np.int64]:
        """Translation token (...,) of polar coordinates (..., 3) [rad, rad, units]; float32 is compared as it is."""
        theta, phi, r = np.moveaxis(np.asarray(theta_phi_r), -1, 0)
        _, n_phi, n_r, *_ = self.shape
        flat = (_cell(self.theta, theta) * n_phi + _cell(self.phi, phi)) * n_r + _cell(self.r, r)
        return np.where(r < self.r[0], self.cells[0] - 1, flat) if self.zero_motion else flat

    def rotation_cell(self, rotation: ArrayLike) -> NDArray[np.int64]:
        """Rotation token (...,) of rotations (..., 3) [units]; float32 is compared as it is."""
        w = np.asarray(rotation)
        *_, n_pitch, n_yaw = self.shape
        flat = _cell(self.roll, w[..., 0]) * n_pitch + _cell(self.pitch, w[..., 1])
        flat = flat * n_yaw + _cell(self.yaw, w[..., 2])
        if not self.zero_motion:
            return flat
        return np.where(np.all(np.abs(w) < self.rotation_dead_zone, axis=-1), self.cells[1] - 1, flat)

    def decode(self, token_ids: ArrayLike) -> tuple[Array, Array]:
        """Tokens (..., 3) to steps: deltas (..., 6) [m, rad] at the cell mid-points, and gripper (...,) 0 or 1.

        Raises:
            ValueError: naming slot and position of the first token outside its slot.
        """
        ids = np.asarray(token_ids)
        if ids.shape[-1:] != (3,):
            raise ValueError(f"tokens must have shape (..., 3) = {SLOTS}, got {ids.shape}: a step is short")
        outside = (ids < 0) | (ids >= np.array(self.cells))
        if outside.any():
            where = tuple(int(i) for i in np.argwhere(outside)[0])
            slot = where[-1]
            raise ValueError(
                f"token {int(ids[where])} at step {where[:-1]} is not a {SLOTS[slot]} token; "
                f"that slot has ids 0..{self.cells[slot] - 1}"
            )
        translation, rotation = self.centres()
        deltas = np.concatenate((translation[ids[..., 0]], rotation[ids[..., 1]]), axis=-1)
        return deltas, ids[..., 2].astype(np.float64)

    def centres(self) -> tuple[Array, Array]:
        """Mid-point of every translation cell (cells, 3) [m] and of every rotation cell (cells, 3) [rad]."""
        polar_centres = np.meshgrid(_centres(self.theta), _centres(self.phi), _centres(self.r), indexing="ij")
        translation = cartesian(np.stack(polar_centres, -1).reshape(-1, 3)) * self.translation_scale
        axes = np.meshgrid(_centres(self.roll), _centres(self.pitch), _centres(self.yaw), indexing="ij")
        rotation = np.stack(axes, -1).reshape(-1, 3) * self.rotation_scale
        if self.zero_motion:
            translation = np.concatenate((translation, np.zeros((1, 3))))
            rotation = np.concatenate((rotation, np.zeros((1, 3))))
        return translation, rotation

    @classmethod
    def fit(
        cls,
        deltas: ArrayLike,
        *,
        cells: tuple[int, int, int, int, int, int] = (16, 32, 8, 16, 16, 16),
        translation_scale: float,
        rotation_scale: float,
        dead_zone: float = 0.0,
        min_sigma: float = 0.0,
    ) -> ActionGrid:
        """Fit a grid to the steps (N, 6) of a data set.

        Two things differ in a grid with a dead zone, which is ours and not the released one. The cells of r grow by a
        constant factor: what is left of the way to a target shrinks by a factor per step, so cells must be fine near
        zero. And the Gaussians of the angles are no narrower than ``ANGLE_SIGMA``, so that a rare direction, such as
        lifting straight up, keeps cells of its own.

        Args:
            deltas: translation [m] and rotation vector [rad]; steps inside the dead zone do not count.
            cells: cells of (theta, phi, r, roll, pitch, yaw).
            translation_scale, rotation_scale: size of the longest step [m], [rad].
            dead_zone: what counts as no motion, as a share of the longest step; 0 gives a grid without zero token.
            min_sigma: floor for the standard deviations, in units.
        """
        d = np.asarray(deltas, dtype=np.float64).reshape(-1, 6)
        unit = d / np.array([translation_scale] * 3 + [rotation_scale] * 3)
        tpr = polar(unit[:, :3])
        moving = tpr[tpr[:, 2] >= dead_zone]
        turning = unit[np.any(np.abs(unit[:, 3:]) >= dead_zone, axis=-1), 3:]
        ranges = [(0.0, np.pi), (-np.pi, np.pi), (dead_zone, float(max(1.0, tpr[:, 2].max())))] + [
            (-1.0, 1.0)
        ] * 3
        floors = [ANGLE_SIGMA if dead_zone > 0.0 else min_sigma] * 2 + [min_sigma] * 4
        edges = []
        for values, (low, high), n, floor in zip((*moving.T, *turning.T), ranges, cells, floors, strict=True):
            sigma = max(float(values.std()), floor, 1e-3 * (high - low))
            edges.append(equal_probability_edges(float(values.mean()), sigma, low, high, n))
        theta, phi, r, roll, pitch, yaw = edges
        if dead_zone > 0.0:
            r = np.geomspace(*ranges[2], cells[2] + 1)
        return cls(
            theta, phi, r, roll, pitch, yaw, translation_scale, rotation_scale, dead_zone > 0.0, dead_zone
        )

    def to_json(self) -> str:
        """As JSON; :meth:`from_json` reads it back exactly."""
        return json.dumps(asdict(self), default=np.ndarray.tolist)

    @classmethod
    def from_json(cls, text: str) -> ActionGrid:
        """From the text of :meth:`to_json`."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)
