"""The deadman switch: somebody says "go on" again and again, and the arm stops when they do not."""

from __future__ import annotations

RELEASED = "deadman switch is not held"


class Deadman:
    """Held from a message that says so until one says otherwise, or none has come for ``timeout`` seconds.

    Times are of a clock that nobody sets [s].
    """

    def __init__(self, timeout: float) -> None:
        if timeout <= 0.0:
            raise ValueError(f"deadman timeout is {timeout} s; it must be positive")
        self._timeout = timeout
        self._pressed_at: float | None = None

    def heard(self, pressed: bool, now: float) -> None:
        """A message has come."""
        self._pressed_at = now if pressed else None

    def held(self, now: float) -> bool:
        """True while the lease lasts."""
        return self._pressed_at is not None and 0.0 <= now - self._pressed_at <= self._timeout
