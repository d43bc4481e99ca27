"""The simulation node as a process, seen over DDS."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Duration
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from spatial_vla.description import ARM_JOINTS
from spatial_vla.geometry import SE3
from spatial_vla.nodes import qos
from spatial_vla_interfaces.msg import SimState
from spatial_vla_interfaces.srv import ResetScene
from spatial_vla_sim import pacer
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

SEED = 11
COMMAND = [sys.executable, "-m", "spatial_vla_sim.sim_node", "--ros-args"]
DISCOVERY = 30.0
TOPICS = {
    "/clock": Clock,
    "joint_states": JointState,
    "camera/external/image": Image,
    "camera/external/depth": Image,
    "camera/external/camera_info": CameraInfo,
    "camera/wrist/image": Image,
    "sim/state": SimState,
    "/tf_static": TFMessage,
}


def _ns(stamp) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


class Observer:
    """Collects what the node publishes, by topic, and sends commands to it."""

    def __init__(self) -> None:
        self.received = defaultdict(list)
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("observer", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        for topic, kind in TOPICS.items():
            profile = qos.LATCHED if topic == "/tf_static" else 100
            self.node.create_subscription(kind, topic, self._recorder(topic), profile)
        self.arm = self.node.create_publisher(JointTrajectory, "panda_arm_controller/joint_trajectory", 10)
        self.hand = self.node.create_publisher(JointTrajectory, "panda_hand_controller/joint_trajectory", 10)
        self.reset_client = self.node.create_client(ResetScene, "sim/reset")

    def _recorder(self, topic: str):
        return lambda message: self.received[topic].append(message)

    def spin_until(self, condition, timeout: float = DISCOVERY):
        deadline = time.monotonic() + timeout
        while not (result := condition()):
            assert time.monotonic() < deadline, {t: len(m) for t, m in self.received.items()}
            self.executor.spin_once(timeout_sec=0.1)
        return result

    def newer(self, topic: str, count: int = 1) -> list:
        """The next messages of a topic, received from now on."""
        start = len(self.received[topic])
        self.spin_until(lambda: len(self.received[topic]) >= start + count)
        return self.received[topic][start:]

    def joints(self) -> np.ndarray:
        return np.array(self.newer("joint_states")[-1].position)

    def reset(self, seed: int, task: str) -> ResetScene.Response:
        future = self.reset_client.call_async(ResetScene.Request(seed=seed, task=task))
        self.spin_until(future.done)
        response = future.result()
        assert response is not None
        return response

    def send_arm(self, target: np.ndarray, seconds: float, names=ARM_JOINTS) -> None:
        message = JointTrajectory(joint_names=list(names))
        point = JointTrajectoryPoint(positions=target.tolist(), velocities=[0.0] * len(target))
        point.time_from_start = Duration(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))
        message.points = [point]
        self.arm.publish(message)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture(scope="module")
def observer():
    process = subprocess.Popen([*COMMAND, "-p", f"seed:={SEED}"], start_new_session=True)
    watcher = Observer()
    try:
        watcher.spin_until(lambda: all(watcher.received[topic] for topic in TOPICS))
        watcher.spin_until(watcher.reset_client.service_is_ready)
        yield watcher
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        watcher.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(autouse=True)
def fresh_scene(request):
    """Every test on the shared process starts from the same scene."""
    if "observer" in request.fixturenames:
        request.getfixturevalue("observer").reset(SEED, "")


def test_everything_comes_at_its_rate_in_simulated_time(observer) -> None:
    observer.received.clear()
    observer.spin_until(lambda: len(observer.received["camera/wrist/image"]) >= 6)
    periods = {"joint_states": 10, "camera/external/image": 100, "camera/wrist/image": 200, "sim/state": 100}
    for topic, expected in periods.items():
        gaps = np.diff([_ns(message.header.stamp) for message in observer.received[topic]]) / 1e6
        assert np.median(gaps) == expected, topic
    ticks = np.diff([_ns(message.clock) for message in observer.received["/clock"]]) / 1e6
    assert (ticks > 0).all() and np.median(ticks) == 10


def test_image_depth_and_camera_info_share_their_stamp(observer) -> None:
    observer.received.clear()
    topics = [f"camera/external/{name}" for name in ("image", "depth", "camera_info")]
    observer.spin_until(lambda: all(len(observer.received[topic]) >= 5 for topic in topics))
    stamps = [{_ns(m.header.stamp) for m in observer.received[topic]} for topic in topics]
    assert len(set.intersection(*stamps)) >= 4
    image, depth, info = (observer.received[topic][0] for topic in topics)
    assert {m.header.frame_id for m in (image, depth, info)} == {"external_camera_optical_frame"}
    assert (image.encoding, image.step, len(image.data)) == ("rgb8", 224 * 3, 224 * 224 * 3)
    assert (depth.encoding, depth.step, len(depth.data)) == ("32FC1", 224 * 4, 224 * 224 * 4)
    assert (info.width, info.height, info.distortion_model) == (224, 224, "plumb_bob")


def test_pictures_and_intrinsics_are_the_worlds(observer, world) -> None:
    world.reset(sample_scene(SEED))
    frame = world.render("external")
    depth = observer.newer("camera/external/depth")[-1]
    pixels = np.frombuffer(depth.data, np.float32).reshape(224, 224)
    assert np.mean(np.abs(pixels - frame.depth) < 1e-3) > 0.999
    rgb = np.frombuffer(observer.newer("camera/external/image")[-1].data, np.uint8).reshape(224, 224, 3)
    assert np.mean(np.abs(rgb.astype(int) - frame.rgb).max(axis=2) <= 1) > 0.999
    info = observer.newer("camera/external/camera_info")[-1]
    np.testing.assert_allclose(np.array(info.k).reshape(3, 3), frame.camera.K)


def _mounted_camera(messages: list[TFMessage]) -> SE3:
    """world_from_optical out of the last static transforms."""
    latest = {t.child_frame_id: t for m in messages for t in m.transforms}
    chain = SE3.identity()
    for child, parent in (
        ("external_camera_link", "world"),
        ("external_camera_optical_frame", "external_camera_link"),
    ):
        t = latest[child]
        assert t.header.frame_id == parent
        translation, rotation = t.transform.translation, t.transform.rotation
        chain = chain @ SE3.from_quaternion(
            (translation.x, translation.y, translation.z), (rotation.x, rotation.y, rotation.z, rotation.w)
        )
    return chain


def test_reset_lays_out_the_scene_of_the_seed(observer) -> None:
    response = observer.reset(42, "pick")
    scene = sample_scene(42, "pick")
    assert response.success and response.message == ""
    assert (response.instruction, response.target, response.verb) == (
        scene.instruction,
        scene.target.name,
        "pick",
    )
    np.testing.assert_allclose(observer.joints()[:7], scene.joint_positions, atol=2e-3)
    camera = _mounted_camera(observer.received["/tf_static"])
    np.testing.assert_allclose(camera.matrix(), scene.world_from_camera.matrix(), atol=1e-9)
    state = observer.newer("sim/state", 2)[-1]
    assert state.names == [item.name for item in scene.objects] and state.target == scene.target.name
    np.testing.assert_allclose(state.poses[0].position.x, scene.objects[0].position[0], atol=1e-3)
    assert not state.success and state.failure == "not_lifted"


def test_pictures_after_a_reset_show_the_new_scene(observer) -> None:
    observer.received.clear()
    stamp = _ns(observer.reset(43, "").stamp)
    old = [m for m in observer.received["camera/external/image"] if _ns(m.header.stamp) >= stamp]
    new = old + observer.newer("camera/external/image", 2)
    expected = World()
    expected.reset(sample_scene(43))
    rgb = np.frombuffer(next(m for m in new if _ns(m.header.stamp) >= stamp).data, np.uint8)
    close = np.abs(rgb.astype(int) - expected.render("external").rgb.ravel()) <= 1
    assert close.mean() > 0.999


def test_reset_to_an_unknown_task_says_what_there_is(observer) -> None:
    response = observer.reset(1, "dance")
    assert not response.success and "touch, point, pick" in response.message
    assert observer.newer("sim/state", 2)[-1].target == sample_scene(SEED).target.name


def test_the_arm_goes_where_a_trajectory_ends(observer) -> None:
    start = observer.joints()[:7]
    target = start + np.array([0.3, 0.1, 0.0, -0.1, 0.0, 0.1, 0.2])
    observer.send_arm(target[::-1], 0.5, ARM_JOINTS[::-1])
    observer.spin_until(lambda: np.abs(observer.joints()[:7] - target).max() < 2e-3)


def test_the_hand_closes(observer) -> None:
    assert observer.joints()[7] == pytest.approx(0.04, abs=1e-3)
    point = JointTrajectoryPoint(positions=[0.0], time_from_start=Duration(nanosec=10_000_000))
    observer.hand.publish(JointTrajectory(joint_names=["panda_finger_joint1"], points=[point]))
    observer.spin_until(lambda: observer.joints()[7:].max() < 1e-3)


def test_a_trajectory_for_other_joints_moves_nothing(observer) -> None:
    start = observer.joints()
    observer.send_arm(start[:7] + 0.3, 0.2, [f"other_joint{i}" for i in range(7)])
    observer.newer("joint_states", 60)
    np.testing.assert_allclose(observer.joints(), start, atol=1e-3)


def test_a_parameter_that_makes_no_sense_ends_the_process_with_a_reason() -> None:
    for parameter, reason in (
        ("task:=dance", "touch, point, pick"),
        ("real_time_factor:=2.0", "real_time_factor"),
    ):
        ended = subprocess.run([*COMMAND, "-p", parameter], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 3
        assert reason in ended.stderr and "Traceback" not in ended.stderr


def test_time_lost_is_not_made_up(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(pacer.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pacer.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    ticks = pacer.Pacer(0.01)
    starts = []
    for lost in (0.0, 0.0, 0.5, 0.0, 0.0, 0.004):
        starts.append(now[0])
        now[0] += lost
        ticks.wait(0.5)
    assert np.diff(starts).min() > 0.02 - 1e-9
