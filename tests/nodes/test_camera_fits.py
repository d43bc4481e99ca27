"""The policy becomes active only on a camera like those of its training; what differs is named, and may be allowed."""

import numpy as np
import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from sensor_msgs.msg import CameraInfo
from spatial_vla.nodes import qos
from spatial_vla_interfaces.msg import Instruction, PolicyStatus


def wide(info):
    info.k = np.array([150.0, 0, 111.5, 0, 150.0, 111.5, 0, 0, 1])  # 73 degrees


def uncalibrated(info):
    info.k = np.zeros(9)


CASES = [
    (wide, "camera.fov_deg: trained with 39 to 43°, this camera has 73.5°; if that is meant, allow"),
    (uncalibrated, "camera is not calibrated"),
]


@pytest.fixture(scope="module")
def policy(robot):
    robot.start_policy()
    return robot


def status_until(robot, state, **show):
    def reached():
        robot.tick()
        robot.show(**show)
        robot.spin(0.1)
        return robot.received["policy_status"] and robot.received["policy_status"][-1].state == state

    robot.until(reached, f"policy state {state}")
    return robot.received["policy_status"][-1]


def instruct(robot, number):
    robot.publish("instruction", Instruction(id=number, text="touch the red cube", active=True), qos.LATCHED)


@pytest.mark.parametrize(("spoil", "reason"), CASES)
def test_an_instruction_is_refused_while_the_camera_does_not_fit(policy, spoil, reason):
    number = 10 + len(policy.received["policy_status"])
    before = policy.counter("decoder_node", "camera_refused")

    def refused():
        policy.tick()
        policy.show(spoil=spoil)
        policy.spin(0.1)
        return policy.counter("decoder_node", "camera_refused") > before

    policy.until(refused, "the camera to be refused, although nobody has asked for anything yet")
    instruct(policy, number)
    told = status_until(policy, PolicyStatus.FAULT, spoil=spoil)
    assert told.instruction_id == number and reason in told.reason
    policy.received["action_chunk"].clear()
    for _ in range(3):
        policy.tick()
        policy.show()
        policy.spin(0.1)
    assert not policy.received["action_chunk"], "it does not begin by itself"
    instruct(policy, number + 1)
    policy.frame_until("action_chunk")
    assert policy.received["action_chunk"][-1].instruction_id == number + 1


def test_a_camera_that_changes_under_an_instruction_ends_it(policy):
    instruct(policy, 900)
    policy.frame_until("action_chunk")
    told = status_until(policy, PolicyStatus.FAULT, spoil=wide)
    assert told.instruction_id == 900 and "this camera has 73.5°" in told.reason
    policy.frame_until("features")
    instruct(policy, 901)
    policy.frame_until("action_chunk")


def request(graph, kind, service, message):
    client = graph.node.create_client(kind, service)
    graph.until(client.service_is_ready, service)
    future = client.call_async(message)
    graph.until(future.done, f"an answer of {service}")
    return future.result()


def change(graph, node, transition):
    message = ChangeState.Request(transition=Transition(id=transition))
    return request(graph, ChangeState, f"{node}/change_state", message).success


@pytest.mark.parametrize("node", ["encoder_node", "decoder_node"])
@pytest.mark.parametrize(("spoil", "allow", "activated"), [(wide, "", False), (wide, "camera.fov_deg", True)])
def test_a_managed_node_refuses_to_be_activated(robot_graph, node, spoil, allow, activated):
    graph = robot_graph
    graph.start(node, "autostart:=false", f"allow:='{allow}'")
    assert change(graph, node, Transition.TRANSITION_CONFIGURE)
    graph.offer("camera/external/camera_info", CameraInfo)
    graph.show(only=("camera_info",), spoil=spoil)
    if not activated:
        graph.counted(node, "camera_refused", 0)
    graph.spin(0.5)
    assert change(graph, node, Transition.TRANSITION_ACTIVATE) is activated
    state = request(graph, GetState, f"{node}/get_state", GetState.Request()).current_state.id
    assert state == (State.PRIMARY_STATE_ACTIVE if activated else State.PRIMARY_STATE_INACTIVE)
    if not activated:
        graph.until(lambda: "cannot activate" in graph.reason(node), "the reason")
        assert "trained with 39 to 43°" in graph.reason(node)
        graph.show(only=("camera_info",))
        graph.spin(0.5)
        assert change(graph, node, Transition.TRANSITION_ACTIVATE), "the camera fits now"
