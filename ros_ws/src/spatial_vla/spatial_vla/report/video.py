"""Frames to a video that a browser plays: MP4 (H.264) with an ffmpeg program, else WebM (VP8) with OpenCV alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def write_video(stem: Path, frames: Iterable[Image], fps: float) -> Path | None:
    """Write RGB frames (height, width, 3), all of one size with even sides.

    Returns:
        ``stem`` with the suffix of the format written, or None if there was no frame.

    Raises:
        RuntimeError: if no encoder works.
    """
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        return None
    height, width = first.shape[:2]
    ffmpeg = find_ffmpeg()
    path = stem.with_suffix(".mp4" if ffmpeg else ".webm")
    opened = _h264(ffmpeg, path, width, height, fps) if ffmpeg else _vp8(path, width, height, fps)
    with opened as encoder:
        for frame in chain((first,), rest):
            encoder.write(np.ascontiguousarray(frame))
    return path


def find_ffmpeg() -> str | None:
    """The ffmpeg program on the PATH or in the package imageio-ffmpeg; None where there is neither."""
    found = shutil.which("ffmpeg")
    if found is None:
        with contextlib.suppress(ImportError, RuntimeError):
            import imageio_ffmpeg

            found = imageio_ffmpeg.get_ffmpeg_exe()
    return found


class _Encoder(Protocol):
    def write(self, frame: Image, /) -> object: ...


@contextlib.contextmanager
def _h264(ffmpeg: str, path: Path, width: int, height: int, fps: float) -> Iterator[_Encoder]:
    command = [
        *(ffmpeg, "-y", "-loglevel", "error"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"),
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"),
        *("-movflags", "+faststart", str(path)),
    ]
    # The libraries of the ROS wheels must not reach a foreign program.
    environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # the message on stderr says more
            yield process.stdin
    finally:
        _, complaint = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{ffmpeg} could not write {path}: {complaint.decode(errors='replace').strip()}")


class _Vp8:
    def __init__(self, path: Path, width: int, height: int, fps: float) -> None:
        code = cv2.VideoWriter.fourcc(*"VP80")
        self.writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, (width, height))
        if not self.writer.isOpened():
            raise RuntimeError(f"this OpenCV cannot write {path}; install ffmpeg (apt-get install ffmpeg)")

    def write(self, frame: Image, /) -> None:
        self.writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


@contextlib.contextmanager
def _vp8(path: Path, width: int, height: int, fps: float) -> Iterator[_Encoder]:
    encoder = _Vp8(path, width, height, fps)
    try:
        yield encoder
    finally:
        encoder.writer.release()
