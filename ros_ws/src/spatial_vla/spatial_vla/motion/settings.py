"""Times and thresholds of the motion stage that a robot may want otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field

from .gate import GateSettings


@dataclass(frozen=True)
class MotionSettings:
    """Times and thresholds of the controller.

    Attributes:
        joint_state_timeout: oldest joint state to move on [s].
        hold_error: distance [m] and angle [rad] between reference and measurement that freeze the arm.
        fault_after: a freeze that lasts this long becomes a fault [s].
        freezes_allowed: one more than this many freezes within ten seconds is a fault, too.
        teleports: the arm may be put elsewhere, as simulated ones are; of others that is not believed, but a fault.
        late_tick: time between two steps of a moving arm after which it starts anew, at rest [s].
        real_time_chunking: a new chunk goes over from the one under way instead of replacing it.
    """

    gate: GateSettings = field(default_factory=GateSettings)
    joint_state_timeout: float = 0.1
    hold_error: tuple[float, float] = (0.03, 0.2)
    fault_after: float = 1.0
    freezes_allowed: int = 3
    teleports: bool = False
    late_tick: float = 0.05
    real_time_chunking: bool = False
