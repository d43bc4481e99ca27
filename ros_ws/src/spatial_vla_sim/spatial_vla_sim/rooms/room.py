"""A furnished room: floor, four walls and a ceiling, pieces along the walls and in the middle, things on the walls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import furniture as f
from . import textures as t
from .furniture import Piece, box
from .parts import Material, Palette, Part, moved

_AT_WALLS = (f.sofa, f.bed, f.shelf, f.shelf, f.cabinet, f.cabinet, f.desk, f.table)
_ANYWHERE = (f.lamp, f.plant, f.crate, f.chair)
_IN_THE_MIDDLE = (f.table, f.low_table)
_THICK = 0.1


@dataclass(frozen=True)
class Shell:
    """Inner half extents of a room about x = y = 0, the height of its floor and of its ceiling [m]."""

    x: float
    y: float
    floor: float
    ceiling: float


def room(palette: Palette) -> tuple[Shell, list[Part]]:
    """A room and everything in it."""
    rng = palette.rng
    shell = Shell(rng.uniform(1.6, 2.6), rng.uniform(1.6, 2.6), 0.0, rng.uniform(2.3, 2.8))
    parts = enclosure(palette, shell) + hangings(palette, shell, count=int(rng.integers(4, 8)))
    taken: list[tuple[float, float, float, float]] = []
    furnish(palette, shell, parts, taken)
    if rng.random() < 0.7:
        w, d = rng.uniform(0.6, 1.1), rng.uniform(0.5, 0.8)
        mat = box("rug", (-w, -d, 0.0), (w, d, 0.012), palette.material(t.rug, metres=None))
        parts += moved([mat], 0.0, 0.0, 0.0, float(rng.uniform(-0.3, 0.3)))
    return shell, parts


def enclosure(palette: Palette, shell: Shell) -> list[Part]:
    """Floor, walls, ceiling and skirting boards."""
    x, y, low, high = shell.x, shell.y, shell.floor, shell.ceiling
    floor = palette.material(t.planks, t.tiles, t.checker, t.fabric, t.speckle, metres=1.6)
    ceiling = palette.material(t.plaster, t.tiles, metres=2.0)
    parts = [
        box("floor", (-x - _THICK, -y - _THICK, low - _THICK), (x + _THICK, y + _THICK, low), floor),
        box("ceiling", (-x - _THICK, -y - _THICK, high), (x + _THICK, y + _THICK, high + _THICK), ceiling),
    ]
    skirting = palette.material(t.wood, t.plain)
    for side in (-1, 1):
        paint = palette.material(t.plaster, t.wallpaper, t.bricks, metres=1.8)
        parts.append(_between("wall", (side * x, -y, low), (side * (x + _THICK), y, high), paint))
        parts.append(_between("wall", (side * x, -y, low), (side * (x - 0.015), y, low + 0.08), skirting))
        paint = palette.material(t.plaster, t.wallpaper, t.bricks, metres=1.8)
        parts.append(_between("wall", (-x, side * y, low), (x, side * (y + _THICK), high), paint))
        parts.append(_between("wall", (-x, side * y, low), (x, side * (y - 0.015), low + 0.08), skirting))
    return parts


def hangings(palette: Palette, shell: Shell, count: int) -> list[Part]:
    """A door, and windows and pictures on the walls, apart from each other."""
    rng, parts = palette.rng, []
    taken: list[tuple[int, float, float]] = []
    for number in range(count):
        wall = int(rng.integers(4))
        kind = "door" if number == 0 else str(rng.choice(["picture", "picture", "window"]))
        w = {"door": 0.42, "window": rng.uniform(0.4, 0.7), "picture": rng.uniform(0.2, 0.45)}[kind]
        length = shell.x if wall % 2 else shell.y
        along = float(rng.uniform(-length + w + 0.1, length - w - 0.1))
        if any(wall == other and abs(along - a) < w + b + 0.1 for other, a, b in taken):
            continue
        taken.append((wall, along, w))
        parts += _hung(palette, shell, kind, wall, along, w)
    return parts


def _hung(palette: Palette, shell: Shell, kind: str, wall: int, along: float, w: float) -> list[Part]:
    rng, floor = palette.rng, shell.floor
    if kind == "door":
        low, high, look = floor, floor + 2.05, palette.material(t.wood, t.plain, metres=1.2)
    elif kind == "window":
        low, high, look = floor + 0.95, floor + 2.1, palette.material(t.view_outside, metres=None)
    else:
        low, look = floor + float(rng.uniform(1.1, 1.4)), palette.material(t.poster, metres=None, variants=6)
        high = low + float(rng.uniform(0.4, 0.8))
    parts = [box(kind, (along - w, 0.0, low), (along + w, 0.03, high), look)]
    if kind != "picture":
        frame = palette.material(t.wood, t.plain)
        for x in (along - w - 0.06, along + w):
            parts.append(box(kind, (x, 0.0, low), (x + 0.06, 0.045, high + 0.06), frame))
        parts.append(box(kind, (along - w, 0.0, high), (along + w, 0.045, high + 0.06), frame))
    return _against(parts, shell, wall)


def _against(parts: list[Part], shell: Shell, wall: int) -> list[Part]:
    """Parts made with their back at y = 0, moved to a wall: 0 and 2 at -x and +x, 1 and 3 at -y and +y."""
    yaw = (-np.pi / 2, 0.0, np.pi / 2, np.pi)[wall]
    x, y = ((-shell.x, 0.0), (0.0, -shell.y), (shell.x, 0.0), (0.0, shell.y))[wall]
    return moved(parts, x, y, 0.0, yaw)


def furnish(
    palette: Palette, shell: Shell, parts: list[Part], taken: list[tuple[float, float, float, float]]
) -> None:
    """Add pieces to ``parts`` clear of the rectangles ``taken`` (x, y and half extents), which grow with them."""
    rng = palette.rng
    for make in rng.permutation(len(_AT_WALLS))[: int(rng.integers(4, 8))]:
        _place(palette, shell, parts, taken, _AT_WALLS[make], at_wall=True)
    middle: Callable[[Palette], Piece] = _IN_THE_MIDDLE[int(rng.integers(len(_IN_THE_MIDDLE)))]
    _place(palette, shell, parts, taken, middle, spread=0.35)
    for _ in range(int(rng.integers(2, 6))):
        _place(palette, shell, parts, taken, _ANYWHERE[int(rng.integers(len(_ANYWHERE)))])


def _place(
    palette: Palette,
    shell: Shell,
    parts: list[Part],
    taken: list[tuple[float, float, float, float]],
    make: Callable[[Palette], Piece],
    at_wall: bool = False,
    spread: float = 1.0,
) -> None:
    """Put a piece where it overlaps nothing; after 20 tries in vain it is left out."""
    rng, piece = palette.rng, make(palette)
    for _ in range(20):
        wall = int(rng.integers(4))
        quarter = wall % 2 == 0
        hx, hy = piece.footprint[::-1] if quarter else piece.footprint
        room_x, room_y = shell.x - hx - 0.06, shell.y - hy - 0.06
        if min(room_x, room_y) <= 0:
            continue
        x, y = rng.uniform(-room_x, room_x) * spread, rng.uniform(-room_y, room_y) * spread
        if at_wall and quarter:
            x = room_x * (-1, 0, 1)[wall]
        elif at_wall:
            y = room_y * (0, -1, 0, 1)[wall]
        if any(abs(x - a) < hx + c + 0.05 and abs(y - b) < hy + d + 0.05 for a, b, c, d in taken):
            continue
        taken.append((x, y, hx, hy))
        yaw = (-np.pi / 2, 0.0, np.pi / 2, np.pi)[wall] + (0.0 if at_wall else rng.uniform(-0.1, 0.1))
        parts += moved(piece.parts, float(x), float(y), shell.floor, float(yaw))
        return


def _between(
    label: str, a: tuple[float, float, float], b: tuple[float, float, float], material: Material
) -> Part:
    low, high = np.minimum(a, b), np.maximum(a, b)
    return box(label, tuple(low.tolist()), tuple(high.tolist()), material)
