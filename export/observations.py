"""Inputs to compare, calibrate and measure with: seeded, or from recorded frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from checkpoints import Checkpoint
from numpy.typing import NDArray
from spatial_models.session import TorchSession
from spatial_models.stage import Stage
from spatial_models.training.demonstrations import Demonstrations
from spatial_models.training.instructions import sentence_drawer
from spatial_vla.language.vocabulary import Vocabulary
from spatial_vla.runtime import Session

Inputs = dict[str, NDArray]


def torch_session(stage: Stage, device: str = "cpu") -> TorchSession:
    """The stage in PyTorch."""
    return TorchSession(stage.module, stage.examples, stage.outputs, device=device)


def seeded(stage: Stage, count: int, seed: int = 1) -> Iterator[Inputs]:
    """The stage's examples, redrawn: same shapes, types and ranges, other numbers. Integers and masks stay."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {name: _redraw(rng, tensor.numpy()) for name, tensor in stage.examples.items()}


def _redraw(rng: np.random.Generator, like: NDArray) -> NDArray:
    if like.dtype.kind != "f":
        return like.copy()
    return rng.permuted(like.ravel()).reshape(like.shape)


class RecordedFrames:
    """Frames of a recording as inputs of a policy's stages (and images for SPA's encoder).

    Args:
        root: folder of shards, as ``spatial-vla-record`` writes it.
        checkpoint: a policy's or SPA's. stages: in single precision; the encoder's features feed the decoder.
    """

    def __init__(self, root: Path, checkpoint: Checkpoint, stages: dict[str, Stage]) -> None:
        if checkpoint.kind not in ("policy", "spa"):
            raise ValueError(
                f"recorded frames are for policies and SPA's encoder, not for a {checkpoint.kind}"
            )
        words = checkpoint.fields.get("words")
        vocabulary = Vocabulary(tuple(words), checkpoint.fields["max_words"]) if words else None
        draw = sentence_drawer(vocabulary) if vocabulary else lambda *_: np.zeros(1, np.int64)
        self._data = Demonstrations(root, draw, per_frame=1, absent=0.0, augment=False)
        self._stages = stages
        self._encoder = torch_session(stages["encoder"]) if checkpoint.kind == "policy" else None

    def take(self, stage: str, count: int, seed: int = 0) -> Iterator[Inputs]:
        """``count`` frames, spread over the recording, as inputs of a stage."""
        for image, rest in self._frames(count, seed):
            if stage == "encoder":
                yield {"image": image}
                continue
            assert self._encoder is not None
            yield {"features": self._encoder.run({"image": image})["features"].copy(), **rest}

    def whole(self, count: int, seed: int = 0) -> Iterator[Inputs]:
        """``count`` frames as inputs of a policy's encoder and decoder in a row, see :class:`Chain`."""
        return ({"image": image, **rest} for image, rest in self._frames(count, seed))

    def _frames(self, count: int, seed: int) -> Iterator[tuple[NDArray, Inputs]]:
        rng = np.random.default_rng(seed)
        indices = rng.choice(len(self._data), size=min(count, len(self._data)), replace=False)
        batch, _, size, _ = self._stages["encoder"].examples["image"].shape
        for index in np.sort(indices):
            row = {k: v[None].numpy() for k, v in self._data[int(index)].items()}
            image = torch.from_numpy(row["image"])
            if image.shape[-1] != size:
                image = torch.nn.functional.interpolate(image, size=(size, size), mode="area")
            image = image.expand(batch, -1, -1, -1).contiguous().numpy().astype(np.float32)
            yield (
                image,
                {
                    "points": row["points"].astype(np.float32),
                    "valid": row["valid"],
                    "state": row["state"].astype(np.float32),
                    "words": row["words"][0].astype(np.int64),
                },
            )


class Chain:
    """A policy's encoder and decoder as one session to compare: what rounding in one does to tokens of the other."""

    def __init__(self, encoder: Session, decoder: Session) -> None:
        self.encoder, self.decoder = encoder, decoder
        self.device = encoder.device

    def run(self, inputs: Inputs) -> Inputs:
        """Image and what the decoder needs besides features, to what the decoder gives."""
        rest = {name: array for name, array in inputs.items() if name != "image"}
        return self.decoder.run({**self.encoder.run({"image": inputs["image"]}), **rest})
