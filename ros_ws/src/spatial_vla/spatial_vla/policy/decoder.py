"""The Ego3D-conditioned action decoder: features, depth, tool and a sentence to an action chunk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..actions import ActionChunk
from ..geometry import SE3, PinholeCamera
from ..runtime import Session
from .encoder import stage_session
from .manifest import read_manifest
from .preprocess import cell_points, tool_state

HIDING = 0.12
"""A tool this close to the target may hide it from the camera [m]."""
REST = (0.006, 0.06)
"""A chunk that gets nowhere, this far and this much turned in all [m, rad], is meant as rest: cells are not finer."""
MEMORY_NS = 1_000_000_000
"""What was seen longer ago is forgotten."""


@dataclass(frozen=True)
class Sighting:
    """Where the named object was when it was last pointed at, base frame [m]."""

    instruction: str
    stamp_ns: int
    target: NDArray[np.float64]

    def applies(self, instruction: str, stamp_ns: int, tool: NDArray[np.float64]) -> bool:
        """True if this is about the same object, recent, and the tool may now be in the way."""
        recent = 0 <= stamp_ns - self.stamp_ns < MEMORY_NS
        near = float(np.linalg.norm(self.target - tool)) < HIDING
        return recent and near and instruction == self.instruction


class Decoder:
    """Runs the decoder of a policy bundle.

    The hand hides what it reaches for. So while the tool is near the object, only cells near where the object was last
    seen may be pointed at, and "not in view" does not stop the hand. Otherwise every call stands for itself.

    Args:
        bundle: folder with ``manifest.json``.
        session: engine to use, or one of :data:`spatial_vla.runtime.KINDS`.

    Attributes:
        choice: which kind of session runs, and why.
        pointer: (rows * side, cols * side) probability of every sub-cell in the last call, for display.
    """

    def __init__(self, bundle: Path, session: Session | str = "onnxruntime") -> None:
        self.manifest = read_manifest(bundle)
        self.grid = self.manifest.action_grid()
        self.vocabulary = self.manifest.vocabulary()
        self.session, self.choice = stage_session(bundle / "decoder.onnx", session, self.manifest.ready)
        self.pointer: NDArray[np.float32] | None = None
        self._sighting: Sighting | None = None
        self.session.warmup()

    def decode(
        self,
        features: NDArray[np.float32],
        depth: NDArray[np.float32],
        camera: PinholeCamera,
        base_from_camera: SE3,
        base_from_tcp: SE3,
        gripper_width: float,
        instruction: str,
        stamp_ns: int,
    ) -> ActionChunk:
        """The next steps for an instruction, as seen at ``stamp_ns``.

        Args:
            features: (rows, cols, channels) of the encoder for the colour image of that moment.
            depth: (H, W) metres, registered to it. camera: intrinsics of the depth image.
            base_from_camera, base_from_tcp: poses of optical frame and tool centre point at that moment.
            gripper_width: opening of the hand [m].
            instruction: a sentence; stamp_ns: observation time.

        Returns:
            A chunk whose ``target`` is None, and whose steps are all "no motion, hand as it is", if the named object is
            not in view.

        Raises:
            UnknownInstruction: for words outside the vocabulary.
            ValueError: for arrays of the wrong shape.
        """
        m = self.manifest
        if features.shape != (m.side, m.side, m.channels):
            raise ValueError(
                f"features are {features.shape}; this decoder reads {(m.side, m.side, m.channels)}"
            )
        words = self.vocabulary.encode(instruction)
        points, valid = cell_points(
            depth, camera, base_from_camera, size=m.image_size, patch=m.patch, cells=m.cells
        )
        seen = self._sighting
        if seen is not None and not seen.applies(instruction, stamp_ns, base_from_tcp.translation):
            seen = None
        if seen is not None:
            valid &= np.linalg.norm(points - seen.target, axis=-1) < HIDING
        out = self.session.run(
            {
                "features": features.reshape(1, -1, m.channels),
                "points": points[None],
                "valid": valid[None],
                "state": tool_state(base_from_tcp, gripper_width)[None],
                "words": words[None],
            }
        )
        # Copies: the session writes its next result to the same place.
        self.pointer = out["pointer"][0].copy()
        ids = out["tokens"][0].copy()
        deltas, gripper = self.grid.decode(ids)
        for part, least in zip((slice(0, 3), slice(3, 6)), REST, strict=True):
            if np.linalg.norm(deltas[:, part].sum(axis=0)) < least:
                deltas[:, part] = 0.0
        target: NDArray[np.float64] | None = out["target"][0].astype(np.float64)
        if out["absent"][0] > 0.5 and seen is None:
            deltas, gripper, target = (
                np.zeros_like(deltas),
                np.full_like(gripper, float(gripper_width > 0.07)),
                None,
            )
        if target is not None:
            self._sighting = Sighting(instruction, stamp_ns, target)
        return ActionChunk(
            stamp_ns=stamp_ns,
            dt=m.dt,
            frame=m.base_frame,
            deltas=deltas,
            gripper=gripper,
            token_ids=ids,
            log_probabilities=out["log_probabilities"][0].copy(),
            target=target,
        )
