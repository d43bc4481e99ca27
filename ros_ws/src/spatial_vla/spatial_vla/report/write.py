"""From a recorded run to what a person looks at: a video and one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from spatial_vla.viz import FeaturePalette, enlarge, overlay

from . import bag
from .film import CAMERA, FilmFrame, film
from .page import Figure, page
from .run import Run, read_run
from .video import write_video

PAGE, VIDEO = "report.html", "run"
FPS = 10.0  # rate of the external camera
MAX_FRAMES = 1200  # two minutes of video; a longer run shows its beginning
KEY_EPISODES = 2
PALETTE_MAPS = 20


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` and the video ``run.mp4`` (``run.webm`` without ffmpeg) into a run's directory.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: if there is no completed run in the directory.
    """
    run = read_run(run_dir)
    keys = _KeyFrames(run)
    video = write_video(run_dir / VIDEO, keys.watch(islice(film(run), MAX_FRAMES)), FPS)
    path = run_dir / PAGE
    path.write_text(page(run, video, feature_figures(run), keys.figures()), encoding="utf-8")
    return path


class _KeyFrames:
    """First, middle and last frame of the first episodes, picked from the passing frames."""

    def __init__(self, run: Run) -> None:
        self._number = {e.instruction_id: n for n, e in enumerate(run.episodes[:KEY_EPISODES], 1)}
        self._picked: dict[tuple[int, int], FilmFrame] = {}

    def watch(self, frames: Iterable[FilmFrame]) -> Iterator[np.ndarray]:
        for frame in frames:
            episode = frame.episode
            number = self._number.get(episode.instruction_id)
            if number is not None:
                self._picked.setdefault((number, 0), frame)
                if frame.time_ns <= (episode.start_ns + episode.end_ns) / 2:
                    self._picked[number, 1] = frame
                self._picked[number, 2] = frame
            yield frame.image

    def figures(self) -> list[Figure]:
        when = ("at the start", "halfway", "at the end")
        picked = sorted(self._picked.items())
        return [Figure(frame.image, f"Instruction {n}, {when[i]}") for (n, i), frame in picked]


def feature_figures(run: Run) -> list[Figure]:
    """Camera image, its feature map as colours, and both together, from the middle of the first episode."""
    maps = {bag.stamp_ns(m): m for _, _, m in run.messages("/features")}
    if not maps or not run.episodes:
        return []
    middle = (run.episodes[0].start_ns + run.episodes[0].end_ns) / 2
    for stamp in sorted(maps, key=lambda s: abs(s - middle)):
        image = _image_at(run, stamp)
        if image is None:
            continue
        image = enlarge(image, 2)
        every = max(1, len(maps) // PALETTE_MAPS)
        palette = FeaturePalette.fit(np.stack([_features(m) for m in list(maps.values())[::every]]))
        colours = palette.picture(_features(maps[stamp]), image.shape[1], image.shape[0])
        chosen = maps[stamp]
        size = f"{chosen.rows} x {chosen.cols} patches, {chosen.channels} channels, encoder {chosen.encoder[:12]}"
        return [
            Figure(image, "Camera image"),
            Figure(colours, size),
            Figure(overlay(image, colours), "Overlaid"),
        ]
    return []


def _features(message: bag.Any) -> np.ndarray:
    """Features (rows, cols, channels) float32; bags of earlier versions hold single precision."""
    data = np.asarray(message.data)
    if data.dtype.kind != "f":
        data = data.astype(np.uint16).view(np.float16)
    return data.reshape(message.rows, message.cols, message.channels).astype(np.float32)


def _image_at(run: Run, stamp: int) -> np.ndarray | None:
    pictures = (m for _, _, m in run.messages(f"{CAMERA}/image"))
    return next((bag.picture(m) for m in pictures if bag.stamp_ns(m) == stamp), None)
