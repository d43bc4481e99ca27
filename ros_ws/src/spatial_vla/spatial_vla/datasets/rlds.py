"""RLDS data sets (Open X-Embodiment), as TensorFlow Datasets writes them, read without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .episodes import Array, Moment
from .oxe import LAYOUTS, Layout, decided, opening
from .tfrecord import Value, read_example, read_record, record_places


class UnreadableRlds(ValueError):
    """A folder is no RLDS data set, or its layout is another."""


class RldsEpisodes:
    """A data set in files ``*-SPLIT.tfrecord-*``, one episode a record.

    The files are read once to find episodes and their actions; pictures are read when they are asked for.

    Args:
        folder: with the files, for example ``bridge_orig/1.0.0``; its last two parts are the name of the statistics.
        layout: where steps are; None takes that of :data:`.oxe.LAYOUTS`, or its fields in a mapping.
        name: key of the statistics. split: of the data set. most: episodes to take, None for all.

    Raises:
        FileNotFoundError: there are no such files. UnreadableRlds: the layout is unknown or does not fit.
        MissingPart: google-crc32c is not installed. DamagedRecord: a file is damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        layout: Layout | Mapping[str, Any] | None = None,
        name: str | None = None,
        split: str = "train",
        most: int | None = None,
    ) -> None:
        path = Path(folder)
        self.name = name or "/".join(path.resolve().parts[-2:])
        files = sorted(path.glob(f"*-{split}.tfrecord-*"))
        if not files:
            raise FileNotFoundError(
                f"no files *-{split}.tfrecord-* in {path}; expected a version's folder of RLDS"
            )
        self.layout = _layout(layout, path.resolve().parts[-2])
        places = [(file, *place) for file in files for place in record_places(file)][:most]
        actions, self._episodes, self._skip = [], [], []
        for place in places:
            steps, skip = self._actions(read_example(read_record(*place)), place)
            if len(steps):
                actions.append(steps)
                self._episodes.append(place)
                self._skip.append(skip)
        if not actions:
            raise UnreadableRlds(f"{path} has no episode with a step; expected at least one")
        self.actions: Array = np.concatenate(actions)
        self.starts: NDArray[np.int64] = np.concatenate(([0], np.cumsum([len(a) for a in actions])))

    def moment(self, index: int) -> Moment:
        """What was seen at a step."""
        index = range(len(self.actions))[index]
        episode = int(np.searchsorted(self.starts, index, side="right")) - 1
        step = index - int(self.starts[episode]) + self._skip[episode]
        columns = self._example(episode)
        picture, text = columns[f"steps/{self.layout.image}"], columns[f"steps/{self.layout.instruction}"]
        bgr = cv2.imdecode(np.frombuffer(_bytes(picture[step]), np.uint8), cv2.IMREAD_COLOR)
        if bgr is None:
            raise UnreadableRlds(f"picture {step} of episode {episode} of {self.name} cannot be decoded")
        return Moment(np.asarray(bgr[..., ::-1], np.uint8), _bytes(text[step]).decode())

    def _actions(self, columns: dict[str, Value], place: tuple[Path, int, int]) -> tuple[Array, int]:
        """Standardised actions of an episode, and how many of its first steps are left out."""
        layout = self.layout
        names = (layout.image, layout.instruction, *layout.action, layout.gripper, layout.state)
        if absent := [n for n in names if n and f"steps/{n}" not in columns]:
            known = sorted(n.removeprefix("steps/") for n in columns if n.startswith("steps/"))
            raise UnreadableRlds(
                f"{place[0]} lacks {', '.join(absent)}; it has {', '.join(known)}: say where things are with layout="
            )
        steps = len(columns[f"steps/{layout.image}"])
        parts = [self._numbers(columns, name, steps) for name in layout.action]
        rows = np.concatenate(parts, axis=1)
        grip = self._numbers(columns, layout.gripper, steps)[:, -1] if layout.gripper else rows[:, -1]
        if rows.shape[1] != (6 if layout.gripper else 7):
            raise UnreadableRlds(
                f"actions of {self.name} have {rows.shape[1]} numbers; expected x, y, z, roll, pitch, yaw, gripper"
            )
        if layout.state is None:
            return np.column_stack((rows[:, :6], opening(grip, layout.gripper_is))), 0
        # The first step is left out, and motion is what the state does; after the last there is none.
        poses = self._numbers(columns, layout.state, steps)[1:, :6]
        if len(poses) < 2:
            return np.empty((0, 7)), 1
        return np.column_stack((np.diff(poses, axis=0), decided(grip[1:])[:-1])), 1

    def _numbers(self, columns: dict[str, Value], name: str, steps: int) -> Array:
        values = np.asarray(columns[f"steps/{name}"], np.float64)
        if not steps or len(values) % steps or not np.isfinite(values).all():
            raise UnreadableRlds(
                f"{name} of {self.name} has {len(values)} numbers in {steps} steps, or not finite ones"
            )
        return values.reshape(steps, -1)

    @property
    def _example(self) -> Any:
        if "_examples" not in self.__dict__:
            self._examples = lru_cache(4)(lambda i: read_example(read_record(*self._episodes[i])))
        return self._examples

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_examples"}


def _layout(given: Layout | Mapping[str, Any] | None, name: str) -> Layout:
    if isinstance(given, Layout):
        return given
    if given is not None:
        fields: dict[str, Any] = dict(given)
        fields["action"] = tuple(fields.get("action", ("action",)))
        return Layout(**fields)
    if name not in LAYOUTS:
        raise UnreadableRlds(
            f"the layout of {name!r} is not known here, those of {', '.join(LAYOUTS)} are: give layout= with image, "
            "instruction, action and gripper"
        )
    return LAYOUTS[name]


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise UnreadableRlds("found a number where a picture or a text was expected; give another layout=")
    return value
