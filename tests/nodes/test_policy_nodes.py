"""Encoder and decoder as processes: whole and fresh frames become chunks; others are counted, with reasons."""

import numpy as np
import pytest
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import (
    chunk_from_message,
    features_from_message,
    se3_from_transform,
    stamp_ns,
)
from spatial_vla.nodes.images import image_from_array
from spatial_vla.policy import default_bundle, read_manifest
from spatial_vla_interfaces.msg import Instruction, PolicyStatus
from std_msgs.msg import Header

MANIFEST = read_manifest(default_bundle())


@pytest.fixture(scope="module", autouse=True)
def nodes(robot):
    robot.start_policy()
    return robot


def instruct(robot, text="touch the red cube", number=1, active=True):
    robot.publish("instruction", Instruction(id=number, text=text, active=active), qos.LATCHED)


def status(robot, state):
    """Run the robot until the policy is in this state, and return the status."""

    def reached():
        robot.tick()
        robot.spin(0.1)
        return robot.received["policy_status"] and robot.received["policy_status"][-1].state == state

    robot.until(reached, f"policy state {state}")
    return robot.received["policy_status"][-1]


def test_frame_becomes_a_feature_map_placed_in_space(robot):
    message = robot.frame_until("features")
    assert stamp_ns(message.header.stamp) <= robot.now_ns
    assert message.header.frame_id == "external_camera_optical_frame"
    assert message.base_frame == "panda_link0"
    assert message.encoder == MANIFEST.hash
    features = features_from_message(message)
    assert features.shape == (MANIFEST.side, MANIFEST.side, MANIFEST.channels)
    assert np.isfinite(features).all()
    pose = se3_from_transform(message.base_from_camera)
    np.testing.assert_allclose(pose.translation, [0.5, 0.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(pose.rotation, np.diag([1.0, -1.0, -1.0]), atol=1e-9)
    assert message.camera_info.k[0] == 300.0


def test_grid_is_latched(robot):
    robot.until(lambda: robot.received["action_grid"], "an action grid")
    grid = robot.received["action_grid"][0]
    assert (grid.steps, grid.dt) == (MANIFEST.steps, MANIFEST.dt)
    np.testing.assert_array_equal(grid.theta_edges, MANIFEST.action_grid().theta)


def test_no_chunk_without_instruction(robot):
    for _ in range(3):
        robot.frame_until("features")
    assert not robot.received["action_chunk"]
    assert status(robot, PolicyStatus.IDLE).instruction_id == 0


def test_instruction_becomes_chunks(robot):
    instruct(robot, number=41)
    chunk = chunk_from_message(robot.frame_until("action_chunk"))
    assert chunk.instruction_id == 41
    assert chunk.frame == "panda_link0"
    assert (chunk.steps, chunk.dt) == (MANIFEST.steps, MANIFEST.dt)
    after = chunk_from_message(robot.frame_until("action_chunk"))
    assert after.chunk_id > chunk.chunk_id
    assert after.stamp_ns > chunk.stamp_ns
    robot.until(lambda: robot.received["policy_status"][-1].chunks >= 2, "a status that tells of two chunks")
    report = robot.received["policy_status"][-1]
    assert report.state == PolicyStatus.RUNNING
    assert report.encode_ms > 0 and report.decode_ms > 0 and report.ros_overhead_ms > 0


def test_policy_without_frames_stalls_and_says_so(robot):
    instruct(robot, number=42)
    robot.frame_until("action_chunk")
    report = status(robot, PolicyStatus.STALLED)
    robot.until(lambda: "features" in robot.received["policy_status"][-1].reason, "the reason")
    assert report.instruction_id == 42
    robot.frame_until("action_chunk")
    status(robot, PolicyStatus.RUNNING)


def test_instruction_ends(robot):
    instruct(robot, number=43)
    robot.frame_until("action_chunk")
    instruct(robot, number=43, active=False)
    status(robot, PolicyStatus.IDLE)


def test_unknown_words_are_a_fault(robot):
    instruct(robot, "juggle the red cube", number=44)
    assert "juggle" in status(robot, PolicyStatus.FAULT).reason
    instruct(robot, number=45)
    robot.frame_until("action_chunk")


def refused(robot, counter, reason, node="encoder_node", step_ms=100, **show):
    """A frame shown like this is counted with this reason and makes no features; the next good one does."""
    robot.frame_until("features")
    robot.spin(0.3)
    before, spoilt = robot.counter(node, counter), set()

    def counted():
        robot.tick(step_ms)
        spoilt.add(robot.show(**show))
        robot.spin(0.2)
        return robot.counter(node, counter) > before and reason in robot.reason(node)

    robot.until(counted, f"{counter} of {node} with '{reason}'")
    robot.frame_until("features")
    assert not spoilt & {stamp_ns(message.header.stamp) for message in robot.received["features"]}


def test_stale_frame_is_dropped(robot):
    refused(robot, "frames_dropped_stale", "came after that of", ahead_ms=-500.5)
    refused(robot, "frames_dropped_stale", "the limit is 0.150 s", step_ms=1000, ahead_ms=-400)


def test_frame_from_the_future_is_dropped(robot):
    refused(robot, "frames_dropped_stale", "ahead of the clock", ahead_ms=3_600_000)


def test_unpaired_frame_is_dropped(robot):
    refused(robot, "frames_dropped_unpaired", "came without camera_info", only=("image", "depth"))


def test_uncalibrated_camera_is_refused(robot):
    def spoil(info):
        info.k = np.zeros(9)

    refused(robot, "camera_info_refused", "not calibrated", spoil=spoil)


def test_camera_info_of_another_camera_is_refused(robot):
    def spoil(info):
        info.header = Header(stamp=info.header.stamp, frame_id="other")

    refused(robot, "camera_info_refused", "'other'", spoil=spoil)


def test_camera_without_transform_is_dropped_and_named(robot):
    refused(robot, "frames_dropped_unpaired", "'floating'", frame="floating")


def test_features_of_another_encoder_are_refused(robot):
    message = robot.frame_until("features")
    message.encoder = "0123456789abcdef"
    before = robot.counter("decoder_node", "features_refused")

    def counted():
        robot.tick()
        message.header.stamp.nanosec, message.header.stamp.sec = robot.now_ns % 10**9, robot.now_ns // 10**9
        robot.publish(
            "camera/external/depth", image_from_array(np.ones((224, 224), np.float32), message.header)
        )
        robot.publish("features", message, qos.STREAM)
        robot.spin(0.2)
        return robot.counter("decoder_node", "features_refused") > before

    robot.until(counted, "a refusal of foreign features")
