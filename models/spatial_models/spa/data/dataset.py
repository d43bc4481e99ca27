"""Samples out of scenes, whatever the scenes' layout on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from ..multiview import MultiViewSample
from .sample import RejectedSample, RgbdView, Sampling, build_sample, choose_frames

#: How often a rejected sample is drawn again.
REDRAWS = 10


class SceneReader(Protocol):
    """A scene: its name, how many frames it has, and each of them."""

    name: str

    def __len__(self) -> int: ...

    def view(self, frame: int) -> RgbdView:
        """Read one frame."""
        ...


class MultiViewDataset(Dataset[MultiViewSample], ABC):
    """``repeat`` samples of every scene, different in every epoch in training, always the same otherwise.

    What sample ``index`` is depends on seed, epoch and index alone, not on workers or their number.
    """

    def __init__(self, sampling: Sampling, train: bool, seed: int, repeat: int) -> None:
        self.sampling, self.train, self.seed, self.repeat = sampling, train, seed, repeat
        # In shared memory, so that workers that outlive an epoch see the change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @abstractmethod
    def scene_count(self) -> int:
        """How many scenes there are."""

    @abstractmethod
    def open_scene(self, index: int) -> SceneReader:
        """One of the scenes."""

    def set_epoch(self, epoch: int) -> None:
        """Draw other samples from now on."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return self.scene_count() * self.repeat

    def __getitem__(self, index: int) -> MultiViewSample:
        """Sample ``index``.

        Raises:
            IndexError: if there is no such sample.
            RejectedSample: if a scene gives nothing usable, even in ten more draws; the message says why.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        scene = self.open_scene(index % self.scene_count())
        if not self.train:
            return self._draw(scene, None)
        rng = np.random.default_rng((self.seed, int(self._epoch), index))
        reasons: list[str] = []
        for _ in range(1 + REDRAWS):
            try:
                return self._draw(scene, rng)
            except RejectedSample as rejected:
                reasons.append(str(rejected))
        raise RejectedSample(
            f"{scene.name}: no usable sample in {len(reasons)} draws; the last: {reasons[-1]}. "
            "Leave this scene out, or give it depth."
        )

    def _draw(self, scene: SceneReader, rng: np.random.Generator | None) -> MultiViewSample:
        frames = choose_frames(len(scene), self.sampling, rng)
        name = f"{scene.name} frames {frames[0]}..{frames[-1]}"
        return build_sample([scene.view(frame) for frame in frames], self.sampling, rng, name)
