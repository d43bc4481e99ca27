"""What loaders of data sets share: options, sizes of picture files, distinct names, what is floor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2

from .boxes import BoxArray, OrientedBox
from .categories import normal
from .scene import SceneObject, SupportSurface, floor_surface


def options(location: str, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, str]:
    """What "key=value,key=value" says, as a dictionary.

    Raises:
        ValueError: naming the keys there are.
    """
    pairs = [part.partition("=") for part in location.split(",") if part]
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if set(required) - found.keys() or found.keys() - {*required, *optional}:
        form = ",".join([f"{key}=..." for key in required] + [f"[{key}=...]" for key in optional])
        raise ValueError(f"location {location!r} is not understood; expected {form}")
    return found


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG or JPEG file, by its head alone where that tells.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no picture.
    """
    with path.open("rb") as file:
        head = file.read(26)
        if head[:8] == b"\x89PNG\r\n\x1a\n":
            return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
        if head[:2] == b"\xff\xd8":
            file.seek(2)
            while (mark := file.read(4))[:1] == b"\xff" and len(mark) == 4:
                length = int.from_bytes(mark[2:], "big")
                # Start of frame; C4, C8 and CC are tables and such.
                if 0xC0 <= mark[1] <= 0xCF and mark[1] not in (0xC4, 0xC8, 0xCC):
                    size = file.read(5)
                    return int.from_bytes(size[3:5], "big"), int.from_bytes(size[1:3], "big")
                file.seek(length - 2, 1)
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError(f"{path} is not a picture that can be read; expected PNG or JPEG")
    return picture.shape[1], picture.shape[0]


def numbered(names: Sequence[str]) -> list[str]:
    """Names made distinct: "chair", "lamp", "chair" become "chair 1", "lamp", "chair 2"."""
    count, met, taken = Counter(names), Counter[str](), set(names)
    out: list[str] = []
    for name in names:
        label = name
        while count[name] > 1:
            met[name] += 1
            label = f"{name} {met[name]}"
            if label not in taken:
                break
        taken.add(label)
        out.append(label)
    return out


def split_floor(
    items: Sequence[SceneObject],
) -> tuple[tuple[SceneObject, ...], tuple[SupportSurface, ...]]:
    """Objects without floors, and the floors as surfaces: their boxes' tops."""
    rest = tuple(item for item in items if normal(item.category) != "floor")
    floors = [item for item in items if normal(item.category) == "floor"]
    return rest, tuple(_floor(item.name, item.box) for item in floors)


def _floor(name: str, box: OrientedBox) -> SupportSurface:
    array = BoxArray.of([box])
    ground = array.footprints
    if ground.upright[0]:
        return SupportSurface(name, ground.corners()[0], float(array.high[0]))
    low, high = array.corners[0].min(axis=0), array.corners[0].max(axis=0)
    return floor_surface(low[:2].tolist(), high[:2].tolist(), float(high[2]), name)
