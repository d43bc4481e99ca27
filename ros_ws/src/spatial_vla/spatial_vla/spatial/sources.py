"""Where scenes come from. A source is addressed by number, so that any worker can make any part of it."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .scene import SpatialScene

#: Short names of sources; any "module:Class" with ``open(location)`` will do as well.
SOURCES = {
    "example": "spatial_vla.spatial.example_json:ExampleScenes",
    "embodiedscan": "spatial_vla.spatial.embodiedscan:EmbodiedScanScenes",
    "bop": "spatial_vla.spatial.bop:BopScenes",
    "bag": "spatial_vla.spatial.bag_scenes:BagScenes",
    "mujoco": "spatial_vla_sim.spatial_scenes:SimulatedTables",
    "tabletop": "spatial_vla_sim.spatial_scenes:RobotTables",
}


class SceneSource(Protocol):
    """Scenes by number."""

    def __len__(self) -> int: ...

    def scene(self, index: int) -> SpatialScene:
        """Scene ``index``."""
        ...

    def picture(self, index: int) -> NDArray[np.uint8] | None:
        """Its picture, RGB (h, w, 3), where the source makes it; None where it is a file already."""
        ...


def open_source(name: str, location: str) -> SceneSource:
    """A source by its short name or "module:Class".

    Raises:
        ValueError: naming the known ones.
    """
    target = SOURCES.get(name, name)
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute).open(location)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"source {name!r} cannot be opened ({error}); expected one of {', '.join(SOURCES)} or 'module:Class' "
            "with a class method open(location)"
        ) from error
