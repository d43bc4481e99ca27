"""What a scene is made of: solid primitives with a material and a class."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from . import textures
from .textures import Texture

Vector = tuple[float, float, float]

#: Classes of the segmentation; a pixel holds the index. 0 is where nothing was hit.
CLASSES = (
    *(
        "background",
        "floor",
        "wall",
        "ceiling",
        "door",
        "window",
        "picture",
        "rug",
        "table",
        "chair",
        "sofa",
        "bed",
    ),
    *("shelf", "book", "cabinet", "lamp", "plant", "box", "ball", "cylinder", "screen", "robot"),
)


@dataclass(frozen=True)
class Material:
    """How a part's surface looks.

    Attributes:
        texture: index among the scene's textures.
        metres: (u, v) size of one repetition; (0, 0) fits one repetition to each face.
        offset: (u, v) in repetitions, so that parts of one material differ.
        tint: RGB that the texture is multiplied with.
    """

    texture: int
    metres: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    tint: Vector = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Part:
    """A solid.

    Attributes:
        label: its class, one of ``CLASSES``.
        shape: "box", "cylinder" (upright) or "ellipsoid".
        centre: position [m], z up.
        size: half extents along its own x, y and z [m].
        yaw: turn about z [rad].
    """

    label: str
    shape: str
    centre: Vector
    size: Vector
    material: Material
    yaw: float = 0.0

    def moved(self, x: float, y: float, z: float, yaw: float) -> Part:
        """The part after its whole piece is turned about z by ``yaw`` and shifted."""
        c, s = float(np.cos(yaw)), float(np.sin(yaw))
        px, py, pz = self.centre
        return replace(self, centre=(x + c * px - s * py, y + s * px + c * py, z + pz), yaw=self.yaw + yaw)


def moved(parts: Iterable[Part], x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> list[Part]:
    """A piece of several parts, turned about z and shifted."""
    return [part.moved(x, y, z, yaw) for part in parts]


class Palette:
    """The textures of one scene, drawn on demand; pieces of one room share some of them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.pictures: list[np.ndarray] = []
        self._variants: dict[str, list[int]] = {}

    def material(self, *kinds: Texture, metres: float | None = 0.6, variants: int = 2) -> Material:
        """A material of one of these textures.

        Args:
            metres: size of a repetition, varied by a third; None fits the picture to the face.
            variants: how many different ones of each texture a scene may have.
        """
        kind = kinds[int(self.rng.integers(len(kinds)))]
        index = self._picture(kind, variants)
        if metres is None:
            return Material(index, (0.0, 0.0))
        size = metres * float(self.rng.uniform(0.75, 1.33))
        u, v = self.rng.random(2)
        return Material(index, (size, size), (float(u), float(v)))

    def any(self, metres: float = 0.4) -> Material:
        """A material that a small object may have."""
        kinds: tuple[Callable, ...] = (textures.plain, textures.wood, textures.fabric, textures.checker)
        return self.material(*kinds, textures.speckle, textures.marble, textures.tiles, metres=metres)

    def _picture(self, kind: Texture, variants: int) -> int:
        known = self._variants.setdefault(kind.__name__, [])
        if len(known) >= variants:
            return known[int(self.rng.integers(len(known)))]
        known.append(len(self.pictures))
        self.pictures.append(kind(self.rng))
        return known[-1]
