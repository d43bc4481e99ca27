"""Nodes of a program that has something else to do than to spin."""

from __future__ import annotations

import threading
from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


class BackgroundExecutor:
    """A context of its own, and a thread that spins its nodes.

    Attributes:
        context: make nodes in it, then :meth:`spin` them.
        executor: for tasks in the thread.
    """

    def __init__(self, name: str) -> None:
        """``name`` is the thread's."""
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)

    def spin(self, node: Node) -> None:
        """Begin to spin ``node``."""
        self.executor.add_node(node)
        self._thread.start()

    def close(self) -> None:
        """End the thread and leave the graph."""
        nodes = self.executor.get_nodes()
        self.executor.shutdown(timeout_sec=1.0)
        rclpy.try_shutdown(context=self.context)
        self._thread.join(timeout=2.0)
        for node in nodes:  # or others would see it until it is collected as garbage
            node.destroy_node()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self.executor.spin()
