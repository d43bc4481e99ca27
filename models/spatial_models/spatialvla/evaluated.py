"""SpatialVLA as evaluations call it: observations in, action chunks out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from spatial_vla.actions import ActionChunk
from spatial_vla.evaluation import Observation

from .policy import SpatialVlaPolicy


class EvaluatedSpatialVla:
    """A checkpoint's policy, as :class:`spatial_vla.evaluation.Policy`.

    Args:
        folder: of the checkpoint. key: data set whose robot is driven.
        geometry: "released" has depth estimated and takes the intrinsics that the released weights were trained with;
            "measured" takes depth and intrinsics of the observation.
        dtype: float32 or bfloat16; None keeps the file's. device, bits, dt, rotations, compat, compiled: as of
            the policy.
    """

    def __init__(
        self,
        folder: str | Path,
        key: str,
        *,
        geometry: Literal["released", "measured"] = "released",
        device: str = "cpu",
        dtype: Literal["float32", "bfloat16"] | None = None,
        bits: Literal[4, 8] | None = None,
        dt: float = 0.2,
        rotations: Literal["euler", "vector"] = "euler",
        compat: bool = False,
        compiled: bool = False,
    ) -> None:
        if geometry not in ("released", "measured"):
            raise ValueError(f"geometry {geometry!r}; expected 'released' or 'measured'")
        self.measured = geometry == "measured"
        self.policy = SpatialVlaPolicy.from_folder(
            folder,
            key,
            device=device,
            dtype=None if dtype is None else getattr(torch, dtype),
            bits=bits,
            depth_network=not self.measured,
            dt=dt,
            rotations=rotations,
            compat=compat,
            compiled=compiled,
        )

    def reset(self) -> None:
        """Every answer stands for itself."""

    def __call__(self, observation: Observation) -> ActionChunk:
        """See :class:`spatial_vla.evaluation.Policy`."""
        depth, camera = observation.depth, observation.camera
        if not self.measured:
            depth, camera = None, None
        elif depth is None or camera is None:
            raise ValueError(
                "the observation has no depth or no intrinsics; take geometry=released, or an environment that has them"
            )
        intrinsics = None if camera is None else camera.K
        o = observation
        return self.policy(o.image, depth, intrinsics, o.instruction, o.stamp_ns)
