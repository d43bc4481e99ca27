"""Stand-ins for the classes of tf2_ros, for machines that have rclpy but not tf2."""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Iterable
from typing import Any

from geometry_msgs.msg import Transform, TransformStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from .exceptions import TransformException
from .pose import Pose
from .tree import DEFAULT_CACHE_NS, TransformTree

MOVING = QoSProfile(depth=100)
STATIC_OUT = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
STATIC_IN = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Buffer:
    """Stores transforms and answers look-ups, as ``tf2_ros.Buffer`` does.

    Args:
        cache_time: how long samples are kept; 10 s unless told.
        node: accepted for the sake of the signature; unused.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        self._tree = TransformTree(cache_time.nanoseconds if cache_time else DEFAULT_CACHE_NS)
        self._news = threading.Condition()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Store a moving transform. Raises InvalidArgumentException if it is malformed."""
        self._insert(transform, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Store a transform that holds at all times. Raises InvalidArgumentException if it is malformed."""
        self._insert(transform, static=True)

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration | None = None
    ) -> TransformStamped:
        """Pose of ``source_frame`` in ``target_frame``; ``Time()`` asks for the latest common time.

        Args:
            timeout: real time to wait for it. It blocks, so only use it from a thread that does not spin.

        Raises:
            LookupException, ConnectivityException, ExtrapolationException, InvalidArgumentException.
        """
        if timeout is not None and timeout.nanoseconds > 0:
            self.can_transform(target_frame, source_frame, time, timeout)
        pose, stamp = self._tree.lookup(target_frame, source_frame, time.nanoseconds)
        return _to_message(target_frame, source_frame, stamp, pose)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration | None = None,
        return_debug_tuple: bool = False,
    ) -> Any:
        """Whether ``lookup_transform`` would succeed; as a tuple with the reason if ``return_debug_tuple``."""
        deadline = clock.monotonic() + (timeout.nanoseconds * 1e-9 if timeout else 0.0)
        with self._news:
            while reason := self._obstacle(target_frame, source_frame, time.nanoseconds):
                left = deadline - clock.monotonic()
                if left <= 0.0 or not self._news.wait(left):
                    break
        return (not reason, reason) if return_debug_tuple else not reason

    def clear(self) -> None:
        """Forget all moving transforms."""
        self._tree.clear()

    def _insert(self, message: TransformStamped, static: bool) -> None:
        stamp = message.header.stamp
        t, q = message.transform.translation, message.transform.rotation
        pose = Pose((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
        nanoseconds = stamp.sec * 1_000_000_000 + stamp.nanosec
        self._tree.insert(message.header.frame_id, message.child_frame_id, nanoseconds, pose, static)
        with self._news:
            self._news.notify_all()

    def _obstacle(self, target: str, source: str, stamp: int) -> str:
        try:
            self._tree.lookup(target, source, stamp)
        except TransformException as error:
            return str(error)
        return ""


class StaticTransformListener:
    """Feeds a buffer, ours or that of tf2_ros, from /tf_static; malformed transforms are logged and skipped."""

    def __init__(self, buffer: Any, node: Node) -> None:
        self._buffer = buffer
        self._node = node
        self._static = node.create_subscription(TFMessage, "/tf_static", self._on_static, STATIC_IN)

    def unregister(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._static)

    def _on_static(self, message: TFMessage) -> None:
        self._store(message, self._buffer.set_transform_static)

    def _store(self, message: TFMessage, store: Any) -> None:
        for transform in message.transforms:
            try:
                store(transform, "default_authority")
            except TransformException as error:
                self._node.get_logger().warning(f"ignored: {error}", throttle_duration_sec=5.0)


class TransformListener(StaticTransformListener):
    """Feeds a buffer from /tf, too."""

    def __init__(self, buffer: Buffer, node: Node) -> None:
        super().__init__(buffer, node)
        self._moving = node.create_subscription(TFMessage, "/tf", self._on_moving, MOVING)

    def unregister(self) -> None:
        """Stop listening."""
        super().unregister()
        self._node.destroy_subscription(self._moving)

    def _on_moving(self, message: TFMessage) -> None:
        self._store(message, self._buffer.set_transform)


class TransformBroadcaster:
    """Publishes moving transforms on /tf."""

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(TFMessage, "/tf", MOVING)

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        """Publish one or several transforms."""
        self._publisher.publish(TFMessage(transforms=_as_list(transform)))


class StaticTransformBroadcaster:
    """Publishes transforms that hold at all times on /tf_static.

    The topic is latched and a late listener gets the last message alone, so each one holds the full set. Unlike tf2_ros
    of Jazzy, a transform that is sent again replaces its predecessor.
    """

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(TFMessage, "/tf_static", STATIC_OUT)
        self._transforms: dict[str, TransformStamped] = {}

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        """Add one or several transforms to the set and publish all of it."""
        self._transforms.update({t.child_frame_id: t for t in _as_list(transform)})
        self._publisher.publish(TFMessage(transforms=list(self._transforms.values())))


def _as_list(transform: TransformStamped | Iterable[TransformStamped]) -> list[TransformStamped]:
    return [transform] if isinstance(transform, TransformStamped) else list(transform)


def _to_message(target: str, source: str, stamp: int, pose: Pose) -> TransformStamped:
    message = TransformStamped(child_frame_id=source, transform=Transform())
    message.header.frame_id = target
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = pose.translation
    q.x, q.y, q.z, q.w = pose.rotation
    return message
