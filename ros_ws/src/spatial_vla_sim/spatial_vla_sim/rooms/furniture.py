"""Furniture out of primitives.

A piece stands on z = 0 around x = y = 0; its back is towards -y, its front towards +y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import textures as t
from .parts import Material, Palette, Part, moved


@dataclass(frozen=True)
class Piece:
    """Parts, how much floor they cover (half extents in x and y) and how high they are [m]."""

    parts: list[Part]
    footprint: tuple[float, float]
    height: float


def box(
    label: str, low: tuple[float, float, float], high: tuple[float, float, float], material: Material
) -> Part:
    """A box between two corners [m]."""
    (ax, ay, az), (bx, by, bz) = low, high
    centre = (float(ax + bx) / 2, float(ay + by) / 2, float(az + bz) / 2)
    half = (float(bx - ax) / 2, float(by - ay) / 2, float(bz - az) / 2)
    return Part(label, "box", centre, half, material)


def cylinder(
    label: str, x: float, y: float, low: float, high: float, radius: float, material: Material
) -> Part:
    """An upright cylinder between two heights [m]."""
    return Part(label, "cylinder", (x, y, (low + high) / 2), (radius, radius, (high - low) / 2), material)


def table(palette: Palette) -> Piece:
    """A table with four legs, and things on it."""
    rng = palette.rng
    w, d, h = rng.uniform(0.5, 0.9), rng.uniform(0.35, 0.5), rng.uniform(0.68, 0.78)
    top = palette.material(t.wood, t.marble, t.plain, metres=0.9)
    legs = palette.material(t.wood, t.plain)
    parts = [box("table", (-w, -d, h - 0.04), (w, d, h), top)]
    for x in (-w + 0.06, w - 0.06):
        for y in (-d + 0.06, d - 0.06):
            parts.append(box("table", (x - 0.03, y - 0.03, 0), (x + 0.03, y + 0.03, h - 0.04), legs))
    return Piece(parts + things(palette, w, d, h, int(rng.integers(3, 8))), (w, d), h + 0.2)


def low_table(palette: Palette) -> Piece:
    """A round or square coffee table, and things on it."""
    rng = palette.rng
    r, h = rng.uniform(0.3, 0.45), rng.uniform(0.35, 0.48)
    top, foot = palette.material(t.wood, t.marble, t.tiles, metres=0.7), palette.material(t.plain, t.wood)
    if rng.random() < 0.5:
        parts = [
            cylinder("table", 0, 0, h - 0.04, h, r, top),
            cylinder("table", 0, 0, 0, h - 0.04, 0.06, foot),
        ]
        parts.append(cylinder("table", 0, 0, 0, 0.03, 0.6 * r, foot))
    else:
        parts = [box("table", (-r, -r, h - 0.05), (r, r, h), top)]
        parts += [
            box("table", (x, -r + 0.03, 0), (x + 0.06, r - 0.03, h - 0.05), foot) for x in (-r, r - 0.06)
        ]
    return Piece(parts + things(palette, 0.65 * r, 0.65 * r, h, int(rng.integers(1, 4))), (r, r), h + 0.2)


def chair(palette: Palette) -> Piece:
    """A chair."""
    rng = palette.rng
    s, h, top = rng.uniform(0.19, 0.23), rng.uniform(0.42, 0.47), rng.uniform(0.8, 0.95)
    seat, frame = palette.material(t.fabric, t.wood, t.plain), palette.material(t.wood, t.plain)
    parts = [box("chair", (-s, -s, h - 0.05), (s, s, h), seat)]
    for x in (-s, s - 0.04):
        parts.append(box("chair", (x, -s, 0), (x + 0.04, -s + 0.04, top), frame))
        parts.append(box("chair", (x, s - 0.04, 0), (x + 0.04, s, h - 0.05), frame))
    parts.append(box("chair", (-s + 0.04, -s, h + 0.15), (s - 0.04, -s + 0.03, top), seat))
    return Piece(parts, (s, s), top)


def sofa(palette: Palette) -> Piece:
    """A sofa with two or three seats, and cushions."""
    rng = palette.rng
    w, d, seats = rng.uniform(0.7, 1.0), rng.uniform(0.4, 0.46), int(rng.integers(2, 4))
    cloth = palette.material(t.fabric, t.plain, metres=0.8)
    other = palette.material(t.fabric, metres=0.5, variants=4)
    parts = [
        box("sofa", (-w, -d, 0.06), (w, d, 0.28), cloth),
        box("sofa", (-w, -d, 0.28), (w, -d + 0.2, 0.8), cloth),
    ]
    parts += [box("sofa", (x, -d + 0.2, 0.28), (x + 0.16, d, 0.6), cloth) for x in (-w, w - 0.16)]
    width = (2 * w - 0.32) / seats
    for i in range(seats):
        x = -w + 0.16 + i * width
        parts.append(box("sofa", (x + 0.01, -d + 0.2, 0.28), (x + width - 0.01, d + 0.02, 0.43), cloth))
        if rng.random() < 0.6:
            middle = x + width * float(rng.uniform(0.35, 0.65))
            parts.append(Part("sofa", "ellipsoid", (middle, -d + 0.27, 0.57), (0.2, 0.09, 0.16), other))
    return Piece(parts, (w, d), 0.8)


def bed(palette: Palette) -> Piece:
    """A bed with head board, blanket and pillows."""
    rng = palette.rng
    w, d = rng.uniform(0.5, 0.9), rng.uniform(0.98, 1.05)
    frame, sheet = palette.material(t.wood, t.fabric), palette.material(t.plain, t.fabric, metres=0.7)
    blanket = palette.material(t.fabric, t.rug, metres=0.9, variants=4)
    parts = [
        box("bed", (-w, -d, 0.05), (w, d, 0.3), frame),
        box("bed", (-w, -d - 0.05, 0.0), (w, -d, rng.uniform(0.8, 1.2)), frame),
        box("bed", (-w + 0.03, -d, 0.3), (w - 0.03, d - 0.03, 0.48), sheet),
        box("bed", (-w + 0.01, -d + 0.65, 0.3), (w - 0.01, d - 0.01, 0.52), blanket),
    ]
    for x in [-w / 2, w / 2] if w > 0.65 else [0.0]:
        parts.append(Part("bed", "ellipsoid", (float(x), -d + 0.3, 0.53), (0.32, 0.2, 0.09), sheet))
    return Piece(parts, (w, d), 1.2)


def shelf(palette: Palette) -> Piece:
    """A book case, filled with books and things."""
    rng = palette.rng
    w, d, h, boards = (
        rng.uniform(0.4, 0.6),
        rng.uniform(0.13, 0.18),
        rng.uniform(1.1, 2.0),
        int(rng.integers(4, 6)),
    )
    body = palette.material(t.wood, t.plain, metres=0.9)
    parts = [box("shelf", (-w, -d, 0), (w, -d + 0.02, h), body)]
    parts += [box("shelf", (x, -d, 0), (x + 0.025, d, h), body) for x in (-w, w - 0.025)]
    clear = (h - 0.03) / (boards - 1)
    for i in range(boards):
        parts.append(box("shelf", (-w, -d, i * clear), (w, d, i * clear + 0.025), body))
        if i < boards - 1:
            parts += _books(palette, -w + 0.03, w - 0.03, d, i * clear + 0.025, clear - 0.06)
    return Piece(parts, (w, d), h)


def _books(palette: Palette, left: float, right: float, depth: float, z: float, height: float) -> list[Part]:
    rng, parts, x = palette.rng, [], left
    while x < right - 0.08:
        if rng.random() < 0.06:
            x += rng.uniform(0.05, 0.2)
            continue
        width, tall = rng.uniform(0.025, 0.06), height * rng.uniform(0.55, 1.0)
        front = depth - rng.uniform(0.02, 0.07)
        cover = palette.material(t.plain, t.fabric, t.poster, metres=0.3, variants=3)
        tint = tuple(float(c) for c in t.colour(rng, (0.0, 0.7), (0.5, 1.0)))
        material = Material(cover.texture, cover.metres, cover.offset, (tint[0], tint[1], tint[2]))
        parts.append(box("book", (x, -depth + 0.03, z), (x + width, front, z + tall), material))
        x += width + 0.003
    return parts


def cabinet(palette: Palette) -> Piece:
    """A chest of drawers, and things on it."""
    rng = palette.rng
    w, d, h = rng.uniform(0.35, 0.75), rng.uniform(0.2, 0.27), rng.uniform(0.6, 1.1)
    body, front = (
        palette.material(t.wood, t.plain, metres=0.9),
        palette.material(t.wood, t.plain, t.checker, metres=0.8),
    )
    metal = palette.material(t.plain)
    parts = [box("cabinet", (-w, -d, 0), (w, d, h), body)]
    rows, columns = int(rng.integers(2, 5)), int(rng.integers(1, 3))
    dx, dz = 2 * w / columns, (h - 0.08) / rows
    for i in range(columns):
        for j in range(rows):
            x, z = -w + i * dx, 0.06 + j * dz
            parts.append(
                box("cabinet", (x + 0.015, d, z + 0.01), (x + dx - 0.015, d + 0.015, z + dz - 0.01), front)
            )
            middle = x + dx / 2
            grip = z + 0.6 * dz
            parts.append(
                box(
                    "cabinet",
                    (middle - 0.06, d + 0.015, grip),
                    (middle + 0.06, d + 0.035, grip + 0.015),
                    metal,
                )
            )
    return Piece(
        parts + things(palette, 0.85 * w, 0.7 * d, h, int(rng.integers(1, 5))), (w, d + 0.04), h + 0.2
    )


def desk(palette: Palette) -> Piece:
    """A desk against the wall, with a screen, a keyboard and things."""
    rng = palette.rng
    w, d, h = rng.uniform(0.55, 0.8), rng.uniform(0.3, 0.38), rng.uniform(0.7, 0.77)
    top, side = palette.material(t.wood, t.plain, metres=0.9), palette.material(t.wood, t.plain, metres=0.9)
    parts = [box("table", (-w, -d, h - 0.035), (w, d, h), top)]
    parts += [box("table", (x, -d, 0), (x + 0.04, d, h - 0.035), side) for x in (-w, w - 0.04)]
    black = palette.material(t.plain)
    picture = palette.material(t.poster, metres=None, variants=4)
    x, s = float(rng.uniform(-0.2, 0.2)), float(rng.uniform(0.22, 0.32))
    parts.append(box("screen", (x - s, -d + 0.12, h + 0.1), (x + s, -d + 0.15, h + 0.1 + 1.2 * s), picture))
    parts.append(box("screen", (x - 0.03, -d + 0.08, h), (x + 0.03, -d + 0.12, h + 0.3), black))
    parts.append(box("screen", (x - 0.1, -d + 0.05, h), (x + 0.1, -d + 0.2, h + 0.015), black))
    keys = palette.material(t.tiles, t.checker, metres=0.2)
    parts.append(box("screen", (x - 0.2, d - 0.25, h), (x + 0.2, d - 0.12, h + 0.02), keys))
    parts += moved(things(palette, 0.15, 0.7 * d, h, int(rng.integers(1, 4))), w - 0.2, 0.0)
    return Piece(parts, (w, d), h + 0.6)


def lamp(palette: Palette) -> Piece:
    """A standing lamp."""
    rng = palette.rng
    h, r = rng.uniform(1.3, 1.7), rng.uniform(0.15, 0.22)
    pole, shade = palette.material(t.plain), palette.material(t.plain, t.fabric, t.checker)
    parts = [cylinder("lamp", 0, 0, 0, 0.03, 0.15, pole), cylinder("lamp", 0, 0, 0.03, h - 0.25, 0.015, pole)]
    parts.append(cylinder("lamp", 0, 0, h - 0.28, h, r, shade))
    return Piece(parts, (r, r), h)


def plant(palette: Palette) -> Piece:
    """A pot plant: a cloud of leaves over a pot."""
    rng = palette.rng
    pot, leaf = palette.material(t.plain, t.checker, t.bricks), palette.material(t.speckle, metres=0.25)
    h, r = rng.uniform(0.2, 0.35), rng.uniform(0.12, 0.18)
    parts = [cylinder("plant", 0, 0, 0, h, r, pot), cylinder("plant", 0, 0, h, h + 0.3, 0.02, pot)]
    green = Material(leaf.texture, leaf.metres, leaf.offset, (0.45, float(rng.uniform(0.7, 0.95)), 0.35))
    for _ in range(int(rng.integers(6, 13))):
        x, y = rng.uniform(-0.2, 0.2, 2)
        size = rng.uniform([0.06, 0.04, 0.05], [0.16, 0.12, 0.14])
        z = h + 0.25 + float(rng.uniform(0.0, 0.55))
        parts.append(
            Part(
                "plant",
                "ellipsoid",
                (float(x), float(y), z),
                tuple(size.tolist()),
                green,
                float(rng.uniform(0, 3)),
            )
        )
    return Piece(parts, (0.25, 0.25), h + 0.9)


def crate(palette: Palette) -> Piece:
    """One to three stacked boxes."""
    rng, parts, z = palette.rng, [], 0.0
    w, d = rng.uniform(0.18, 0.32), rng.uniform(0.15, 0.28)
    for _ in range(int(rng.integers(1, 4))):
        h, k, yaw = rng.uniform(0.15, 0.32), rng.uniform(0.75, 1.0), float(rng.uniform(-0.15, 0.15))
        material = palette.material(t.wood, t.plain, t.poster, t.checker, t.bricks, metres=0.5, variants=3)
        parts += moved([box("box", (-k * w, -k * d, z), (k * w, k * d, z + h), material)], 0.0, 0.0, 0.0, yaw)
        z += h
    return Piece(parts, (1.1 * w, 1.1 * d), z)


def things(palette: Palette, w: float, d: float, z: float, count: int) -> list[Part]:
    """Small objects on a surface of half extents ``w`` and ``d`` at height ``z``, apart from each other."""
    rng, parts, taken = palette.rng, [], []
    for _ in range(8 * count):
        if len(parts) == count:
            break
        at = rng.uniform([-w + 0.08, -d + 0.08], [w - 0.08, d - 0.08]) if min(w, d) > 0.09 else np.zeros(2)
        if any(np.hypot(*(at - other)) < 0.17 for other in taken):
            continue
        taken.append(at)
        parts.append(_thing(palette, float(at[0]), float(at[1]), z))
    return parts


def _thing(palette: Palette, x: float, y: float, z: float) -> Part:
    rng, material = palette.rng, palette.any(metres=0.25)
    kind = rng.random()
    if kind < 0.3:
        r = float(rng.uniform(0.03, 0.055))
        return cylinder("cylinder", x, y, z, z + float(rng.uniform(0.06, 0.22)), r, material)
    if kind < 0.5:
        r = float(rng.uniform(0.04, 0.085))
        return Part("ball", "ellipsoid", (x, y, z + r), (r, r, r), material)
    half = rng.uniform([0.04, 0.03, 0.015], [0.1, 0.08, 0.1])
    return Part(
        "box",
        "box",
        (x, y, z + float(half[2])),
        tuple(half.tolist()),
        material,
        float(rng.uniform(-np.pi, np.pi)),
    )
