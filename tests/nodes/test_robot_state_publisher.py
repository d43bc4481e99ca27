"""The robot's links on /tf as a process; the numbers themselves are tested with the kinematic tree."""

import pytest
from rclpy.time import Time
from sensor_msgs.msg import JointState
from spatial_vla.description import panda_urdf
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import header
from spatial_vla.tf import TransformSource
from std_msgs.msg import String


@pytest.fixture(scope="module")
def transforms(robot):
    robot.start("robot_state_publisher", "publish_frequency:=10.0")
    robot.subscribe(String, "robot_description", qos.LATCHED)
    source = TransformSource(robot.node)
    robot.offer("joint_states", JointState)
    return source.buffer


def test_description_is_latched(robot, transforms):
    robot.until(lambda: robot.received["robot_description"], "the description")
    assert robot.received["robot_description"][0].data == panda_urdf()


def test_chain_is_complete_at_the_stamp_of_the_joint_states(robot, transforms):
    def known():
        robot.tick()
        robot.spin(0.05)
        return transforms.can_transform("world", "wrist_camera_optical_frame", Time(nanoseconds=robot.now_ns))

    robot.until(known, "transform from camera to world")
    assert transforms.can_transform("panda_link0", "panda_tcp", Time(nanoseconds=robot.now_ns))
    assert transforms.can_transform("panda_link0", "panda_rightfinger", Time(nanoseconds=robot.now_ns))


def test_faster_joint_states_are_thinned_out(robot, transforms):
    robot.tick(1000)
    robot.spin(0.3)
    stamp = robot.now_ns
    robot.until(
        lambda: transforms.can_transform("panda_link0", "panda_tcp", Time(nanoseconds=stamp)), "a transform"
    )
    robot.tick(20)
    robot.spin(0.3)
    assert not transforms.can_transform("panda_link0", "panda_tcp", Time(nanoseconds=robot.now_ns))


def test_malformed_joint_states_are_counted(robot, transforms):
    def counted():
        robot.tick(1000)
        robot.publish("joint_states", JointState(header=header(robot.now_ns, ""), name=["panda_joint1"]))
        robot.spin(0.1)
        return robot.counter("robot_state_publisher", "joint_states_refused") > 0

    robot.until(counted, "a refusal")
