"""LeRobot data sets, version 3, as episodes of end-effector steps, see :mod:`.lerobot_layout`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from .episodes import Array, Moment, required
from .lerobot_layout import (
    ACTION,
    ACTION_NAMES,
    DEPTH,
    IMAGE,
    INTRINSICS,
    MILLIMETRE,
    TASKS,
    UnreadableDataset,
    read_info,
)
from .video import VideoReader

_PURPOSE, _EXTRA = "reading a LeRobot data set", "datasets"
_GROUPS = 32  # row groups whose depth is kept, in ours an episode each


class LeRobotEpisodes:
    """A data set whose actions are steps of the end effector.

    Args:
        root: its folder, which holds ``meta/info.json``.
        name: key of its statistics in a checkpoint; None takes the folder's name with ``/1.0.0``.
        image: feature with the external camera's pictures, a video or an image.
        depth: feature with their depth, uint16 [mm] or floating point [m]; None or absent: it has none.
        intrinsics: feature with the camera's matrix; None or absent: unknown.
        action: feature of seven numbers.
        rotation: what the action's three angles are: about fixed axes, x first, or a rotation vector.
        gripper: numbers that mean closed and open in the action.
        episodes: numbers of the episodes to take; None takes all.

    Raises:
        FileNotFoundError, UnreadableDataset: a file is absent, or the features are others.
        MissingPart: pyarrow or PyAV is not installed.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str | None = None,
        image: str = IMAGE,
        depth: str | None = DEPTH,
        intrinsics: str | None = INTRINSICS,
        action: str = ACTION,
        rotation: Literal["euler", "rotvec"] = "euler",
        gripper: Sequence[float] = (0.0, 1.0),
        episodes: Sequence[int] | None = None,
    ) -> None:
        self._parquet: Any = required("pyarrow.parquet", _PURPOSE, _EXTRA)
        self.root, self.info = Path(root), read_info(Path(root))
        self._name = name or f"{self.root.resolve().name}/1.0.0"
        features: dict[str, Any] = self.info["features"]
        self.fps = float(self.info["fps"])
        self._check(features, image, action)
        self.image, self._is_video = image, features[image]["dtype"] == "video"
        self.depth = depth if depth in features else None
        self.intrinsics = intrinsics if intrinsics in features else None
        self.tasks = self._read_tasks()
        self._episodes = self._read_episodes(episodes)
        lengths = [row["length"] for row in self._episodes]
        self._starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        self._group_starts: dict[Path, NDArray[np.int64]] = {}
        self._depths: OrderedDict[tuple[Path, int, str], NDArray] = OrderedDict()
        self._files = sorted({self._data_file(row) for row in self._episodes})
        self._read_steps(action, rotation, gripper)
        self._video = VideoReader() if self._is_video else None

    def _check(self, features: dict[str, Any], image: str, action: str) -> None:
        pictures = [key for key, f in features.items() if f["dtype"] in ("video", "image")]
        if image not in pictures:
            raise UnreadableDataset(
                f"{self.root} has no pictures {image!r}; it has {', '.join(pictures) or 'none'}: choose with image=..."
            )
        found = features.get(action)
        if found is None or list(found["shape"]) != [7]:
            raise UnreadableDataset(
                f"feature {action!r} of {self.root} is {found}; expected seven numbers, {', '.join(ACTION_NAMES)} of a "
                f"step of the end effector. Features are {', '.join(features)}; joint positions cannot be taken: "
                "compute steps with the robot's kinematics and write them with spatial_vla.datasets.LeRobotWriter"
            )

    @property
    def name(self) -> str:
        """Key of its statistics."""
        return self._name

    @property
    def starts(self) -> NDArray[np.int64]:
        """(episodes + 1,) first step of each episode, and the number of steps."""
        return self._starts

    @property
    def actions(self) -> Array:
        """(steps, 7)."""
        return self._actions

    def moment(self, index: int) -> Moment:
        """What was seen at a step."""
        index = range(len(self._actions))[index]
        episode = int(np.searchsorted(self._starts, index, side="right")) - 1
        step = index - int(self._starts[episode])
        intrinsics = self._intrinsics[index] if self._intrinsics is not None else None
        return Moment(
            self._picture(episode, step, index),
            self.tasks[int(self._task[index])],
            self._depth(episode, step),
            intrinsics,
        )

    def _picture(self, episode: int, step: int, index: int) -> NDArray[np.uint8]:
        row = self._episodes[episode]
        if self._video is None:
            return self._stored_picture(episode, step)
        prefix = f"videos/{self.image}/"
        path = self.root / str(self.info["video_path"]).format(
            video_key=self.image,
            chunk_index=row[f"{prefix}chunk_index"],
            file_index=row[f"{prefix}file_index"],
        )
        at = float(row[f"{prefix}from_timestamp"]) + float(self._time[index])
        return self._video.frame(path, at, self.fps)

    def _stored_picture(self, episode: int, step: int) -> NDArray[np.uint8]:
        """A picture kept in the table itself, as the bytes of a PNG or JPEG file."""
        import cv2

        group, row = self._place(episode, step)
        cell = self._column(*group, self.image)[row].as_py()
        data = cell["bytes"] if isinstance(cell, dict) else cell
        if not isinstance(data, bytes):
            raise UnreadableDataset(
                f"picture {step} of episode {episode} is {type(data).__name__}; expected bytes"
            )
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if bgr is None:
            raise UnreadableDataset(
                f"picture {step} of episode {episode} cannot be decoded ({len(data)} bytes)"
            )
        return np.asarray(bgr[..., ::-1], dtype=np.uint8)

    def _depth(self, episode: int, step: int) -> NDArray[np.float32] | None:
        if self.depth is None:
            return None
        shape = tuple(self.info["features"][self.depth]["shape"])[:2]
        group, row = self._place(episode, step)
        key = (*group, self.depth)
        if key not in self._depths:
            values = _flat(self._column(*key)).reshape(-1, *shape)
            self._depths[key] = values
            if len(self._depths) > _GROUPS:
                self._depths.popitem(last=False)
        self._depths.move_to_end(key)
        image = self._depths[key][row]
        return (image * (MILLIMETRE if image.dtype.kind in "ui" else 1.0)).astype(np.float32)

    def _place(self, episode: int, step: int) -> tuple[tuple[Path, int], int]:
        """Data file and row group of an episode's step, and its row therein."""
        path = self._data_file(self._episodes[episode])
        starts = self._group_starts[path]
        row = self._rows_in_file[int(self._starts[episode]) + step]
        group = int(np.searchsorted(starts, row, side="right")) - 1
        return (path, group), int(row - starts[group])

    def _data_file(self, row: dict[str, Any]) -> Path:
        return self.root / str(self.info["data_path"]).format(
            chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
        )

    def _read_tasks(self) -> dict[int, str]:
        table = self._parquet.read_table(self.root / TASKS)
        texts = [name for name in table.column_names if name != "task_index"]
        if len(texts) != 1:
            raise UnreadableDataset(
                f"{TASKS} has columns {table.column_names}; expected task_index and the texts"
            )
        numbers, names = (table.column(name).to_pylist() for name in ("task_index", texts[0]))
        return dict(zip(numbers, names, strict=True))

    def _read_episodes(self, wanted: Sequence[int] | None) -> list[dict[str, Any]]:
        files = sorted(self.root.glob("meta/episodes/*/*.parquet"))
        if not files:
            raise FileNotFoundError(
                f"no meta/episodes/*/*.parquet in {self.root}; was the download complete?"
            )
        rows: list[dict[str, Any]] = []
        for path in files:
            names = [n for n in self._parquet.read_schema(path).names if not n.startswith("stats/")]
            rows += self._parquet.read_table(path, columns=names).to_pylist()
        rows.sort(key=lambda row: row["episode_index"])
        if wanted is None:
            return rows
        known = {row["episode_index"]: row for row in rows}
        if absent := [number for number in wanted if number not in known]:
            raise UnreadableDataset(f"no episodes {absent} in {self.root}; it has 0..{len(rows) - 1}")
        return [known[number] for number in sorted(set(wanted))]

    def _read_steps(
        self, action: str, rotation: Literal["euler", "rotvec"], gripper: Sequence[float]
    ) -> None:
        """Everything of the steps but pictures and depth."""
        names = [action, "timestamp", "index", "task_index"]
        names += [self.intrinsics] if self.intrinsics else []
        parts = [self._parquet.read_table(path, columns=names) for path in self._files]
        index, time, task = (
            np.concatenate([part.column(name).to_numpy() for part in parts])
            for name in ("index", "timestamp", "task_index")
        )
        order = {int(number): place for place, number in enumerate(index)}
        try:
            rows = [
                order[number]
                for row in self._episodes
                for number in range(row["dataset_from_index"], row["dataset_to_index"])
            ]
        except KeyError as error:
            raise UnreadableDataset(
                f"step {error} is in no data file of {self.root}; was the download complete?"
            ) from error
        self._time, self._task = time[rows], task[rows]
        lengths = [len(part) for part in parts]
        in_file = np.concatenate([np.arange(length) for length in lengths])
        self._rows_in_file = in_file[rows]
        for path in self._files:
            groups = self._parquet.read_metadata(path)
            counts = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
            self._group_starts[path] = np.concatenate(([0], np.cumsum(counts)))[:-1]

        def numbers(name: str, *shape: int) -> Array:
            flat = np.concatenate([np.asarray(_flat(part.column(name)), np.float64) for part in parts])
            return flat.reshape(-1, *shape)[rows]

        self._actions = _converted(numbers(action, 7), rotation, gripper)
        self._intrinsics = numbers(self.intrinsics, 3, 3) if self.intrinsics else None

    def _column(self, path: Path, group: int, name: str) -> Any:
        """A column of one row group."""
        with self._parquet.ParquetFile(path) as file:
            return file.read_row_group(group, columns=[name]).column(name)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_depths", "_parquet")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._depths = OrderedDict()
        self._parquet = required("pyarrow.parquet", _PURPOSE, _EXTRA)


def _flat(values: Any) -> NDArray:
    """The numbers in lists of lists, without them."""
    if hasattr(values, "combine_chunks"):
        values = values.combine_chunks()
    while hasattr(values, "flatten") and hasattr(values.type, "value_type"):
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False)


def _converted(rows: Array, rotation: Literal["euler", "rotvec"], gripper: Sequence[float]) -> Array:
    """Angles about fixed axes and a gripper that is open at 1."""
    if not np.isfinite(rows).all():
        step = int(np.argwhere(~np.isfinite(rows))[0, 0])
        raise UnreadableDataset(
            f"the action of step {step} is {rows[step].tolist()}; expected finite numbers"
        )
    closed, opened = gripper
    if closed == opened:
        raise UnreadableDataset(
            f"gripper is {closed} closed and {opened} open; expected two numbers that differ"
        )
    out = rows.copy()
    if rotation == "rotvec":
        out[:, 3:6] = Rotation.from_rotvec(rows[:, 3:6]).as_euler("xyz")
    out[:, 6] = np.clip((rows[:, 6] - closed) / (opened - closed), 0.0, 1.0)
    return out
