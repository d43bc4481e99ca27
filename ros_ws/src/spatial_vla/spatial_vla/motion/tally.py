"""How often the arm was stopped, held back or given less than was asked for, and why: by kind, to be counted."""

from __future__ import annotations

import re
from collections import Counter

from .gate import Verdict
from .status import ControllerStatus
from .supervisor import MotionState

STOPPED = (MotionState.HOLDING, MotionState.FAULT)
LIMITED = "limited by "
#: Said after a cause, and none itself.
REMARK = "; starting again at rest"


def kind_of(reason: str) -> str:
    """A reason without its particulars: 'workspace: panda_tcp at [0.9, 0, 0.2]' is 'workspace'."""
    words = re.sub(r"\[[^\]]*\]|-?\d+\.\d+( s| m| rad)?", " ", reason.split(":")[0])
    return re.sub(r"\W+", "_", words).strip("_").lower()


class MotionTally:
    """Counts beginnings, not ticks. ``counts`` maps 'stop.<cause>', 'limit.<which>', 'clamp.<what>' to numbers."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._stopped_by: frozenset[str] = frozenset()
        self._limited_by = ""

    def note(self, status: ControllerStatus) -> None:
        """After every tick."""
        stopped = status.state in STOPPED
        reasons = status.reason.replace(REMARK, "").split("; ") if stopped and status.reason else []
        causes = frozenset(map(kind_of, reasons))
        for cause in causes - self._stopped_by:
            self.counts[f"stop.{cause}"] += 1
        self._stopped_by = causes
        limited = status.state is MotionState.RUNNING and status.reason.startswith(LIMITED)
        limit = kind_of(status.reason.removeprefix(LIMITED)) if limited else ""
        if limit and limit != self._limited_by:
            self.counts[f"limit.{limit}"] += 1
        self._limited_by = limit

    def note_chunk(self, verdict: Verdict) -> None:
        """After every chunk: an accepted one whose steps were shortened says by how much in its reason."""
        for unit, what in ((" m exceeds", "translation"), (" rad exceeds", "rotation")):
            self.counts[f"clamp.{what}"] += verdict.accepted and unit in verdict.reason
