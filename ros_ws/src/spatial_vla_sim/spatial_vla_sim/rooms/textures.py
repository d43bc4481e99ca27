"""Procedural textures: periodic pictures of ``SIZE`` x ``SIZE`` texels, float32 RGB in 0..1, one function per material.

Every function draws its colours from ``rng``; equal generators give equal pictures.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
SIZE = 256


def colour(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.1, 0.7),
    value: tuple[float, float] = (0.35, 0.95),
) -> Array:
    """A random RGB colour (3,) of any hue."""
    return np.array(
        colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value)), np.float32
    )


def noise(rng: np.random.Generator, falloff: float = 1.5, stretch: tuple[float, float] = (1.0, 1.0)) -> Array:
    """Periodic Gaussian noise (SIZE, SIZE), mean 0 and deviation 1, with amplitude 1 / frequency**falloff.

    Args:
        stretch: how much longer features are along rows (v) and along columns (u).
    """
    v = np.fft.fftfreq(SIZE)[:, None] * SIZE * stretch[0]
    u = np.fft.rfftfreq(SIZE)[None] * SIZE * stretch[1]
    radius = np.hypot(u, v)
    radius[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) / radius**falloff
    field = np.fft.irfft2(spectrum, s=(SIZE, SIZE))
    return (field / field.std()).astype(np.float32)


def plaster(rng: np.random.Generator) -> Array:
    """Painted wall: a pale colour with stains and grain."""
    paint = colour(rng, (0.03, 0.4), (0.65, 0.97))
    return _shaded(paint, 0.05 * noise(rng, 2.0) + 0.025 * noise(rng, 0.4))


def wallpaper(rng: np.random.Generator) -> Array:
    """Stripes, or a lattice of dots, in two pale colours."""
    ground, figure = colour(rng, (0.05, 0.4), (0.6, 0.95)), colour(rng, (0.1, 0.6), (0.4, 0.9))
    u, v = _grid()
    count = int(rng.integers(4, 9))
    if rng.random() < 0.5:
        mask = (u * count) % 1.0 < rng.uniform(0.2, 0.6)
    else:
        row = np.floor(v * count)
        mask = np.hypot((u * count + 0.5 * (row % 2)) % 1.0 - 0.5, (v * count) % 1.0 - 0.5) < rng.uniform(
            0.15, 0.4
        )
    return _shaded(np.where(mask[..., None], figure, ground), 0.04 * noise(rng, 1.8) + 0.02 * noise(rng, 0.4))


def bricks(rng: np.random.Generator) -> Array:
    """Brickwork: eight courses of four bricks."""
    return _courses(rng, rows=8, columns=4, joint=0.09, offset=0.5, saturation=(0.25, 0.6), value=(0.4, 0.75))


def tiles(rng: np.random.Generator) -> Array:
    """Square tiles in one to three colours."""
    count = int(rng.choice([2, 4, 6]))
    return _courses(
        rng, rows=count, columns=count, joint=0.03, offset=0.0, saturation=(0.02, 0.4), value=(0.45, 0.95)
    )


def planks(rng: np.random.Generator) -> Array:
    """Floor boards, each of its own shade, with grain along u."""
    image = _courses(
        rng, rows=8, columns=2, joint=0.02, offset=float(rng.uniform(0.2, 0.8)), hue=(0.05, 0.11)
    )
    return _shaded(image, 0.09 * noise(rng, 1.0, (1.0, 14.0)))


def wood(rng: np.random.Generator) -> Array:
    """A wooden board: rings stretched along u."""
    light = _wood_colour(rng)
    rings = np.sin(rng.uniform(8.0, 20.0) * (noise(rng, 2.2, (1.0, 6.0)) * 0.35))
    return _shaded(light, 0.08 * rings + 0.08 * noise(rng, 0.9, (1.0, 16.0)))


def fabric(rng: np.random.Generator) -> Array:
    """Woven cloth, plain or with a check."""
    ground, check = colour(rng, (0.15, 0.75), (0.3, 0.9)), colour(rng, (0.1, 0.7), (0.25, 0.95))
    u, v = _grid()
    image = np.broadcast_to(ground, (SIZE, SIZE, 3)).copy()
    if rng.random() < 0.6:
        count, width = int(rng.integers(3, 8)), rng.uniform(0.15, 0.5)
        image += 0.5 * ((u * count) % 1.0 < width)[..., None] * (check - ground)
        image += 0.5 * ((v * count) % 1.0 < width)[..., None] * (check - ground)
    weave = np.sin(u * 2 * np.pi * 64) * np.sin(v * 2 * np.pi * 64)
    return _shaded(image, 0.05 * weave + 0.06 * noise(rng, 1.4))


def rug(rng: np.random.Generator) -> Array:
    """A rug that is one whole picture: border, field, and nested diamonds."""
    u, v = _grid()
    edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    diamond = np.abs(u - 0.5) + np.abs(v - 0.5)
    ring = np.floor(diamond * rng.uniform(6.0, 16.0)).astype(int) % 3
    image = np.stack([colour(rng, (0.3, 0.8), (0.25, 0.85)) for _ in range(3)])[ring]
    zigzag = (np.abs((u * 12) % 1.0 - 0.5) + np.abs((v * 12) % 1.0 - 0.5)) < 0.35
    image[(edge < 0.12) & zigzag] = colour(rng, (0.3, 0.8), (0.6, 0.95))
    image[edge < 0.03] = colour(rng, (0.3, 0.8), (0.2, 0.6))
    return _shaded(image, 0.06 * noise(rng, 1.2) + 0.03 * noise(rng, 0.1))


def marble(rng: np.random.Generator) -> Array:
    """Stone with veins."""
    veins = np.abs(np.sin(3.0 * noise(rng, 1.9)))
    return _shaded(
        colour(rng, (0.02, 0.25), (0.55, 0.95)), 0.22 * (np.sqrt(veins) - 0.7) + 0.02 * noise(rng, 0.5)
    )


def speckle(rng: np.random.Generator) -> Array:
    """Terrazzo: chips of two colours in a ground."""
    image = np.broadcast_to(colour(rng, (0.02, 0.3), (0.6, 0.95)), (SIZE, SIZE, 3)).copy()
    for _ in range(2):
        image[noise(rng, 1.1) > 1.3] = colour(rng, (0.1, 0.7), (0.2, 0.8))
    return _shaded(image, 0.03 * noise(rng, 0.8))


def plain(rng: np.random.Generator) -> Array:
    """Lacquer or plastic: one colour, hardly any structure."""
    return _shaded(colour(rng, (0.1, 0.9), (0.3, 0.95)), 0.035 * noise(rng, 1.8))


def checker(rng: np.random.Generator) -> Array:
    """A chequered pattern of two colours."""
    u, v = _grid()
    count = 2 * int(rng.integers(2, 5))
    odd = (np.floor(u * count) + np.floor(v * count)) % 2 > 0
    image = np.where(
        odd[..., None], colour(rng, (0.0, 0.6), (0.6, 0.97)), colour(rng, (0.1, 0.8), (0.15, 0.6))
    )
    return _shaded(image, 0.04 * noise(rng, 1.5))


def poster(rng: np.random.Generator) -> Array:
    """A picture to hang up: a sky-like gradient with discs, bars and polygons."""
    top, bottom = colour(rng), colour(rng)
    image = np.ascontiguousarray(top + _grid()[1][..., None] * (bottom - top), np.float32)
    for _ in range(int(rng.integers(5, 12))):
        points = rng.uniform(0, SIZE, 2) + rng.uniform(-70, 70, (int(rng.integers(3, 6)), 2))
        ink = [float(c) for c in colour(rng, (0.2, 0.9), (0.2, 1.0))]
        if rng.random() < 0.4:
            cv2.circle(image, (int(points[0, 0]), int(points[0, 1])), int(rng.integers(6, 40)), ink, -1)
        else:
            cv2.fillPoly(image, [points.astype(np.int32)], ink)
    frame = colour(rng, (0.1, 0.6), (0.15, 0.5))
    image[:10], image[-10:], image[:, :10], image[:, -10:] = frame, frame, frame, frame
    return _shaded(image, 0.03 * noise(rng, 1.5))


def view_outside(rng: np.random.Generator) -> Array:
    """What a window shows: sky over hills, bright, behind glazing bars."""
    u, v = _grid()
    sky = np.stack((0.75 + 0.2 * v, 0.85 + 0.12 * v, np.full_like(v, 0.99)), axis=-1).astype(np.float32)
    ridge = 0.6 + 0.08 * noise(rng, 2.0)[0]
    hill = colour(rng, (0.2, 0.5), (0.4, 0.7)) * np.array([0.8, 1.1, 0.7], np.float32)
    image = np.where((v > ridge[None])[..., None], hill, sky)
    bars = (
        (np.abs(u - 0.5) < 0.02)
        | (np.abs(v - 0.45) < 0.02)
        | (np.minimum(u, v) < 0.03)
        | (np.maximum(u, v) > 0.97)
    )
    image[bars] = 0.93
    return _shaded(image, 0.05 * noise(rng, 1.8))


def _courses(
    rng: np.random.Generator,
    rows: int,
    columns: int,
    joint: float,
    offset: float,
    saturation: tuple[float, float] = (0.3, 0.6),
    value: tuple[float, float] = (0.4, 0.8),
    hue: tuple[float, float] | None = None,
) -> Array:
    """Rows of blocks of individual shades between joints; ``joint`` is a fraction of a row's height."""
    u, v = _grid()
    row = np.floor(v * rows).astype(int)
    along = (u * columns + offset * row) % columns
    block = np.floor(along).astype(int)
    base = _wood_colour(rng) if hue else colour(rng, saturation, value)
    shades = base * rng.uniform(0.75, 1.2, (rows, columns, 1)) * rng.uniform(0.95, 1.05, (rows, columns, 3))
    if rng.random() < 0.4 and not hue:
        shades[rng.random((rows, columns)) < 0.4] *= colour(rng, (0.1, 0.5), (0.5, 1.0))
    aspect = rows / columns
    gap = ((v * rows) % 1.0 < joint) | (along % 1.0 < joint / aspect)
    grout = base * rng.uniform(0.35, 0.6) if hue else np.full(3, rng.uniform(0.45, 0.85))
    image = np.where(gap[..., None], grout, shades[row, block]).astype(np.float32)
    return _shaded(image, 0.05 * noise(rng, 1.3))


def _wood_colour(rng: np.random.Generator) -> Array:
    rgb = colorsys.hsv_to_rgb(rng.uniform(0.05, 0.11), rng.uniform(0.25, 0.65), rng.uniform(0.35, 0.85))
    return np.array(rgb, np.float32)


def _grid() -> tuple[Array, Array]:
    axis = ((np.arange(SIZE) + 0.5) / SIZE).astype(np.float32)
    u, v = np.meshgrid(axis, axis)
    return u, v


def _shaded(image: NDArray[np.floating], relative: NDArray[np.floating]) -> Array:
    """``image`` (SIZE, SIZE, 3) or one colour, made lighter and darker by ``relative`` (SIZE, SIZE)."""
    return np.clip(image * (1.0 + relative[..., None]), 0.0, 1.0).astype(np.float32)


Texture = Callable[[np.random.Generator], Array]
