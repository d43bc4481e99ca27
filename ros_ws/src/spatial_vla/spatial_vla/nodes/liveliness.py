"""Knowing that another node's process has died.

While it is active a node holds a publisher on ``alive/<its name>``, on which it says every second which process it is.
A watcher on the same machine has the kernel tell it when that process ends: at once, however busy the machine is.

For processes on other machines, and for those that are frozen instead of dead, there is the publisher's lease, which
the middleware's own threads renew. It runs in real time and may be renewed late on a busy machine; so a lost lease only
counts after a short grace in the node's own time, and what the middleware fails to tell of its return is made good by
the second word that is heard after the loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from rclpy.event_handler import (
    QoSLivelinessChangedInfo,
    QoSSubscriptionMatchedInfo,
    SubscriptionEventCallbacks,
)
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from std_msgs.msg import String

from . import qos
from .process_watch import ProcessWatch, process_identity

GRACE = 0.02  # [s] in the node's time


def alive_topic(node_name: str) -> str:
    """Topic on which the node of that name holds its lease."""
    return f"alive/{node_name}"


def announce(node: Node) -> Publisher:
    """Take the lease of ``node``; destroying the publisher gives it up."""
    publisher = node.create_publisher(String, alive_topic(node.get_name()), qos.ALIVE_OUT)
    say_who(publisher)
    return publisher


def say_who(lease: Publisher) -> None:
    """Say which process holds the lease; to be said again every second."""
    lease.publish(String(data=process_identity()))


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
        self._lost: set[str] = set()  # not heard of since the loss; the first word may be from before it
        self._on_change = on_change
        self._node = node
        self._ended: deque[str] = deque()
        self._guard = node.create_guard_condition(self._on_ended)
        self._processes = ProcessWatch(self._process_ended)
        self._grace = {name: self._timer(name) for name in self._alive}
        self._subscriptions = [self._subscribe(name) for name in self._alive]

    @property
    def missing(self) -> list[str]:
        """Names of the watched nodes that are not alive, in the order given."""
        return [name for name, alive in self._alive.items() if not alive]

    def close(self) -> None:
        """Stop watching."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        for timer in self._grace.values():
            self._node.destroy_timer(timer)
        self._processes.close()
        self._node.destroy_guard_condition(self._guard)

    def _process_ended(self, name: str) -> None:
        """In another thread: have the executor's thread deal with it."""
        self._ended.append(name)
        with suppress(InvalidHandle):  # the node has just been destroyed
            self._guard.trigger()

    def _on_ended(self) -> None:
        while self._ended:
            self._gone(self._ended.popleft())

    def _timer(self, name: str) -> Timer:
        """Runs, in the node's time, from the loss of a lease to the conclusion that the process is lost."""
        timer = self._node.create_timer(GRACE, lambda: self._gone(name))
        timer.cancel()
        return timer

    def _subscribe(self, name: str) -> Subscription:
        def matched(info: QoSSubscriptionMatchedInfo) -> None:
            if info.current_count == 0:
                self._gone(name)
            elif info.current_count_change > 0:
                self._here(name)

        def changed(info: QoSLivelinessChangedInfo) -> None:
            if info.not_alive_count_change > 0:
                self._grace[name].reset()
            elif info.alive_count_change > 0:
                self._here(name)

        def said(message: String) -> None:
            if name in self._lost:
                self._lost.remove(name)
            else:
                self._here(name)
            self._processes.watch(name, message.data)

        return self._node.create_subscription(
            String,
            alive_topic(name),
            said,
            qos.ALIVE_IN,
            event_callbacks=SubscriptionEventCallbacks(
                liveliness=changed, matched=matched, use_default_callbacks=False
            ),
        )

    def _here(self, name: str) -> None:
        self._lost.discard(name)
        self._grace[name].cancel()
        self._set(name, True)

    def _gone(self, name: str) -> None:
        self._lost.add(name)
        self._grace[name].cancel()
        self._set(name, False)

    def _set(self, name: str, alive: bool) -> None:
        if alive != self._alive[name]:
            self._alive[name] = alive
            self._on_change(name, alive)
