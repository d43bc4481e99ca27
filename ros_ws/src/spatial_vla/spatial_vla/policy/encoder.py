"""The spatial encoder: an RGB frame to a map of patch features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..runtime import Choice, Session, open_session
from .manifest import read_manifest
from .preprocess import encoder_image


class Encoder:
    """Runs the encoder of a policy bundle.

    Args:
        bundle: folder with ``manifest.json``.
        session: engine to use, or one of :data:`spatial_vla.runtime.KINDS`.

    Attributes:
        choice: which kind of session runs, and why.
    """

    def __init__(self, bundle: Path, session: Session | str = "onnxruntime") -> None:
        self.manifest = read_manifest(bundle)
        self.session, self.choice = stage_session(bundle / "encoder.onnx", session, self.manifest.ready)
        self.session.warmup()

    def encode(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB (H, W, 3) uint8 of any size to features (rows, cols, channels) float32."""
        image = encoder_image(rgb, self.manifest.image_size, out=self.session.buffers["image"])
        side = self.manifest.side
        # A copy: the session writes its next result to the same place.
        return (
            self.session.run({"image": image})["features"].reshape(side, side, self.manifest.channels).copy()
        )


def stage_session(model: Path, session: Session | str, ready: tuple[str, ...]) -> tuple[Session, Choice]:
    """The session meant, and why it is that one."""
    if isinstance(session, str):
        return open_session(model, session, ready=ready)
    return session, Choice(session.device, "given")
