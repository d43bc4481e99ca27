"""A look at the ROS graph from outside."""

from __future__ import annotations

import time
from dataclasses import dataclass

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


@dataclass(frozen=True)
class GraphView:
    """Full names of the nodes, and of the topics with their types."""

    nodes: tuple[str, ...]
    topics: dict[str, tuple[str, ...]]


SETTLED = 1.5
"""Discovery is taken to be over when nothing new has turned up for so long [s]."""
PATIENCE = 8.0
"""The most that is spent on looking [s]; a busy machine answers late."""


def look_at_graph() -> GraphView:
    """Return what can be seen once discovery has settled."""
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = Node("graph_view", context=context)
        names = _settled_names(node)
        topics = {name: tuple(types) for name, types in node.get_topic_names_and_types()}
        own = node.get_fully_qualified_name()
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    return GraphView(tuple(sorted(names - {own})), topics)


def _settled_names(node: Node) -> set[str]:
    names: set[str] = set()
    changed = began = time.monotonic()
    while (now := time.monotonic()) - changed < SETTLED and now - began < PATIENCE:
        seen = {f"{namespace.rstrip('/')}/{name}" for name, namespace in node.get_node_names_and_namespaces()}
        if seen != names:
            names, changed = seen, now
        time.sleep(0.1)
    return names


def listen_to_diagnostics(seconds: float = 3.5) -> list[DiagnosticArray]:
    """What is said on /diagnostics in that time; every node of ours speaks once a second."""
    context = rclpy.Context()
    rclpy.init(context=context)
    said: list[DiagnosticArray] = []
    try:
        node = Node("diagnostics_listener", context=context)
        node.create_subscription(DiagnosticArray, "/diagnostics", said.append, 50)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
        executor.shutdown()
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    return said
