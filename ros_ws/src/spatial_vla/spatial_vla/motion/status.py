"""What the motion stage reports about itself."""

from __future__ import annotations

from dataclasses import dataclass

from ..geometry import SE3
from .supervisor import MotionState


@dataclass(frozen=True, eq=False)
class ControllerStatus:
    """A snapshot of the controller.

    Attributes:
        reason: why the state is what it is, or which limit slows the arm down; empty when there is nothing to say.
        chunk_id: the chunk being followed, 0 when none.
        image_to_command_ms: observation stamp of the newest chunk used to the first command made from it; NaN before.
        reference: commanded base_from_tcp, None before arming.
        tracking_error: distance of the measured tool centre point from the commanded one of the same time [m].
        speed: commanded speed of the tool centre point [m/s].
        at_rest: the commanded joints do not move, whether or not there is a chunk to follow.
        holds: protective stops since the start.
    """

    state: MotionState
    reason: str
    chunk_id: int
    image_to_command_ms: float
    reference: SE3 | None
    tracking_error: float
    speed: float
    at_rest: bool
    chunks_accepted: int
    chunks_rejected: int
    chunks_late: int
    chunks_clamped: int
    holds: int
