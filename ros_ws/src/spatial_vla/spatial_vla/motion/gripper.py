"""The gripper as an event: hysteresis and a minimum dwell turn a stream of openings into open and close commands."""

from __future__ import annotations

CLOSE_BELOW = 0.4
OPEN_ABOVE = 0.6


class GripperSwitch:
    """Decides when to open or close. Until the first decision the gripper's state is unknown."""

    def __init__(self, open_position: float, dwell_ns: int = 300_000_000) -> None:
        """``open_position``: position of one finger when open [m]; closed is 0."""
        self._open_position = open_position
        self._dwell_ns = dwell_ns
        self._open: bool | None = None
        self._changed_ns: int | None = None

    def reset(self) -> None:
        """Forget the state: the next opening that is clear enough is sent again."""
        self._open = self._changed_ns = None

    def update(self, opening: float, now_ns: int) -> float | None:
        """Finger position to command now [m] for an ``opening`` of 1 (open) to 0 (closed), or None: no change."""
        wanted = True if opening > OPEN_ABOVE else False if opening < CLOSE_BELOW else self._open
        if wanted is None or wanted == self._open:
            return None
        if self._changed_ns is not None and 0 <= now_ns - self._changed_ns < self._dwell_ns:
            return None
        self._open, self._changed_ns = wanted, now_ns
        return self._open_position if wanted else 0.0
