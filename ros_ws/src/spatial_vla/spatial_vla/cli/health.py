"""What the nodes said of themselves on /diagnostics, added up: over a few seconds of a running graph, or over a bag."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

LEVELS = ("OK", "WARN", "ERROR", "STALE")
#: Ending of a reading's name -> what it is about.
TOPIC_READINGS = (".hz", ".age_ms", ".transit_ms")


@dataclass
class NodeHealth:
    """Of one node.

    Attributes:
        level, message: the newest. worst: the highest level ever, and the first message that came with it.
        counters: newest values; they count from the node's start. readings: all values, in order of time.
    """

    level: int = 0
    message: str = ""
    worst: tuple[int, str] = (-1, "")
    counters: dict[str, int] = field(default_factory=dict)
    readings: dict[str, list[float]] = field(default_factory=dict)

    def add(self, status: Any) -> None:
        """One DiagnosticStatus, of rclpy or of a bag."""
        self.level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
        self.message = status.message
        if self.level > self.worst[0]:
            self.worst = self.level, status.message
        for entry in status.values:
            self._add_value(entry.key, entry.value)

    def _add_value(self, name: str, text: str) -> None:
        """Counters are written as whole numbers, readings always with a point or an exponent."""
        if text.isdigit():
            self.counters[name] = int(text)
            return
        try:
            value = float(text)
        except ValueError:
            return  # words
        if isfinite(value):
            self.readings.setdefault(name, []).append(value)


def health(messages: Iterable[Any]) -> dict[str, NodeHealth]:
    """Node name -> its health, from DiagnosticArrays in order of time."""
    nodes: dict[str, NodeHealth] = {}
    for message in messages:
        for status in message.status:
            nodes.setdefault(status.name, NodeHealth()).add(status)
    return dict(sorted(nodes.items()))


def health_of_run(folder: Path) -> dict[str, NodeHealth]:
    """Of a recorded run, or of any bag. Raises FileNotFoundError if there is no bag in ``folder``."""
    from spatial_vla.report.bag import read_bag
    from spatial_vla.report.recorder import BAG

    bag = folder / BAG if (folder / BAG).is_dir() else folder
    if not (bag / "metadata.yaml").is_file():
        raise FileNotFoundError(
            f"{folder} holds no bag (metadata.yaml); give the folder of a run or of a bag"
        )
    return health(message for _, _, message in read_bag(bag, ["/diagnostics"]))


def rows(node: NodeHealth) -> list[tuple[str, str]]:
    """A node's figures, as (name, text): readings with median and range, a line per topic, counters that count."""
    topics: dict[str, dict[str, float]] = {}
    lines: list[tuple[str, str]] = []
    for name, values in sorted(node.readings.items()):
        middle = sorted(values)[len(values) // 2]
        ending = next((e for e in TOPIC_READINGS if name.endswith(e)), None)
        if ending:
            worst = {".hz": middle, ".age_ms": middle, ".transit_ms": max(values)}[ending]
            topics.setdefault(name.removesuffix(ending), {})[ending] = worst
        elif min(values) == max(values):
            lines.append((name, f"{middle:.4g}"))
        else:
            lines.append((name, f"{middle:.4g} ({min(values):.4g} to {max(values):.4g})"))
    for topic, found in sorted(topics.items()):
        parts = [f"{found.get('.hz', 0.0):.1f} Hz"]
        parts += [f"{found['.age_ms']:.0f} ms old"] if ".age_ms" in found else []
        parts += [f"at most {found['.transit_ms']:.1f} ms on its way"] if ".transit_ms" in found else []
        lines.append((f"hears {topic}", ", ".join(parts)))
    counted = [(name, str(count)) for name, count in sorted(node.counters.items()) if count]
    return [*lines, *counted]
