"""The policy of a bundle, the one that ships with the package by default, as evaluations call it."""

from __future__ import annotations

from pathlib import Path

from ..actions import ActionChunk
from ..language.grammar import parse
from ..policy import Decoder, Encoder, default_bundle
from .observation import Observation


class BundledPolicy:
    """Encoder and decoder of a bundle.

    Args:
        bundle: its folder; None takes the one that ships with the package.
    """

    def __init__(self, bundle: str | Path | None = None) -> None:
        folder = default_bundle() if bundle is None else Path(bundle)
        self.encoder, self.decoder = Encoder(folder), Decoder(folder)

    def reset(self) -> None:
        """The decoder itself forgets what it saw once stamps go back, or on by more than a second."""

    def __call__(self, observation: Observation) -> ActionChunk:
        """See :class:`.observation.Policy`; needs depth, camera, both poses and the opening of the hand."""
        o = observation
        if (
            o.depth is None
            or o.camera is None
            or o.base_from_camera is None
            or o.base_from_tcp is None
            or o.gripper_width is None
        ):
            needed = ("depth", "camera", "base_from_camera", "base_from_tcp", "gripper_width")
            absent = [name for name in needed if getattr(o, name) is None]
            raise ValueError(
                f"the observation has no {', '.join(absent)}; this policy decides in the robot's base frame and needs "
                "them: take an environment or a data set that knows them, such as 'tabletop'"
            )
        # The vocabulary is larger than what was trained: what is outside the grammar is refused, not guessed at.
        parse(o.instruction)
        features = self.encoder.encode(o.image)
        return self.decoder.decode(
            features,
            o.depth,
            o.camera,
            o.base_from_camera,
            o.base_from_tcp,
            o.gripper_width,
            o.instruction,
            o.stamp_ns,
        )
