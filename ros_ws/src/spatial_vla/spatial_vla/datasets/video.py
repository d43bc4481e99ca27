"""Frames of video files, by time."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .episodes import required

CODEC = "libsvtav1"  # as LeRobot writes
_PURPOSE, _EXTRA = "video", "datasets"


class VideoReader:
    """Reads single frames; a process keeps the files that it read last open.

    Args:
        most: files that are open at once.
    """

    def __init__(self, most: int = 8) -> None:
        self._av: Any = required("av", _PURPOSE, _EXTRA)
        self._most, self._process = most, os.getpid()
        self._open: OrderedDict[Path, Any] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"_most": self._most}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_most"])

    def frame(self, path: Path, seconds: float, fps: float) -> NDArray[np.uint8]:
        """The frame (H, W, 3) uint8 RGB shown at a time, which may be off by less than half a frame.

        Raises:
            FileNotFoundError: there is no such file. ValueError: it has no frame then.
        """
        container = self._container(path)
        stream = container.streams.video[0]
        base, tolerance = float(stream.time_base), 0.5 / fps
        container.seek(max(0, int((seconds - tolerance) / base)), stream=stream, backward=True)
        for frame in container.decode(stream):
            if abs(frame.pts * base - seconds) < tolerance:
                return frame.to_ndarray(format="rgb24")
            if frame.pts * base > seconds:
                break
        raise ValueError(
            f"{path} has no frame at {seconds:.3f} s (within {tolerance:.3f} s); its {stream.frames} frames end at "
            f"{float(stream.duration or 0) * base:.3f} s. Was the download complete?"
        )

    def _container(self, path: Path) -> Any:
        if self._process != os.getpid():  # a forked process shares the files' positions with its parent
            self._open, self._process = OrderedDict(), os.getpid()
        if path not in self._open:
            if not path.is_file():
                raise FileNotFoundError(f"no such file: {path}; the data set's info.json promises it")
            self._open[path] = self._av.open(str(path))
            # Threads cost more than they give for single frames.
            self._open[path].streams.video[0].thread_type = "NONE"
            if len(self._open) > self._most:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return self._open[path]


class VideoFile:
    """A video that is being written, every second frame of it a key frame, so that single ones are found fast.

    Args:
        quality: constant rate factor of the codec; less is better.
    """

    def __init__(
        self, path: Path, fps: int, size: tuple[int, int], codec: str = CODEC, quality: int = 30
    ) -> None:
        av: Any = required("av", _PURPOSE, _EXTRA)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._av, self.frames, self.bytes = av, 0, 0
        self._file = av.open(str(path), "w")
        options = {"g": "2", "crf": str(quality)} | ({"preset": "8"} if codec == CODEC else {})
        self._stream = self._file.add_stream(codec, rate=fps, options=options)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"

    def append(self, image: NDArray[np.uint8]) -> None:
        """One frame more, (H, W, 3) RGB."""
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._write(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Write what is left."""
        self._write(self._stream.encode())
        self._file.close()

    def _write(self, packets: Any) -> None:
        for packet in packets:
            self.bytes += packet.size
            self._file.mux(packet)
