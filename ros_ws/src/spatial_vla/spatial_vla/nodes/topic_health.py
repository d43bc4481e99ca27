"""How often a topic is heard, how old what it says is, and how long it was on its way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass
class Heard:
    """Since the last look: number of messages and slowest way [ms]. And the newest message's stamp [ns], 0 if none."""

    messages: int = 0
    transit_ms: float = 0.0
    stamp_ns: int = 0


class TopicHealth:
    """Counts what every subscription hears."""

    def __init__(self) -> None:
        self._heard: dict[str, Heard] = {}
        self._looked = time.monotonic()

    def expect(self, topic: str) -> None:
        """Report this topic, also while nothing comes."""
        self._heard.setdefault(topic.strip("/"), Heard())

    def heard(self, topic: str, message: Any, published_ns: int) -> None:
        """A message has come; ``published_ns``: real time [ns since 1970] at which it was sent."""
        row = self._heard[topic.strip("/")]
        row.messages += 1
        row.transit_ms = max(row.transit_ms, (time.time_ns() - published_ns) * 1e-6)
        header = getattr(message, "header", None)
        if header is not None:
            row.stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec

    def readings(self, now_ns: int) -> dict[str, float]:
        """Rate [Hz], age of the newest [ms, the node's time] and slowest way [ms], and begin to count anew."""
        now = time.monotonic()
        seconds, self._looked = now - self._looked, now
        found: dict[str, float] = {}
        for topic, row in self._heard.items():
            found[f"{topic}.hz"] = row.messages / seconds if seconds > 0.0 else 0.0
            if row.stamp_ns:
                found[f"{topic}.age_ms"] = (now_ns - row.stamp_ns) * 1e-6
            if row.messages:
                found[f"{topic}.transit_ms"] = row.transit_ms
            row.messages, row.transit_ms = 0, 0.0
        return found
