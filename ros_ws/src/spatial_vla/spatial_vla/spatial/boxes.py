"""Oriented boxes in a frame whose z axis points up, one at a time and stacked into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from ..geometry import SE3

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Signs of the corners (8, 3); bit k of the index says on which side of axis k a corner lies.
SIGNS = np.array([[1.0 if i >> k & 1 else -1.0 for k in range(3)] for i in range(8)])
#: Edges (12, 2) and faces (6, 4, in order around) as indices of corners.
EDGES = np.array([(i, i | 1 << k) for k in range(3) for i in range(8) if not i >> k & 1])
FACES = np.array([[0, 2, 6, 4], [1, 3, 7, 5], [0, 1, 5, 4], [2, 3, 7, 6], [0, 1, 3, 2], [4, 5, 7, 6]])
#: An axis nearer to the vertical than this cosine makes a box upright (0.3 degrees).
_UPRIGHT = np.cos(np.deg2rad(0.3))
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box: ``centre`` (3,) and full side lengths ``size`` (3,) in metres, ``rotation`` (3, 3) frame_from_box.

    The box's own +x is its front, +y its left, +z its top, where the object has such sides.
    """

    centre: Array
    size: Array
    rotation: Array

    def __post_init__(self) -> None:
        centre, size = np.asarray(self.centre, np.float64), np.asarray(self.size, np.float64)
        rotation = np.asarray(self.rotation, np.float64)
        if centre.shape != (3,) or size.shape != (3,) or rotation.shape != (3, 3):
            shapes = f"{centre.shape}, {size.shape} and {rotation.shape}"
            raise ValueError(f"a box needs centre (3,), size (3,) and rotation (3, 3), got {shapes}")
        if not (np.isfinite(centre).all() and np.isfinite(rotation).all() and (size > 0.0).all()):
            raise ValueError(
                f"box at {centre.tolist()} with sides {size.tolist()} m is no box; expected finite numbers and sides "
                "above 0. Leave out objects that were not measured."
            )
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4):
            raise ValueError(
                f"box rotation {rotation.tolist()} is not orthonormal; expected a rotation matrix"
            )
        object.__setattr__(self, "centre", centre)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "rotation", rotation)

    @classmethod
    def from_nine(cls, numbers: ArrayLike) -> OrientedBox:
        """From (cx, cy, cz, sx, sy, sz, a0, a1, a2) with rotation Rz(a0) Rx(a1) Ry(a2), as scan annotations have it."""
        n = np.asarray(numbers, np.float64)
        if n.shape != (9,):
            raise ValueError(
                f"a box of shape {n.shape} cannot be read; expected 9 numbers: centre, sides, angles z x y"
            )
        return cls(n[:3], n[3:6], Rotation.from_euler("ZXY", n[6:]).as_matrix())

    def nine(self) -> list[float]:
        """The inverse of ``from_nine``."""
        return BoxArray.of([self]).nines()[0].tolist()

    def moved(self, motion: SE3) -> OrientedBox:
        """The box after a rigid motion (or expressed in another frame)."""
        return OrientedBox(motion.apply(self.centre), self.size, motion.rotation @ self.rotation)


@dataclass(frozen=True, eq=False)
class Footprints:
    """Rectangles on the ground: centre (n, 2), axes (n, 2, 2) as rows, half extents (n, 2).

    Exactly the shadow of a box that stands upright; around the shadow of a tilted one (``upright`` (n,) is False).
    """

    centre: Array
    axes: Array
    half: Array
    upright: Mask

    def over(self, points: Array) -> tuple[Array, Array]:
        """How far points (p, 2) are beyond the faces along the two axes (p, n) each [m]; negative inside."""
        x, y = points[:, :1] - self.centre[:, 0], points[:, 1:] - self.centre[:, 1]
        (ax, ay), (bx, by) = self.axes[:, 0].T, self.axes[:, 1].T
        return np.abs(x * ax + y * ay) - self.half[:, 0], np.abs(x * bx + y * by) - self.half[:, 1]

    def distance(self, points: Array) -> Array:
        """Signed distance (p, n) of points (p, 2) to the rectangles [m]; negative inside."""
        u, v = self.over(points)
        most = np.maximum(u, v)
        return np.where(most > 0.0, np.sqrt(u.clip(0.0) ** 2 + v.clip(0.0) ** 2), most)

    @property
    def overlap(self) -> Array:
        """How deep the rectangles are in each other (n, n) [m]; minus a lower bound of the gap where they are not."""
        across = np.abs(np.einsum("ikc,jlc->ijkl", self.axes, self.axes))
        shift = np.abs(np.einsum("ikc,ijc->ijk", self.axes, self.centre[:, None] - self.centre[None]))
        depth = (self.half[:, None] + np.einsum("ijkl,jl->ijk", across, self.half) - shift).min(axis=-1)
        return np.minimum(depth, depth.T)

    def take(self, rows: NDArray[np.intp]) -> Footprints:
        """Some of the rectangles."""
        return Footprints(self.centre[rows], self.axes[rows], self.half[rows], self.upright[rows])

    def corners(self) -> Array:
        """Corners (n, 4, 2), in order around."""
        signs = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)], np.float64)
        return self.centre[:, None] + np.einsum("sk,nkc->nsc", signs, self.half[..., None] * self.axes)


