"""The spatial encoder: an RGB frame to a map of patch features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..runtime import OnnxRuntimeSession, Session
from .manifest import read_manifest
from .preprocess import encoder_image


class Encoder:
    """Runs the encoder of a policy bundle.

    Args:
        bundle: folder with ``manifest.json``.
        session: engine to use; ``encoder.onnx`` on ONNX Runtime if None.
    """

    def __init__(self, bundle: Path, session: Session | None = None) -> None:
        self.manifest = read_manifest(bundle)
        self.session = session or OnnxRuntimeSession(bundle / "encoder.onnx")
        self.encode(np.zeros((self.manifest.image_size, self.manifest.image_size, 3), np.uint8))  # warm up

    def encode(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB (H, W, 3) uint8 of any size to features (rows, cols, channels) float32."""
        features = self.session.run({"image": encoder_image(rgb, self.manifest.image_size)})["features"]
        side = self.manifest.side
        return features.reshape(side, side, self.manifest.channels)
