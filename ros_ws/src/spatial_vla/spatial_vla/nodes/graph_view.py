"""A look at the ROS graph from outside."""

from __future__ import annotations

import time
from dataclasses import dataclass

import rclpy
from rclpy.node import Node


@dataclass(frozen=True)
class GraphView:
    """Full names of the nodes, and of the topics with their types."""

    nodes: tuple[str, ...]
    topics: dict[str, tuple[str, ...]]


def look_at_graph(patience: float = 1.5) -> GraphView:
    """Return what can be seen within ``patience`` seconds; discovery takes about one."""
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = Node("graph_view", context=context)
        time.sleep(patience)
        names = {
            f"{namespace.rstrip('/')}/{name}" for name, namespace in node.get_node_names_and_namespaces()
        }
        topics = {name: tuple(types) for name, types in node.get_topic_names_and_types()}
        own = node.get_fully_qualified_name()
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    return GraphView(tuple(sorted(names - {own})), topics)
