"""Quality of service of every kind of topic, defined once.

Sensor streams are published reliable and consumed best-effort (REP-2003): a slow consumer never holds up the camera.
A best-effort image that comes in several datagrams is lost with any one of them. Over UDP on one machine Fast DDS loses
most of them for minutes after another subscriber was killed; so cameras on the same machine are consumed reliably, by
every node: ``reliable_camera``.
"""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

#: A process is suspected to be frozen when its lease has not been renewed for this long.
LIVELINESS_LEASE_NS = 150_000_000
#: The lease that a process promises. The middleware renews it every two thirds of this, so that on a busy machine
#: several renewals may come late before anybody takes notice.
LIVELINESS_PROMISE_NS = 50_000_000


def _keep_last(depth: int, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability
    )


SENSOR_OUT = _keep_last(5, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
SENSOR_IN = _keep_last(5, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
LATEST_IN = _keep_last(1, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
LATEST = _keep_last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
COMMAND = _keep_last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
STREAM = _keep_last(5, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
TF = _keep_last(100, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
TF_STATIC = _keep_last(100, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
LATCHED = _keep_last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)


def _alive(lease_ns: int) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
        liveliness=LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=Duration(nanoseconds=lease_ns),
    )


def camera_in(reliable: bool) -> QoSProfile:
    """The newest camera message; ``reliable`` only meets a publisher that is, too."""
    return LATEST if reliable else LATEST_IN


def sensor_in(reliable: bool) -> QoSProfile:
    """The same for those who want every message."""
    return STREAM if reliable else SENSOR_IN


ALIVE_OUT = _alive(LIVELINESS_PROMISE_NS)
ALIVE_IN = _alive(LIVELINESS_LEASE_NS)
