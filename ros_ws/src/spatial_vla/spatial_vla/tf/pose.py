"""Rigid transforms as plain tuples of floats.

A look-up composes a dozen transforms; on single poses, Python floats are ten times faster than small numpy arrays.
"""

from __future__ import annotations

from math import acos, sin, sqrt
from typing import NamedTuple

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # x, y, z, w


class Pose(NamedTuple):
    """Translation [m] and unit quaternion (x, y, z, w)."""

    translation: Vector
    rotation: Quaternion


IDENTITY = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Hamilton product."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def rotate(q: Quaternion, v: Vector) -> Vector:
    """Apply a unit quaternion to a vector: v + 2 w (u x v) + 2 u x (u x v)."""
    x, y, z, w = q
    vx, vy, vz = v
    tx, ty, tz = 2 * (y * vz - z * vy), 2 * (z * vx - x * vz), 2 * (x * vy - y * vx)
    return (
        vx + w * tx + y * tz - z * ty,
        vy + w * ty + z * tx - x * tz,
        vz + w * tz + x * ty - y * tx,
    )


def compose(a: Pose, b: Pose) -> Pose:
    """``a`` after ``b``: the pose of b's frame seen from outside a."""
    (ax, ay, az), q = a
    bx, by, bz = rotate(q, b.translation)
    return Pose((ax + bx, ay + by, az + bz), multiply(q, b.rotation))


def invert(p: Pose) -> Pose:
    """The transform in the other direction."""
    x, y, z, w = p.rotation
    q = (-x, -y, -z, w)
    tx, ty, tz = rotate(q, p.translation)
    return Pose((-tx, -ty, -tz), q)


def interpolate(a: Pose, b: Pose, share: float) -> Pose:
    """Between ``a`` (share 0) and ``b`` (share 1): translation linear, rotation along the shorter great arc."""
    (ax, ay, az), (bx, by, bz) = a.translation, b.translation
    translation = (ax + share * (bx - ax), ay + share * (by - ay), az + share * (bz - az))
    return Pose(translation, slerp(a.rotation, b.rotation, share))


def slerp(a: Quaternion, b: Quaternion, share: float) -> Quaternion:
    """Spherical linear interpolation of unit quaternions (Shoemake 1985), along the shorter arc."""
    dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
    sign = 1.0 if dot >= 0.0 else -1.0
    angle = acos(min(1.0, dot * sign))
    if angle < 1e-6:
        wa, wb = 1.0 - share, share * sign
    else:
        s = sin(angle)
        wa, wb = sin((1.0 - share) * angle) / s, sign * sin(share * angle) / s
    x, y, z, w = (wa * p + wb * q for p, q in zip(a, b, strict=True))
    n = sqrt(x * x + y * y + z * z + w * w)
    return x / n, y / n, z / n, w / n
