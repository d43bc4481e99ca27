"""Peers that a node cannot hear are named, though no entity of it waits for them."""

import os

from spatial_vla.nodes.lean_node import type_name
from spatial_vla.nodes.qos import SENSOR_IN, STREAM
from spatial_vla.realtime import request_realtime, threads
from spatial_vla_interfaces.msg import ActionChunk
from std_msgs.msg import Bool, String


def test_a_publisher_of_another_quality_of_service_is_named(graph):
    graph.start("motion_node", "watched_nodes:=['']")
    best_effort = graph.node.create_publisher(ActionChunk, "action_chunk", SENSOR_IN)
    graph.counted("motion_node", "mismatched_publishers", 0)
    assert best_effort.get_subscription_count() == 0


def test_a_publisher_of_another_type_is_named_and_a_good_one_is_not(graph):
    graph.start("motion_node", "watched_nodes:=['']")
    good = graph.node.create_publisher(ActionChunk, "action_chunk", STREAM)
    # One of the node's subscriptions to the button fits.
    button = graph.node.create_publisher(Bool, "motion_node/stop", SENSOR_IN)
    graph.until(lambda: good.get_subscription_count() == 1 and button.get_subscription_count() == 1)
    graph.spin(4.5)  # two looks
    assert graph.counter("motion_node", "mismatched_publishers") == 0
    graph.node.create_publisher(String, "/joint_states", SENSOR_IN)
    graph.counted("motion_node", "mismatched_publishers", 0)


def test_types_are_named_as_in_the_graph():
    assert type_name(ActionChunk) == "spatial_vla_interfaces/msg/ActionChunk"


def test_a_real_time_priority_is_taken_or_refused_with_the_way_out():
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        refused = request_realtime(1, (0,))
        if refused:
            assert "limits.d" in refused and os.sched_getscheduler(0) == before[0]
        else:
            assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
    finally:
        os.sched_setscheduler(0, *before)


def test_a_thread_that_is_not_there_is_no_error(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda thread, *_: asked.append(thread) or _gone(thread))
    assert request_realtime(5, (2**22 + 1,)) == "" and asked[1:] == threads()


def test_a_refusal_tells_the_way_out(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    said = request_realtime(20, (0,))
    assert "20" in said and "Operation not permitted" in said and "rtprio" in said


def _gone(thread):
    if thread > 2**22:
        raise ProcessLookupError
