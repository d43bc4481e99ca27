"""A node as a process: how it starts, refuses to, is managed, is missed, and ends."""

import signal
import time

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters
from spatial_vla.nodes import qos
from spatial_vla.nodes.liveliness import LivelinessWatch
from tf2_msgs.msg import TFMessage

PATIENCE = 90.0
NODE = "robot_state_publisher"


def call(graph, kind, name, request):
    """Call a service, again if the answer is lost, which happens to a client that the server has not discovered yet."""
    client = graph.node.create_client(kind, name)
    graph.until(client.service_is_ready, f"service {name}")
    asked, future = 0.0, None

    def answered():
        nonlocal asked, future
        if future is None or time.monotonic() - asked > 5.0:
            asked, future = time.monotonic(), client.call_async(request)
        return future.done()

    graph.until(answered, f"an answer of {name}")
    return future.result()


def change(graph, transition, target):
    """Request a transition and wait for the state that it leads to."""
    client = graph.node.create_client(ChangeState, f"{NODE}/change_state")
    graph.until(client.service_is_ready, "service change_state")
    client.call_async(ChangeState.Request(transition=Transition(id=transition)))
    graph.until(lambda: state(graph) == target, f"state {target}")


def state(graph):
    return call(graph, GetState, f"{NODE}/get_state", GetState.Request()).current_state.id


def watch(graph, *names):
    heard = []
    return LivelinessWatch(graph.node, names, lambda name, alive: heard.append((name, alive))), heard


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_in_success_and_silence(graph, number):
    process = graph.start(NODE)
    watched, _ = watch(graph, NODE)
    graph.until(lambda: not watched.missing, "the node's lease")
    for _ in range(3):
        graph.signal(NODE, number)
    output = process.communicate(timeout=PATIENCE)[0]
    assert "Traceback" not in output
    assert process.returncode == 0, output


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ("publish_frequency:=0.5", "out of range"),
        ("publish_frequency:=often", "DOUBLE"),
        ("robot_description:=nonsense", "cannot configure: robot description is not XML"),
    ],
)
def test_bad_parameter_is_one_clear_line_and_exit_code_3(graph, parameter, reason):
    output = (process := graph.start(NODE, parameter)).communicate(timeout=PATIENCE)[0]
    assert process.returncode == 3, output
    assert reason in output
    assert "Traceback" not in output


def test_managed_from_outside(graph):
    graph.start(NODE, "autostart:=false")
    graph.subscribe(TFMessage, "/tf_static", qos.LATCHED)
    watched, _ = watch(graph, NODE)
    assert state(graph) == State.PRIMARY_STATE_UNCONFIGURED
    change(graph, Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE)
    graph.until(lambda: graph.received["/tf_static"], "static transforms")
    assert watched.missing == [NODE], "it holds its lease only while active"
    change(graph, Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE)
    graph.until(lambda: not watched.missing, "the node's lease")
    change(graph, Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE)
    graph.until(lambda: watched.missing, "the end of the lease")
    change(graph, Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED)
    change(graph, Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE)
    change(graph, Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE)
    graph.until(lambda: not watched.missing, "the node's lease")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_dead_or_frozen_process_is_noticed_and_so_is_its_return(graph, number):
    graph.start(NODE)
    watched, heard = watch(graph, NODE, "decoder_node")
    assert watched.missing == [NODE, "decoder_node"]
    graph.until(lambda: watched.missing == ["decoder_node"], "the node's lease")
    graph.spin(0.5)
    graph.signal(NODE, number)
    graph.until(lambda: NODE in watched.missing, "notice of its death")
    graph.spin(0.5)
    assert NODE in watched.missing
    assert heard[0] == (NODE, True)
    assert heard[-1] == (NODE, False)
    if number == signal.SIGKILL:
        graph.processes.pop(NODE).communicate()
        graph.start(NODE)
    else:
        graph.signal(NODE, signal.SIGCONT)
    graph.until(lambda: watched.missing == ["decoder_node"], "notice of its return")
    graph.spin(0.5)
    graph.signal(NODE, signal.SIGKILL)
    graph.until(lambda: NODE in watched.missing, "notice of its second death")
    watched.close()


def test_a_living_node_that_was_taken_for_dead_is_found_alive_again(graph):
    """Even if the middleware never tells of its return."""
    graph.start(NODE)
    watched, heard = watch(graph, NODE)
    graph.until(lambda: not watched.missing, "the node's lease")
    watched._gone(NODE)
    assert watched.missing == [NODE]
    graph.until(lambda: not watched.missing, "a word of the node's")
    assert heard == [(NODE, True), (NODE, False), (NODE, True)]


def test_watch_that_comes_late(graph):
    """A publisher that is there before the subscription is no event for the middleware's own count."""
    graph.start(NODE)
    early, _ = watch(graph, NODE)
    graph.until(lambda: not early.missing, "the node's lease")
    graph.spin(1.0)
    early.close()
    late, heard = watch(graph, NODE)
    graph.until(lambda: not late.missing, "the node's lease")
    graph.spin(0.5)
    graph.signal(NODE, signal.SIGKILL)
    graph.until(lambda: late.missing, "notice of its death")
    assert heard[-1] == (NODE, False)


def test_parameters_describe_themselves(graph):
    graph.start(NODE)
    request = DescribeParameters.Request(names=["publish_frequency", "autostart"])
    frequency, autostart = call(graph, DescribeParameters, f"{NODE}/describe_parameters", request).descriptors
    assert "[Hz]" in frequency.description
    assert (frequency.floating_point_range[0].from_value, frequency.read_only) == (1.0, True)
    assert autostart.description
