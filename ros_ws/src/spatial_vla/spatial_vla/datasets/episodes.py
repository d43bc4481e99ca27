"""What every data set of demonstrations offers, whatever its files are like."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moment:
    """What was seen at one step, and what was to be done.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 metres along the optical axis, 0 where not measured; None where none was recorded.
        intrinsics: (3, 3) of the image, the centre of the first pixel at (0, 0); None where unknown.
    """

    image: NDArray[np.uint8]
    instruction: str
    depth: NDArray[np.float32] | None = None
    intrinsics: Array | None = None


class Episodes(Protocol):
    """Episodes one behind the other; a step's index counts over all of them."""

    @property
    def name(self) -> str:
        """Key of its statistics in a checkpoint, for example ``my_robot/1.0.0``."""
        ...

    @property
    def starts(self) -> NDArray[np.int64]:
        """(episodes + 1,) index of each episode's first step; the last entry is the number of steps."""
        ...

    @property
    def actions(self) -> Array:
        """(steps, 7) x, y, z [m], roll, pitch, yaw [rad, about fixed axes], gripper, 1 open."""
        ...

    def moment(self, index: int) -> Moment:
        """What was seen at a step; the images are read from the disk now."""
        ...


class MissingPart(ImportError):
    """An optional part of the installation is needed; the message says how to get it."""

    def __init__(self, module: str, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs {module}, which is not installed: pip install 'spatial_vla[{extra}]' (in a checkout: "
            f"pip install './ros_ws/src/spatial_vla[{extra}]')"
        )


def required(module: str, purpose: str, extra: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MissingPart: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPart(module, purpose, extra) from error


def chunk_at(episodes: Episodes, index: int, steps: int) -> Array:
    """(steps, 7) the actions from a step on. Past the end of its episode: no motion, the gripper stays as it is."""
    starts = episodes.starts
    end = int(starts[np.searchsorted(starts, index, side="right")])
    found = episodes.actions[index : min(end, index + steps)]
    rest = np.zeros((steps - len(found), 7))
    rest[:, 6] = found[-1, 6]
    return np.concatenate((found, rest))
