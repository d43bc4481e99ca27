"""Knowing within 100 ms that another node's process has died, without any traffic.

A node holds a publisher on ``alive/<its name>`` while it is active. The middleware's own threads renew its lease, so
a busy node stays alive and a killed, stopped or deactivated one does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rclpy.event_handler import (
    QoSLivelinessChangedInfo,
    QoSSubscriptionMatchedInfo,
    SubscriptionEventCallbacks,
)
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from std_msgs.msg import Empty

from . import qos


def alive_topic(node_name: str) -> str:
    """Topic on which the node of that name holds its lease."""
    return f"alive/{node_name}"


def announce(node: Node) -> Publisher:
    """Take the lease of ``node``; destroying the publisher gives it up."""
    return node.create_publisher(Empty, alive_topic(node.get_name()), qos.ALIVE_OUT)


class LivelinessWatch:
    """Tells which of the watched nodes are alive; all are missing until they have been seen.

    The state follows the *changes* that the middleware reports. Its absolute counts cannot be used: Fast DDS leaves out
    a publisher that was alive before the subscription was made, and so arrives at -1 when that one dies.

    Args:
        node: the node that watches.
        watched: names of the nodes to watch.
        on_change: called with a node's name and whether it is alive now, from the executor's thread.
    """

    def __init__(self, node: Node, watched: Iterable[str], on_change: Callable[[str, bool], None]) -> None:
        self._alive = dict.fromkeys(watched, False)
        self._on_change = on_change
        self._node = node
        self._subscriptions = [self._subscribe(name) for name in self._alive]

    @property
    def missing(self) -> list[str]:
        """Names of the watched nodes that are not alive, in the order given."""
        return [name for name, alive in self._alive.items() if not alive]

    def close(self) -> None:
        """Stop watching."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _subscribe(self, name: str) -> Subscription:
        def matched(info: QoSSubscriptionMatchedInfo) -> None:
            if info.current_count == 0:
                self._set(name, False)
            elif info.current_count_change > 0:
                self._set(name, True)

        def changed(info: QoSLivelinessChangedInfo) -> None:
            if info.not_alive_count_change > 0:
                self._set(name, False)
            elif info.alive_count_change > 0:
                self._set(name, True)

        return self._node.create_subscription(
            Empty,
            alive_topic(name),
            lambda _: None,
            qos.ALIVE_IN,
            event_callbacks=SubscriptionEventCallbacks(liveliness=changed, matched=matched),
        )

    def _set(self, name: str, alive: bool) -> None:
        if alive != self._alive[name]:
            self._alive[name] = alive
            self._on_change(name, alive)
