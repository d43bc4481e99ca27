"""What people do to stop the arm, through the motion node as a process."""

from functools import partial

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from spatial_vla.nodes import qos
from spatial_vla_interfaces.msg import MotionStatus
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from .test_motion_node import ARM_TOPIC, Arm, start_motion


def test_the_arm_moves_only_while_the_deadman_is_held_and_stops_for_other_writers(graph):
    arm = Arm(graph)
    start_motion(graph, "watched_nodes:=['']", "require_deadman:=true", "deadman_timeout:=2.0")
    graph.offer("motion_node/deadman", Bool, qos.STREAM)
    arm.reaches(MotionStatus.HOLDING, "deadman")

    def held():
        graph.publish("motion_node/deadman", Bool(data=True), qos.STREAM)
        return arm.status.state == MotionStatus.IDLE

    arm.until(held, "motion to be allowed")
    graph.publish("motion_node/deadman", Bool(data=False), qos.STREAM)
    arm.reaches(MotionStatus.HOLDING, "deadman")
    arm.until(held, "motion to be allowed again")
    intruder = graph.node.create_publisher(JointTrajectory, ARM_TOPIC, qos.COMMAND)

    def noticed():
        held()
        return arm.status.state == MotionStatus.HOLDING and "driver" in arm.status.reason

    arm.until(noticed, "the other writer to be noticed while armed")
    graph.node.destroy_publisher(intruder)
    arm.until(held, "motion to be allowed without the other writer")


def test_after_the_stop_button_only_a_person_sets_the_arm_in_motion_again(graph):
    arm = Arm(graph)
    start_motion(graph, "watched_nodes:=['']")
    arm.reaches(MotionStatus.IDLE)
    plain = graph.node.create_publisher(Bool, "motion_node/stop", qos.SENSOR_IN)  # not latched, not reliable
    graph.until(lambda: plain.get_subscription_count() > 0, "a listener")
    graph.offer("motion_node/stop", Bool, qos.LATCHED)
    latched = partial(graph.publish, "motion_node/stop", profile=qos.LATCHED)
    set_armed = partial(arm.call, SetBool, "motion_node/arm", SetBool.Request(data=True))
    reset = partial(arm.call, Trigger, "motion_node/reset", Trigger.Request())
    latched(Bool(data=True))
    arm.reaches(MotionStatus.FAULT, "stop button")
    for call in (reset, set_armed):
        refused = call()
        assert not refused.success and "release" in refused.message
    plain.publish(Bool(data=False))  # another button
    for _ in range(20):
        arm.tick()
    assert arm.status.state == MotionStatus.FAULT
    for call in (reset, set_armed):
        refused = call()
        assert not refused.success and "2 publish" in refused.message
    latched(Bool(data=False))
    graph.node.destroy_publisher(plain)
    graph.until(lambda: graph.node.count_publishers("motion_node/stop") == 1, "one button less")
    arm.until(lambda: reset().success, "a reset")
    arm.reaches(MotionStatus.IDLE)
    volatile = graph.node.create_publisher(Bool, "motion_node/stop", qos.SENSOR_IN)
    graph.until(lambda: volatile.get_subscription_count() > 0, "a listener")
    volatile.publish(Bool(data=True))
    arm.reaches(MotionStatus.FAULT, "stop button")


def test_a_button_is_heard_while_the_node_is_not_active(graph):
    arm = Arm(graph)
    graph.start("motion_node", "arm_on_start:=true", "watched_nodes:=['']", "autostart:=false")
    client = graph.node.create_client(ChangeState, "motion_node/change_state")
    graph.until(client.service_is_ready, "service change_state")

    def change(transition):
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        arm.until(future.done, "the transition")

    change(Transition.TRANSITION_CONFIGURE)
    button = graph.node.create_publisher(Bool, "motion_node/stop", qos.SENSOR_IN)
    graph.until(lambda: button.get_subscription_count() > 0, "a listener")
    button.publish(Bool(data=True))
    graph.spin(0.5)
    change(Transition.TRANSITION_ACTIVATE)
    arm.reaches(MotionStatus.FAULT, "stop button")


def test_a_button_pressed_before_the_start_keeps_the_arm_from_arming_itself_when_it_is_released(graph):
    arm = Arm(graph)
    graph.publish("motion_node/stop", Bool(data=True), qos.LATCHED)
    start_motion(graph, "watched_nodes:=['']")
    arm.reaches(MotionStatus.FAULT, "stop button")
    graph.publish("motion_node/stop", Bool(data=False), qos.LATCHED)
    for _ in range(100):
        arm.tick()
    assert arm.status.state == MotionStatus.FAULT
    assert arm.call(Trigger, "motion_node/reset", Trigger.Request()).success
    arm.reaches(MotionStatus.IDLE)
