"""What the policy is doing, as PolicyStatus and in the diagnostics."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus
from spatial_vla_interfaces.msg import PolicyStatus

from ..policy.pairing import STALE, UNPAIRED
from . import qos
from .conversions import time_message
from .spatial_node import SpatialNode

STALL_NS = 500_000_000  # without a chunk, in the node's time
LEVELS = {
    PolicyStatus.IDLE: DiagnosticStatus.OK,
    PolicyStatus.RUNNING: DiagnosticStatus.OK,
    PolicyStatus.STALLED: DiagnosticStatus.WARN,
    PolicyStatus.FAULT: DiagnosticStatus.ERROR,
}
NAMES = ("IDLE", "RUNNING", "STALLED", "FAULT")  # by value


class PolicyReport:
    """Follows the policy from one instruction to the next and publishes its state on ``policy_status``."""

    def __init__(self, node: SpatialNode) -> None:
        self._node = node
        self._status = PolicyStatus()
        self._lively_ns = 0
        self._obstacle = ""
        self._publisher = node.publish_on(PolicyStatus, "policy_status", qos.STREAM)

    def begin(self, instruction_id: int) -> None:
        """An instruction is active from now on."""
        self._status.instruction_id = instruction_id
        self._enter(PolicyStatus.RUNNING)
        self._lively_ns = self._node.now_ns()
        self.publish("")

    def end(self) -> None:
        """No instruction is active."""
        self._status.instruction_id = 0
        self._enter(PolicyStatus.IDLE)
        self.publish("")

    def fail(self, reason: str) -> None:
        """The policy cannot go on with this instruction."""
        self._enter(PolicyStatus.FAULT, reason)
        self.publish("")

    def chunk(self, encode_ms: float, decode_ms: float, ros_overhead_ms: float) -> None:
        """A chunk has been published."""
        status = self._status
        status.chunks += 1
        measured = {"encode_ms": encode_ms, "decode_ms": decode_ms, "ros_overhead_ms": ros_overhead_ms}
        for name, value in measured.items():
            self._node.diagnostics.measure(name, value)
        status.encode_ms, status.decode_ms, status.ros_overhead_ms = encode_ms, decode_ms, ros_overhead_ms
        self._lively_ns = self._node.now_ns()
        self._enter(PolicyStatus.RUNNING)
        self.publish("")

    def publish(self, obstacle: str) -> None:
        """Publish the state. ``obstacle`` is what stands in the way of chunks, should none have come for a while."""
        status, now_ns = self._status, self._node.now_ns()
        at_work = status.state in (PolicyStatus.RUNNING, PolicyStatus.STALLED)
        if at_work and now_ns - self._lively_ns > STALL_NS:
            self._enter(PolicyStatus.STALLED, obstacle or "no usable frame arrives")
        status.header.stamp = time_message(now_ns)
        status.frames_dropped_stale = self._node.counters[STALE]
        status.frames_dropped_unpaired = self._node.counters[UNPAIRED]
        self._publisher.publish(status)

    def _enter(self, state: int, reason: str = "") -> None:
        if (state, reason) == (self._status.state, self._status.reason):
            return
        self._status.state, self._status.reason = state, reason
        sentence = f"{NAMES[state]}: {reason}" if reason else NAMES[state]
        self._node.diagnostics.set(LEVELS[state], sentence)
        self._node.get_logger().info(sentence)
