"""Keeps simulated time from running ahead of the wall clock."""

from __future__ import annotations

import time

#: Pause before a late tick [s], in which other threads get at what the ticking one holds.
BREATH = 2e-4


class Pacer:
    """Spaces ticks ``period / factor`` apart in wall time. Lost time is lost: a late tick delays all later ones."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._next = time.monotonic()

    def wait(self, factor: float) -> None:
        """Sleep until the next tick is due; ``factor`` is simulated seconds per second."""
        self._next = max(self._next + self._period / factor, time.monotonic() + BREATH)
        time.sleep(max(0.0, self._next - time.monotonic()))
