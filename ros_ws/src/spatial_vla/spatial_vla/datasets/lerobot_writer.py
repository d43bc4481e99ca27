"""Episodes to a LeRobot data set, version 3, see :mod:`.lerobot_layout`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .episodes import required
from .lerobot_layout import (
    ACTION,
    ACTION_NAMES,
    COUNTERS,
    DATA,
    DATA_MB,
    DEPTH,
    EPISODES,
    FILES_IN_CHUNK,
    IMAGE,
    INFO,
    INTRINSICS,
    MILLIMETRE,
    STATE,
    STATS,
    TASKS,
    VERSION,
    VIDEO,
    VIDEO_MB,
    file_indices,
    image_statistics,
    statistics,
)
from .video import CODEC, VideoFile

_MB = 1 << 20


class LeRobotWriter:
    """Writes episodes of one external camera; use it in a ``with`` statement.

    The data set is written aside and renamed at the end: a folder that is there is complete.

    Args:
        root: folder to make. fps: steps per second, a whole number.
        robot: name of the robot.
        codec: of the video, any encoder of FFmpeg.

    Raises:
        FileExistsError: the folder is there already. MissingPart: pyarrow or PyAV is not installed.
    """

    def __init__(self, root: str | Path, fps: int, robot: str = "panda", codec: str = CODEC) -> None:
        self.root, self.fps, self.robot, self.codec = Path(root), fps, robot, codec
        self._arrow: Any = required("pyarrow", "writing a LeRobot data set", "datasets")
        self._parquet: Any = required("pyarrow.parquet", "writing a LeRobot data set", "datasets")
        if self.root.exists():
            raise FileExistsError(f"{self.root} exists; remove it or choose another folder")
        self._aside = self.root.with_name(self.root.name + ".partial")
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(parents=True)
        self._features: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, int] = {}
        self._rows: list[dict[str, Any]] = []
        self._numbers: dict[str, list[NDArray]] = {}
        self._pixels = np.zeros((3, 256), np.int64)
        self._steps, self._data_file, self._video_file, self._table_writer = 0, -1, -1, None
        self._video: VideoFile | None = None

    def add(
        self,
        task: str,
        images: NDArray[np.uint8],
        actions: ArrayLike,
        *,
        state: ArrayLike | None = None,
        depth: ArrayLike | None = None,
        intrinsics: ArrayLike | None = None,
    ) -> None:
        """One episode of T steps.

        Args:
            task: the instruction.
            images: (T, H, W, 3) uint8 RGB.
            actions: (T, 7) x, y, z [m], roll, pitch, yaw [rad], gripper, 1 open.
            state: (T, n) whatever the robot measured.
            depth: (T, H, W) metres, kept to a millimetre and up to 65.5 m; 0 or not finite where not measured.
            intrinsics: (3, 3) of the camera.

        Raises:
            ValueError: shapes disagree with each other or with earlier episodes.
        """
        columns: dict[str, NDArray] = {ACTION: np.asarray(actions, np.float32)}
        if state is not None:
            columns[STATE] = np.asarray(state, np.float32)
        if depth is not None:
            millimetres = np.nan_to_num(np.asarray(depth, np.float64), posinf=0.0, neginf=0.0) / MILLIMETRE
            columns[DEPTH] = np.rint(np.clip(millimetres, 0, 65535)).astype(np.uint16)
        if intrinsics is not None:
            columns[INTRINSICS] = np.tile(np.asarray(intrinsics, np.float32), (len(images), 1, 1))
        self._describe(images, columns)
        place = self._append_video(images)
        row = {"episode_index": len(self._rows), "tasks": [task], "length": len(images)}
        row |= self._append_table(task, columns) | place
        counted = _histogram(images)
        self._pixels += counted
        found = {name: statistics(rows) for name, rows in columns.items() if name != DEPTH}
        found |= {IMAGE: image_statistics(counted, len(images))}
        row |= {f"stats/{n}/{field}": v.tolist() for n, one in found.items() for field, v in one.items()}
        for name in found.keys() & columns.keys():
            self._numbers.setdefault(name, []).append(columns[name])
        self._rows.append(row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})

    def _describe(self, images: NDArray[np.uint8], columns: Mapping[str, NDArray]) -> None:
        """Take the features of the first episode, and compare those of later ones."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not len(images):
            raise ValueError(
                f"images have shape {images.shape} and type {images.dtype}; expected (T, H, W, 3) uint8"
            )
        if wrong := {n: c.shape for n, c in columns.items() if len(c) != len(images)}:
            raise ValueError(f"{wrong} for {len(images)} images; expected as many rows")
        if columns[ACTION].shape[1:] != (7,):
            raise ValueError(
                f"actions have shape {columns[ACTION].shape}; expected (T, 7): {', '.join(ACTION_NAMES)}"
            )
        if DEPTH in columns and columns[DEPTH].shape != images.shape[:3]:
            raise ValueError(
                f"depth has shape {columns[DEPTH].shape}; expected {images.shape[:3]}, as the images"
            )
        names: dict[str, Any] = {ACTION: list(ACTION_NAMES)}
        found: dict[str, dict[str, Any]] = {
            name: {"dtype": str(c.dtype), "shape": list(c.shape[1:]), "names": names.get(name)}
            for name, c in columns.items()
        }
        video = {
            "video.height": images.shape[1],
            "video.width": images.shape[2],
            "video.codec": {"libsvtav1": "av1", "libx264": "h264"}.get(self.codec, self.codec),
            "video.pix_fmt": "yuv420p",
            "video.is_depth_map": False,
            "video.fps": self.fps,
            "video.channels": 3,
            "has_audio": False,
        }
        shape = list(images.shape[1:])
        found[IMAGE] = {
            "dtype": "video",
            "shape": shape,
            "names": ["height", "width", "channels"],
            "info": video,
        }
        found |= COUNTERS
        if self._features and self._features != found:
            raise ValueError(
                f"the episode has features {found}, those before it {self._features}; expected the same"
            )
        self._features = found

    def _append_video(self, images: NDArray[np.uint8]) -> dict[str, Any]:
        if self._video is not None and self._video.bytes > VIDEO_MB * _MB:
            self._video.close()
            self._video = None
        if self._video is None:
            self._video_file += 1
            path = self._aside / VIDEO.format(video_key=IMAGE, **file_indices(self._video_file))
            self._video = VideoFile(path, self.fps, images.shape[1:3], self.codec)
        start = self._video.frames
        for image in images:
            self._video.append(image)
        place = file_indices(self._video_file)
        times = {"from_timestamp": start / self.fps, "to_timestamp": self._video.frames / self.fps}
        return {f"videos/{IMAGE}/{name}": value for name, value in (place | times).items()}

    def _append_table(self, task: str, columns: Mapping[str, NDArray]) -> dict[str, Any]:
        steps = len(columns[ACTION])
        number = self._tasks.setdefault(task, len(self._tasks))
        counters = {
            "timestamp": (np.arange(steps) / self.fps).astype(np.float32),
            "frame_index": np.arange(steps),
            "episode_index": np.full(steps, len(self._rows)),
            "index": self._steps + np.arange(steps),
            "task_index": np.full(steps, number),
        }
        arrays = {name: self._column(values) for name, values in (dict(columns) | counters).items()}
        table = self._arrow.table(arrays)
        path = self._aside / DATA.format(**file_indices(max(self._data_file, 0)))
        if self._table_writer is None or path.stat().st_size > DATA_MB * _MB:
            if self._table_writer is not None:
                self._table_writer.close()
            self._data_file += 1
            path = self._aside / DATA.format(**file_indices(self._data_file))
            path.parent.mkdir(parents=True, exist_ok=True)
            self._table_writer = self._parquet.ParquetWriter(path, table.schema, compression="zstd")
        # An episode is a row group, so that its depth is read alone.
        self._table_writer.write_table(table, row_group_size=steps)
        place = {f"data/{name}": value for name, value in file_indices(self._data_file).items()}
        self._steps += steps
        return place | {"dataset_from_index": self._steps - steps, "dataset_to_index": self._steps}

    def _column(self, values: NDArray) -> Any:
        """Rows (T,), (T, n) or (T, m, n) as an array of numbers, or of lists of them."""
        array = self._arrow.array(values.reshape(-1), self._arrow.from_numpy_dtype(values.dtype))
        for axis in range(values.ndim - 1, 0, -1):
            if values.ndim == 2:
                array = self._arrow.FixedSizeListArray.from_arrays(array, values.shape[axis])
            else:
                length = values.shape[axis]
                offsets = np.arange(0, len(array) + 1, length, dtype=np.int32)
                array = self._arrow.ListArray.from_arrays(self._arrow.array(offsets), array)
        return array

    def close(self) -> None:
        """Write what describes the whole, and rename the folder."""
        if not self._rows:
            raise ValueError("no episode was added; nothing to write")
        if self._video is not None:
            self._video.close()
        if self._table_writer is not None:
            self._table_writer.close()
        meta = self._aside / EPISODES.format(**file_indices(0))
        meta.parent.mkdir(parents=True)
        self._parquet.write_table(self._arrow.Table.from_pylist(self._rows), meta)
        self._write_tasks()
        found = {name: statistics(np.concatenate(rows)) for name, rows in self._numbers.items()}
        found |= {IMAGE: image_statistics(self._pixels, self._steps)}
        plain = {name: {field: v.tolist() for field, v in one.items()} for name, one in found.items()}
        (self._aside / STATS).write_text(json.dumps(plain, indent=4))
        info = {
            "codebase_version": VERSION,
            "robot_type": self.robot,
            "total_episodes": len(self._rows),
            "total_frames": self._steps,
            "total_tasks": len(self._tasks),
            "chunks_size": FILES_IN_CHUNK,
            "data_files_size_in_mb": DATA_MB,
            "video_files_size_in_mb": VIDEO_MB,
            "fps": self.fps,
            "splits": {"train": f"0:{len(self._rows)}"},
            "data_path": DATA,
            "video_path": VIDEO,
            "features": self._features,
        }
        (self._aside / INFO).write_text(json.dumps(info, indent=4))
        self._aside.rename(self.root)

    def _write_tasks(self) -> None:
        """Numbers of the instructions, which are the index of a pandas table: LeRobot looks there."""
        index = "__index_level_0__"
        table = self._arrow.table({"task_index": list(self._tasks.values()), index: list(self._tasks)})
        column = {"metadata": None, "pandas_type": "unicode", "numpy_type": "object"}
        pandas = {
            "index_columns": [index],
            "column_indexes": [],
            "columns": [
                {"name": "task_index", "field_name": "task_index", "metadata": None}
                | {"pandas_type": "int64", "numpy_type": "int64"},
                {"name": None, "field_name": index} | column,
            ],
        }
        table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
        self._parquet.write_table(table, self._aside / TASKS)

    def __enter__(self) -> LeRobotWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._video is not None:
            self._video.close()


def _histogram(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each channel has each value, (3, 256)."""
    return np.stack([np.bincount(images[..., channel].reshape(-1), minlength=256) for channel in range(3)])
