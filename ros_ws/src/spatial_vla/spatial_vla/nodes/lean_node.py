"""A node whose executor waits for few things.

rclpy gives every publisher and subscription two waitables of their own, for peers with another quality of service or
type, and prepares each anew before every wait: at 100 Hz that was more work than what the nodes are there for. Here
none has them; the same is found out by looking at the graph once in a while.
"""

from __future__ import annotations

from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSCompatibility, qos_check_compatible
from rclpy.subscription import Subscription

#: From one look at the graph to the next [s].
LOOK = 2.0


class LeanNode(Node):
    """Mixin, to come before the node class: no waitables for mismatches, which :meth:`on_mismatch` is told of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._mismatches: set[str] = set()
        self.create_timer(LOOK, self._look_for_mismatches, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def on_mismatch(self, reason: str) -> None:
        """A subscription of this node will never hear a publisher that is there; said once for each."""
        self.get_logger().warning(reason)

    def create_publisher(self, *args: Any, **kwargs: Any) -> Publisher:
        """As rclpy's, without waitables unless asked for."""
        kwargs.setdefault("event_callbacks", PublisherEventCallbacks(use_default_callbacks=False))
        return super().create_publisher(*args, **kwargs)

    def create_subscription(self, *args: Any, **kwargs: Any) -> Subscription:
        """As rclpy's, without waitables unless asked for."""
        kwargs.setdefault("event_callbacks", SubscriptionEventCallbacks(use_default_callbacks=False))
        return super().create_subscription(*args, **kwargs)

    def _look_for_mismatches(self) -> None:
        by_topic: dict[str, list[dict[str, str]]] = {}
        for subscription in self.subscriptions:
            by_topic.setdefault(subscription.topic_name, []).append(self._mismatches_of(subscription))
        for first, *others in by_topic.values():
            for who, reason in first.items():
                # Where there are several subscriptions one that fits is enough.
                if reason not in self._mismatches and all(who in other for other in others):
                    self._mismatches.add(reason)
                    self.on_mismatch(reason)

    def _mismatches_of(self, subscription: Subscription) -> dict[str, str]:
        """A sentence for every publisher that the subscription cannot hear, by its name."""
        wanted, found = type_name(subscription.msg_type), {}
        for publisher in self.get_publishers_info_by_topic(subscription.topic_name):
            who = f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name} on {subscription.topic_name}"
            if publisher.topic_type != wanted:
                found[who] = f"{who} publishes {publisher.topic_type}, not {wanted}: none of it is heard"
                continue
            fits, why = qos_check_compatible(publisher.qos_profile, subscription.qos_profile)
            if fits == QoSCompatibility.ERROR:
                found[who] = f"{who} offers another quality of service than is asked for: {why.rstrip('; ')}"
        return found


def type_name(message_type: Any) -> str:
    """Name of a message type in the graph, for example "sensor_msgs/msg/Image"."""
    package, kind = message_type.__module__.split(".")[:2]
    return f"{package}/{kind}/{message_type.__name__}"
