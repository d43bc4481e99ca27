"""The first check of an action chunk: is it well-formed, timely, in a known frame, and of sane size?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..actions import ActionChunk

Array = NDArray[np.float64]

#: Clocks of two processes under simulated time differ by a few ticks; more than this is an error.
FUTURE_TOLERANCE_NS = 50_000_000

#: A step that exceeds its cap this many times is not shortened but taken for an error, of unit or scale.
ABSURD = 10.0


@dataclass(frozen=True)
class Verdict:
    """Whether something was accepted, and why not (or what was changed)."""

    accepted: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.accepted


@dataclass(frozen=True)
class GateSettings:
    """What the gate lets through.

    Attributes:
        frame: the only frame deltas may be expressed in.
        max_translation: largest norm of one step's translation [m].
        max_rotation: largest norm of one step's rotation vector [rad].
        over_limit: shorten a step that exceeds a cap, or refuse its chunk.
        max_steps: longest chunk.
        dt_range: shortest and longest step [s].
    """

    frame: str = "panda_link0"
    max_translation: float = 0.06
    max_rotation: float = 0.35
    over_limit: Literal["clamp", "reject"] = "clamp"
    max_steps: int = 64
    dt_range: tuple[float, float] = (0.02, 1.0)


class ActionGate:
    """Judges chunks one by one. ``counts`` tells how many were ``accepted``, ``rejected``, ``late``, ``clamped``."""

    def __init__(self, settings: GateSettings) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self._last: ActionChunk | None = None

    def forget(self) -> None:
        """Start a new sequence of ids: the sender may have been restarted."""
        self._last = None

    def refuse(self, reason: str) -> Verdict:
        """Count and return a refusal."""
        self.counts["rejected"] += 1
        return Verdict(False, reason)

    def check(self, chunk: ActionChunk, now_ns: int) -> tuple[Verdict, ActionChunk]:
        """Judge ``chunk``; the second value is the chunk to execute (shortened where the caps ask for it)."""
        reason = self._malformed(chunk) or self._out_of_order(chunk, now_ns)
        if reason:
            return self.refuse(reason), chunk
        if chunk.horizon_ns <= now_ns:
            self.counts["late"] += 1
            age = (now_ns - chunk.stamp_ns) * 1e-9
            return Verdict(False, f"chunk {chunk.chunk_id} is late: observed {age:.3f} s ago"), chunk
        deltas, over = self._capped(chunk.deltas)
        if over and self.settings.over_limit == "reject":
            return self.refuse(f"chunk {chunk.chunk_id}: {over}"), chunk
        self.counts["clamped"] += bool(over)
        self.counts["accepted"] += 1
        self._last = chunk
        return Verdict(True, over), replace(chunk, deltas=deltas, gripper=np.clip(chunk.gripper, 0.0, 1.0))

    def _malformed(self, chunk: ActionChunk) -> str:
        """What is wrong with the chunk itself; empty when nothing is."""
        s = self.settings
        deltas, gripper = np.asarray(chunk.deltas), np.asarray(chunk.gripper)
        if chunk.frame != s.frame:
            return f"chunk {chunk.chunk_id} is in frame {chunk.frame!r}; only {s.frame!r} is accepted"
        if deltas.ndim != 2 or deltas.shape[1] != 6 or not 1 <= len(deltas) <= s.max_steps:
            return f"deltas have shape {deltas.shape}; expected (1..{s.max_steps}, 6)"
        if gripper.shape != (len(deltas),):
            return f"gripper has shape {gripper.shape}; expected ({len(deltas)},)"
        if not (np.isfinite(deltas).all() and np.isfinite(gripper).all()):
            return f"chunk {chunk.chunk_id} holds NaN or infinity"
        if not s.dt_range[0] <= chunk.dt <= s.dt_range[1]:
            return f"step duration {chunk.dt} s is outside {s.dt_range}"
        too_far = np.abs(deltas) > ABSURD * np.array([s.max_translation] * 3 + [s.max_rotation] * 3)
        if too_far.any():
            return f"step of {np.abs(deltas[too_far]).max():.4g} is absurd; deltas are in metres and radians"
        if np.any(np.abs(gripper - 0.5) > 0.6):
            return f"gripper values {gripper.tolist()} are outside [0, 1]"
        return ""

    def _out_of_order(self, chunk: ActionChunk, now_ns: int) -> str:
        """Why the chunk does not continue the sequence; empty when it does."""
        ahead = chunk.stamp_ns - now_ns
        if ahead > FUTURE_TOLERANCE_NS:
            return f"chunk {chunk.chunk_id} is stamped {ahead * 1e-9:.3f} s in the future"
        last = self._last
        if last is None:
            return ""
        if chunk.stamp_ns <= last.stamp_ns:
            return f"chunk {chunk.chunk_id} is not newer than chunk {last.chunk_id}"
        # A restarted sender counts from the beginning again; that is only plausible after a silence.
        if chunk.chunk_id <= last.chunk_id and chunk.stamp_ns < last.horizon_ns:
            return f"chunk id {chunk.chunk_id} does not follow {last.chunk_id}"
        return ""

    def _capped(self, deltas: Array) -> tuple[Array, str]:
        """Steps shortened to the caps, direction kept, and a note of what exceeded them."""
        s = self.settings
        capped = np.array(deltas, dtype=np.float64)
        notes = []
        for part, cap, unit in ((slice(0, 3), s.max_translation, "m"), (slice(3, 6), s.max_rotation, "rad")):
            norm = np.linalg.norm(capped[:, part], axis=1)
            if np.any(norm > cap):
                notes.append(f"step of {norm.max():.4g} {unit} exceeds {cap} {unit}")
                capped[:, part] *= np.minimum(1.0, cap / np.maximum(norm, 1e-12))[:, None]
        return capped, "; ".join(notes)
