"""Broadcasters and listeners over a real middleware."""

import time

import pytest
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from spatial_vla.tf import (
    Buffer,
    StaticTransformBroadcaster,
    TransformBroadcaster,
    TransformListener,
    TransformSource,
)


def message(parent, child, x=0.0, seconds=0):
    m = TransformStamped(child_frame_id=child)
    m.header.frame_id = parent
    m.header.stamp.sec = seconds
    m.transform.translation.x, m.transform.rotation.w = x, 1.0
    return m


class Graph:
    """Two nodes on one executor."""

    def __init__(self):
        self.context = Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.sender, self.receiver = self.node("sender"), self.node("receiver")

    def node(self, name):
        sim_time = [Parameter("use_sim_time", value=name == "receiver")]
        node = Node(name, context=self.context, parameter_overrides=sim_time)
        self.executor.add_node(node)
        return node

    def until(self, condition, timeout=10.0):
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "did not happen"
            self.executor.spin_once(timeout_sec=0.05)


@pytest.fixture
def graph():
    graph = Graph()
    yield graph
    graph.executor.shutdown()
    graph.context.try_shutdown()


def test_late_listener_gets_the_full_static_set(graph):
    broadcaster = StaticTransformBroadcaster(graph.sender)
    broadcaster.sendTransform(message("world", "base"))
    broadcaster.sendTransform([message("hand", "camera", 0.1), message("camera", "optical", 0.2)])
    buffer = Buffer()
    listener = TransformListener(buffer, graph.receiver)
    graph.until(lambda: buffer.can_transform("hand", "optical", Time()))
    graph.until(lambda: buffer.can_transform("world", "base", Time()))
    assert buffer.lookup_transform("hand", "optical", Time()).transform.translation.x == pytest.approx(0.3)
    listener.unregister()


def test_a_corrected_static_transform_replaces_the_first(graph):
    """A calibration that is published again counts, for those who listen already and for those who come late."""
    broadcaster = StaticTransformBroadcaster(graph.sender)
    early, late = Buffer(), Buffer()
    listeners = [TransformListener(early, graph.receiver)]
    broadcaster.sendTransform(message("hand", "camera", 0.1))
    broadcaster.sendTransform(message("world", "base", 1.0))

    def x(buffer):
        if not buffer.can_transform("hand", "camera", Time()):
            return None
        return buffer.lookup_transform("hand", "camera", Time()).transform.translation.x

    graph.until(lambda: x(early) == 0.1)
    broadcaster.sendTransform(message("hand", "camera", 0.2))
    graph.until(lambda: x(early) == 0.2)
    listeners.append(TransformListener(late, graph.receiver))
    graph.until(lambda: x(late) == 0.2)
    assert late.can_transform("world", "base", Time())
    for listener in listeners:
        listener.unregister()


def test_moving_transforms_arrive(graph):
    buffer = Buffer()
    listener = TransformListener(buffer, graph.receiver)
    broadcaster = TransformBroadcaster(graph.sender)
    half_way = Time(seconds=1, nanoseconds=500_000_000)

    def arrived():
        """Sent again until somebody listens: what is sent before that is lost, as it should be."""
        broadcaster.sendTransform(
            [message("world", "hand", 1.0, seconds=1), message("world", "cup", 2.0, seconds=1)]
        )
        broadcaster.sendTransform(message("world", "hand", 3.0, seconds=2))
        return buffer.can_transform("world", "hand", half_way)

    graph.until(arrived)
    found = buffer.lookup_transform("world", "hand", half_way)
    assert found.transform.translation.x == pytest.approx(2.0)
    assert buffer.can_transform("hand", "cup", Time(seconds=1))
    listener.unregister()


def test_backward_clock_jump_clears_moving_transforms(graph):
    clock = graph.sender.create_publisher(Clock, "/clock", 1)
    source = TransformSource(graph.receiver)

    def tell(seconds):
        def arrived():
            tick = Clock()
            tick.clock.sec = seconds
            clock.publish(tick)
            return graph.receiver.get_clock().now().nanoseconds == seconds * 1_000_000_000

        graph.until(arrived)

    tell(100)
    source.buffer.set_transform(message("world", "hand", seconds=99), "test")
    source.buffer.set_transform_static(message("hand", "camera"), "test")
    tell(101)
    assert source.buffer.can_transform("world", "hand", Time(seconds=99))
    assert source.buffer.ignored == 0
    tell(3)
    assert not source.buffer.can_transform("world", "hand", Time())
    assert source.buffer.can_transform("hand", "camera", Time())
    # What was sent before the jump and comes after it must not make everything new look old.
    source.buffer.set_transform(message("world", "hand", seconds=101), "test")
    assert source.buffer.ignored == 1 and not source.buffer.can_transform("world", "hand", Time())
    source.buffer.set_transform(message("world", "hand", seconds=3), "test")
    assert source.buffer.can_transform("world", "hand", Time(seconds=3))
    tell(500)
    source.buffer.set_transform(message("world", "hand", seconds=500), "test")
    assert source.buffer.can_transform("world", "hand", Time(seconds=500)), "a jump ahead loses nothing"
    source.close()
