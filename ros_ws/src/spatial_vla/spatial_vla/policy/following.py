"""When has an instruction been followed? The rules, apart from any middleware."""

from __future__ import annotations

from dataclasses import dataclass

FRESH_NS = 500_000_000  # a chunk older than this says nothing about the present


PATIENCE = (
    3  # settle times to wait for a policy that has not found anything yet: something may stand in its view
)


@dataclass(frozen=True)
class Ending:
    """How an instruction ended. ``success``: the policy finished by itself; whether the task is done it cannot know."""

    success: bool
    message: str


class Following:
    """One instruction from acceptance to its end.

    It ends well when the chunks have said "no motion" for ``settle_ns`` while the arm was at rest, and badly when time
    is up, motion or policy report a fault, or the policy never found anything to do. All times are int nanoseconds on
    one clock.
    """

    def __init__(self, started_ns: int, timeout_ns: int, settle_ns: int) -> None:
        self.started_ns = started_ns
        self.chunks = 0
        self._timeout_ns = timeout_ns
        self._settle_ns = settle_ns
        self._last_chunk_ns = started_ns
        self._still_since_ns: int | None = None
        self._found_something = False
        self._motion_fault = self._policy_fault = ""
        self._obstacle = ""

    def on_chunk(self, now_ns: int, zero_motion: bool, has_target: bool) -> None:
        """A chunk for this instruction has arrived."""
        self.chunks += 1
        self._last_chunk_ns = now_ns
        self._found_something |= has_target or not zero_motion
        if not zero_motion:
            self._still_since_ns = None
        elif self._still_since_ns is None:
            self._still_since_ns = now_ns

    def on_motion(self, now_ns: int, at_rest: bool, fault: str, obstacle: str) -> None:
        """The motion stage has reported: whether the reference is at rest, a latched fault, what holds it up."""
        self._motion_fault, self._obstacle = fault, obstacle
        # An arm that is held up is at rest for another reason than that the policy is content.
        if (not at_rest or obstacle) and self._still_since_ns is not None:
            self._still_since_ns = now_ns

    def on_policy(self, fault: str) -> None:
        """The policy has reported; ``fault`` is empty when it can go on."""
        self._policy_fault = fault

    def ending(self, now_ns: int) -> Ending | None:
        """How it ended, or None while it goes on."""
        elapsed = (now_ns - self.started_ns) * 1e-9
        if elapsed < 0.0:
            return Ending(False, f"time jumped back by {-elapsed:.1f} s or more")
        if fault := self._motion_fault or self._policy_fault:
            return Ending(False, fault)
        still_ns = self._still_ns(now_ns)
        if self._found_something and still_ns >= self._settle_ns:
            return Ending(True, f"the policy came to rest after {elapsed:.1f} s")
        if still_ns >= PATIENCE * self._settle_ns:
            return Ending(False, "the policy saw nothing that the instruction could mean, and did not move")
        if now_ns - self.started_ns >= self._timeout_ns:
            return Ending(False, f"timed out after {elapsed:.1f} s{self._why()}")
        return None

    def _still_ns(self, now_ns: int) -> int:
        """How long the policy has wanted no motion, to this moment; -1 if it wants one or is silent."""
        if self._still_since_ns is None or now_ns - self._last_chunk_ns > FRESH_NS:
            return -1
        return now_ns - self._still_since_ns

    def _why(self) -> str:
        if self._obstacle:
            return f": {self._obstacle}"
        return "" if self.chunks else ": no action chunk ever came; see policy_status"
