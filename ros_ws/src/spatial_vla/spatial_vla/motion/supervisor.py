"""The states of the motion stage, and the rules by which they change."""

from __future__ import annotations

from enum import IntEnum


class MotionState(IntEnum):
    """Values are those of MotionStatus.msg."""

    DISARMED = 0
    IDLE = 1
    RUNNING = 2
    HOLDING = 3
    FAULT = 4


class Supervisor:
    """Keeps the state. HOLDING lasts while any cause holds and the arm has not come to rest; FAULT until reset."""

    def __init__(self) -> None:
        self._armed = False
        self._fault = ""
        self._causes: dict[str, None] = {}
        self._holding = False
        self._last_cause = ""
        self.holds = 0
        self.stops = 0  # grows with everything that stops an arm, or would

    def state(self, following: bool) -> MotionState:
        """Current state; ``following`` tells whether there is a chunk to follow."""
        if self._fault:
            return MotionState.FAULT
        if not self._armed:
            return MotionState.DISARMED
        if self._holding:
            return MotionState.HOLDING
        return MotionState.RUNNING if following else MotionState.IDLE

    @property
    def reason(self) -> str:
        """Why the arm may not move; empty when it may."""
        if self._fault:
            return self._fault
        return "; ".join(self._causes) or (self._last_cause if self._holding else "")

    @property
    def obstacle(self) -> str:
        """What is in the way of motion at this moment, a stop that is only just ending not counted."""
        return self._fault or "; ".join(self._causes)

    @property
    def armed(self) -> bool:
        """True between arming and disarming, faults included."""
        return self._armed

    @property
    def may_follow(self) -> bool:
        """True if motion is allowed."""
        return self._armed and not self._fault and not self._holding

    def arm(self) -> None:
        """Allow motion, unless held or faulted."""
        self._armed = True

    def disarm(self) -> None:
        """Forbid motion until armed again. A fault stays latched."""
        self.stops += self._armed
        self._armed = False

    def hold(self, cause: str) -> bool:
        """Stop because of ``cause`` until it is resumed. True unless held for it already, or faulted."""
        if cause in self._causes:
            return False
        self._causes[cause] = None
        self.stops += 1
        self._last_cause = cause
        self.holds += self._armed and not self._holding
        self._holding = True
        return not self._fault

    def resume(self, cause: str) -> None:
        """``cause`` has cleared; motion is allowed again once :meth:`settled` and no other cause is left."""
        self._causes.pop(cause, None)

    def hold_while(self, cause: str, condition: bool) -> None:
        """Hold, or resume."""
        if condition:
            self.hold(cause)
        else:
            self.resume(cause)

    def settled(self) -> None:
        """The arm is at rest: a hold whose causes have cleared ends."""
        if not self._causes:
            self._holding = False

    def fault(self, reason: str) -> None:
        """Latch a fault; the first one is kept."""
        self.stops += not self._fault
        self._fault = self._fault or reason

    def reset(self) -> None:
        """Clear the fault and disarm: arming is a separate, deliberate act."""
        self._fault = ""
        self._armed = False
