"""Camera trajectories: smooth ways around the scene, so that consecutive views overlap."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from spatial_vla.geometry import SE3, PinholeCamera

from ..model import VISIBLE_GROUP
from ..scene import look_at
from .room import Shell

Array = NDArray[np.float64]
#: Between neighbouring views the camera goes round by no more than this [rad].
LARGEST_STEP = np.deg2rad(16.0)
#: How near anything may come to the camera [m].
CLEARANCE = 0.35
_TRIES = 40
_GROUPS = np.zeros(6, np.uint8)
_GROUPS[VISIBLE_GROUP] = 1

Draw = Callable[[np.random.Generator, int], tuple[Array, Array]]


def camera(rng: np.random.Generator, width: int, height: int) -> PinholeCamera:
    """Intrinsics with a vertical field of view between 48 and 64 degrees, pixel centres at integers."""
    focal = height / 2.0 / np.tan(np.deg2rad(rng.uniform(48.0, 64.0)) / 2.0)
    return PinholeCamera(width, height, focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)


def around_room(shell: Shell) -> Draw:
    """Eyes (count, 3) on a wavy ellipse inside the room and targets across it."""

    def draw(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        angle, t = _sweep(rng, count)
        radius = rng.uniform(0.45, 0.85) + 0.15 * _wave(rng, t)
        reach = np.array([shell.x - 0.5, shell.y - 0.5])
        eyes = np.stack((np.cos(angle), np.sin(angle)), axis=1) * radius[:, None] * reach
        targets = -eyes * rng.uniform(0.2, 0.8) + 0.35 * np.stack((_wave(rng, t), _wave(rng, t)), axis=1)
        rise = shell.floor + rng.uniform(1.1, 1.7) + 0.25 * _wave(rng, t)
        aim = shell.floor + rng.uniform(0.5, 1.0) + 0.3 * _wave(rng, t)
        return np.column_stack((eyes, rise)), np.column_stack((targets, aim))

    return draw


def around_point(centre: tuple[float, float, float]) -> Draw:
    """Eyes (count, 3) on a hemisphere over ``centre``, 0.6 to 1.4 m away, and targets near it."""

    def draw(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
        angle, t = _sweep(rng, count)
        distance = rng.uniform(0.75, 1.2) + 0.15 * _wave(rng, t)
        lift = np.deg2rad(rng.uniform(28.0, 50.0) + 12.0 * _wave(rng, t))
        eyes = np.stack((np.cos(lift) * np.cos(angle), np.cos(lift) * np.sin(angle), np.sin(lift)), axis=1)
        drift = 0.08 * np.stack([_wave(rng, t) for _ in range(3)], axis=1)
        return np.array(centre) + eyes * distance[:, None], np.array(centre) + drift

    return draw


def trajectory(
    rng: np.random.Generator, model: mujoco.MjModel, data: mujoco.MjData, draw: Draw, count: int
) -> list[SE3]:
    """``count`` poses world_from_camera (optical frame) that keep clear of everything.

    Draws again while a camera is too close to something; the clearest of 40 is taken if none is far enough.
    """
    best, eyes, targets = -1.0, np.empty(0), np.empty(0)
    for _ in range(_TRIES):
        candidate = draw(rng, count)
        clear = min(clearance(model, data, eye) for eye in candidate[0])
        if clear > best:
            best, (eyes, targets) = clear, candidate
        if best > CLEARANCE:
            break
    roll = np.deg2rad(3.0) * _wave(rng, np.linspace(0.0, 1.0, count))
    return [_pose(eyes[i], targets[i], float(roll[i])) for i in range(count)]


def clearance(model: mujoco.MjModel, data: mujoco.MjData, eye: Array) -> float:
    """Distance [m] from a point to what surrounds it, along 200 directions."""
    count = len(_DIRECTIONS)
    geom, distance = np.empty(count, np.int32), np.empty(count)
    mujoco.mj_multiRay(
        model, data, eye, _DIRECTIONS.ravel(), _GROUPS, True, -1, geom, distance, None, count, 100.0
    )
    return float(np.where(geom >= 0, distance, 100.0).min())


def _pose(eye: Array, target: Array, roll: float) -> SE3:
    level = look_at(tuple(eye.tolist()), tuple(target.tolist()))
    return SE3(level.rotation @ Rotation.from_rotvec([0.0, 0.0, roll]).as_matrix(), level.translation)


def _sweep(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Angles (count,) [rad] of a way round in either direction, and time (count,) from 0 to 1."""
    total = min(np.deg2rad(rng.uniform(220.0, 360.0)), LARGEST_STEP * (count - 1))
    t = np.linspace(0.0, 1.0, count)
    return rng.uniform(-np.pi, np.pi) + rng.choice([-1.0, 1.0]) * total * t, t


def _wave(rng: np.random.Generator, t: Array) -> Array:
    """A smooth random function of time in [-1, 1]."""
    slow, fast = rng.uniform(-np.pi, np.pi, 2)
    return 0.7 * np.sin(2 * np.pi * t + slow) + 0.3 * np.sin(4 * np.pi * t + fast)


def _sphere(count: int) -> Array:
    """Unit vectors (count, 3) spread evenly (Fibonacci lattice)."""
    i = np.arange(count) + 0.5
    z, angle = 1.0 - 2.0 * i / count, np.pi * (1.0 + np.sqrt(5.0)) * i
    radius = np.sqrt(1.0 - z**2)
    return np.ascontiguousarray(np.stack((radius * np.cos(angle), radius * np.sin(angle), z), axis=1))


_DIRECTIONS = _sphere(200)
