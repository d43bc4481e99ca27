"""After a jump of time or of the measurement: the arm starts again from where it is found at rest."""

from __future__ import annotations

from .measurement import ArmMeasurement, JointReading

#: The measurement must be steady for this long before the arm starts from it.
SETTLING_NS = 50_000_000


class Restart:
    """Knows since when and why it is not known where the arm is, and when it is known again."""

    def __init__(self, measurement: ArmMeasurement, timeout: float) -> None:
        """``timeout``: oldest joint state to start from [s]."""
        self._measurement, self._timeout = measurement, timeout
        self._since_ns, self._taken_before = 0, 0
        self.under_way = False
        self.reason = ""

    def begin(self, now_ns: int, reason: str) -> None:
        """What was measured so far no longer counts."""
        self._since_ns, self.reason, self.under_way = now_ns, f"{reason}; starting again at rest", True
        self._taken_before = self._measurement.taken

    def end(self) -> None:
        """The arm has started, or cannot."""
        self.under_way = False

    def doubts(self, passed: float, longest: float) -> bool:
        """True if it is not known how far the arm has come with what it was told ``passed`` seconds ago."""
        return self.under_way or not 0.0 <= passed <= longest

    @property
    def found(self) -> JointReading | None:
        """Where the arm has been measured since; how old that is cannot be told by clocks that have just been set."""
        return self._measurement.latest if self._measurement.taken > self._taken_before else None

    def steady(self, now_ns: int) -> JointReading | None:
        """Where to start from; None until the arm has been found at rest, for a while, by a clock that agrees."""
        found = self.found
        fresh = abs(self._measurement.age(now_ns)) <= self._timeout
        settled = now_ns - self._since_ns >= SETTLING_NS
        return found if found is not None and found.at_rest and fresh and settled else None