class BoxArray:
    """N boxes as arrays: ``centre`` (n, 3), ``half`` (n, 3) half side lengths, ``rotation`` (n, 3, 3)."""

    def __init__(self, centre: Array, half: Array, rotation: Array) -> None:
        self.centre, self.half, self.rotation = centre, half, rotation

    @classmethod
    def of(cls, boxes: Sequence[OrientedBox]) -> BoxArray:
        """The boxes as arrays."""
        centre = np.array([b.centre for b in boxes], np.float64).reshape(-1, 3)
        half = np.array([b.size for b in boxes], np.float64).reshape(-1, 3) / 2.0
        return cls(centre, half, np.array([b.rotation for b in boxes], np.float64).reshape(-1, 3, 3))

    def grown(self, by: ArrayLike) -> BoxArray:
        """The boxes with ``by`` [m], one number or (n,), more on every side."""
        return BoxArray(
            self.centre, self.half + np.reshape(np.asarray(by, np.float64), (-1, 1)), self.rotation
        )

    def __len__(self) -> int:
        return len(self.centre)

    def nines(self) -> Array:
        """Each box as nine numbers (n, 9), see ``OrientedBox.from_nine``."""
        angles = Rotation.from_matrix(self.rotation).as_euler("ZXY") if len(self) else np.zeros((0, 3))
        return np.concatenate((self.centre, 2.0 * self.half, angles), axis=1)

    def quaternions(self) -> Array:
        """Rotations as quaternions (n, 4), xyzw."""
        return Rotation.from_matrix(self.rotation).as_quat() if len(self) else np.zeros((0, 4))

    def take(self, rows: NDArray[np.intp]) -> BoxArray:
        """Some of the boxes, or some of them several times."""
        return BoxArray(self.centre[rows], self.half[rows], self.rotation[rows])

    @cached_property
    def corners(self) -> Array:
        """Corners (n, 8, 3), in the order of ``SIGNS``."""
        return self.centre[:, None] + np.einsum("nij,nkj->nki", self.rotation, SIGNS * self.half[:, None])

    @cached_property
    def radius(self) -> Array:
        """Half diagonals (n,) [m]."""
        return np.linalg.norm(self.half, axis=1)

    @cached_property
    def low(self) -> Array:
        """Lowest point (n,) [m]."""
        return self.corners[..., 2].min(axis=1)

    @cached_property
    def high(self) -> Array:
        """Highest point (n,) [m]."""
        return self.corners[..., 2].max(axis=1)

    def reach(self, axes: Array) -> Array:
        """Half extent (n, m) of each box along unit axes (m, 3) [m]."""
        return np.einsum("nmj,nj->nm", np.abs(np.einsum("mi,nij->nmj", axes, self.rotation)), self.half)

    def local(self, points: Array) -> Array:
        """Points (p, 3) in the boxes' own frames (p, n, 3)."""
        return np.einsum("nij,pni->pnj", self.rotation, points[:, None] - self.centre)

    def depth_inside(self, points: Array) -> Array:
        """How deep points (p, 3) are inside each box (p, n) [m]; negative outside."""
        return (self.half - np.abs(self.local(points))).min(axis=-1)

    def entry(self, eye: Array, points: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
        """Where segments from ``eye`` (3,) to points (p, 3) enter and leave one box each, of index ``rows`` (p,).

        Returns:
            entry, exit (p,): fraction of the way; a segment misses its box where entry > exit.
        """
        start = np.einsum("nij,ni->nj", self.rotation, eye - self.centre)[rows]
        way = np.einsum("pij,pi->pj", self.rotation[rows], points - eye)
        inverse = 1.0 / np.where(np.abs(way) < _TINY, _TINY, way)
        middle, reach = -start * inverse, self.half[rows] * np.abs(inverse)
        return (middle - reach).max(axis=1), (middle + reach).min(axis=1)

    @cached_property
    def footprints(self) -> Footprints:
        """What the boxes cover on the ground."""
        flat = np.swapaxes(self.rotation, 1, 2)[..., :2] * self.half[..., None]
        length = np.linalg.norm(flat, axis=-1)
        vertical = np.abs(self.rotation[:, 2]).max(axis=1)
        # The first axis that is not the vertical one, so that an upright box keeps its own x as the rectangle's x.
        first = np.where(np.abs(self.rotation[:, 2, 0]) < 0.7, 0, 1)
        rows = np.arange(len(self))
        along = flat[rows, first] / length[rows, first][:, None] if len(self) else np.zeros((0, 2))
        axes = np.stack((along, np.stack((-along[:, 1], along[:, 0]), axis=1)), axis=1)
        half = np.abs(np.einsum("nkc,nac->nka", axes, flat)).sum(axis=-1)
        return Footprints(self.centre[:, :2], axes, half, vertical > _UPRIGHT)
