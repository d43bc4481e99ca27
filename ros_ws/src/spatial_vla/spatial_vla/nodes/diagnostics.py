"""Health of a node on /diagnostics: one level, one sentence, and its counters."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode

from .topic_health import TopicHealth

PERIOD = 1.0  # [s]
SAMPLES = 1000
SAY_AGAIN = 5.0  # [s] before the same kind of refusal is logged again


def written(value: float) -> str:
    """A reading as text, never to be taken for a counter: those alone have neither point nor exponent."""
    text = f"{value:.4g}"
    return f"{text}.0" if text.lstrip("-").isdigit() else text


class Diagnostics:
    """Publishes once per second of real time, also while simulated time stands still.

    A refusal shows as a warning for one period; ``set`` states the health that holds in between. ``counters`` count
    events since the start, ``readings`` hold latest values, ``topics`` tell of every subscription, and what was given
    to ``measure`` shows as median and 99th percentile; all of it is published.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self.counters: Counter[str] = Counter()
        self.readings: dict[str, float] = {}
        self.topics = TopicHealth()
        self._samples: dict[str, deque[float]] = {}
        self._node = node
        self._level: bytes = DiagnosticStatus.OK
        self._message = "not configured"
        self._warning = self.last_refusal = ""
        self._said: dict[str, float] = {}
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(PERIOD, self.publish, clock=self._steady)

    def set(self, level: bytes, message: str) -> None:
        """State the node's health: a level of DiagnosticStatus and one sentence."""
        self._level, self._message = level, message

    def measure(self, name: str, value: float) -> None:
        """One of many: published as ``name.median`` and ``name.p99`` of the last thousand."""
        self._samples.setdefault(name, deque(maxlen=SAMPLES)).append(value)

    def refuse(self, counter: str, reason: str) -> None:
        """Count a refused input, warn of it in the next message, and log it unless it was logged just now."""
        self.counters[counter] += 1
        self._warning = self.last_refusal = reason
        now = self._steady.now().nanoseconds * 1e-9
        if now - self._said.get(counter, -SAY_AGAIN) >= SAY_AGAIN:
            self._said[counter] = now
            self._node.get_logger().warning(f"{reason} [{counter}: {self.counters[counter]}]")

    def publish(self) -> None:
        """Publish the present state."""
        status = DiagnosticStatus(
            name=self._node.get_fully_qualified_name().lstrip("/"),
            hardware_id="spatial_vla",
            level=self._level,
            message=self._message,
        )
        if self._warning and self._level == DiagnosticStatus.OK:
            status.level, status.message = DiagnosticStatus.WARN, self._warning
        self._warning = ""
        status.values = [KeyValue(key=key, value=str(n)) for key, n in sorted(self.counters.items())]
        readings = (
            self.readings
            | self._percentiles()
            | self.topics.readings(self._node.get_clock().now().nanoseconds)
        )
        status.values += [KeyValue(key=key, value=written(x)) for key, x in sorted(readings.items())]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _percentiles(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, values in self._samples.items():
            found[f"{name}.median"], found[f"{name}.p99"] = np.percentile(values, (50, 99)).tolist()
        return found
