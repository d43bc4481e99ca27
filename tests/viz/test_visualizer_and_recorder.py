"""visualizer_node and recorder_node as processes, fed over DDS with what a policy would publish."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Path as PlanPath
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from spatial_vla.actions import ActionChunk, ActionGrid
from spatial_vla.geometry import SE3
from spatial_vla.nodes import conversions, images, qos
from spatial_vla.report.bag import read_bag
from spatial_vla.viz import POINT_DTYPE
from spatial_vla_interfaces import msg
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

DISCOVERY = 30.0
CAMERA, BASE, TCP = "external_camera_optical_frame", "panda_link0", "panda_tcp"
SHOWN = {
    "viz/feature_map": Image,
    "viz/cloud": PointCloud2,
    "viz/action_grid": MarkerArray,
    "viz/plan": MarkerArray,
    "viz/plan_path": PlanPath,
}
GRID = ActionGrid.fit(
    np.random.default_rng(0).normal(0.0, 0.01, (500, 6)),
    cells=(4, 8, 3, 2, 2, 2),
    translation_scale=0.05,
    rotation_scale=0.2,
    dead_zone=0.05,
)
DELTAS = np.tile((0.02, 0.01, -0.03, 0.0, 0.0, 0.0), (4, 1))


class Policy:
    """Publishes one frozen scene again and again, and collects what is shown of it."""

    def __init__(self) -> None:
        self.world = World(224)
        self.world.reset(sample_scene(3, "touch"))
        self.frame = self.world.render("external")
        self.tcp = self.world.tcp_pose()
        self.target = self.world.object_positions()[0]
        self.shown = defaultdict(list)
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("policy", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.publishers = {
            topic: self.node.create_publisher(kind, topic, profile)
            for topic, kind, profile in (
                ("/tf", TFMessage, qos.TF),
                ("/tf_static", TFMessage, qos.TF_STATIC),
                ("camera/external/image", Image, qos.SENSOR_OUT),
                ("camera/external/depth", Image, qos.SENSOR_OUT),
                ("camera/external/camera_info", CameraInfo, qos.SENSOR_OUT),
                ("features", msg.FeatureMap, qos.STREAM),
                ("action_chunk", msg.ActionChunk, qos.STREAM),
                ("action_grid", msg.ActionGrid, qos.LATCHED),
            )
        }
        for topic, kind in SHOWN.items():
            self.node.create_subscription(kind, topic, self.shown[topic].append, qos.STREAM)
        static = self._transform(self.frame.world_from_camera, "world", CAMERA, Time())
        base = self._transform(SE3.identity(), "world", BASE, Time())
        self.publishers["/tf_static"].publish(TFMessage(transforms=[static, base]))
        grid = conversions.grid_message(GRID, conversions.header(0, BASE), 4, 0.2)
        self.publishers["action_grid"].publish(grid)

    @staticmethod
    def _transform(pose: SE3, parent: str, child: str, stamp: Time) -> TransformStamped:
        message = TransformStamped(child_frame_id=child, transform=conversions.transform_message(pose))
        message.header.frame_id, message.header.stamp = parent, stamp
        return message

    def publish_frame(self) -> None:
        now = self.node.get_clock().now()
        moving = self._transform(self.tcp, BASE, TCP, now.to_msg())
        self.publishers["/tf"].publish(TFMessage(transforms=[moving]))
        head = conversions.header(now.nanoseconds, CAMERA)
        info = images.info_from_camera(self.frame.camera, head)
        self.publishers["camera/external/camera_info"].publish(info)
        for name, pixels in (("image", self.frame.rgb), ("depth", self.frame.depth)):
            self.publishers[f"camera/external/{name}"].publish(images.image_from_array(pixels, head))
        features = msg.FeatureMap(header=head, base_frame=BASE, camera_info=info, encoder="test")
        small = self.frame.rgb.reshape(14, 16, 14, 16, 3).mean(axis=(1, 3)).astype(np.float32)
        conversions.fill_features(features, small)
        self.publishers["features"].publish(features)
        tokens = GRID.encode(DELTAS, np.ones(4))
        chunk = ActionChunk(
            now.nanoseconds, 0.2, BASE, DELTAS, np.ones(4), token_ids=tokens, target=self.target
        )
        self.publishers["action_chunk"].publish(conversions.chunk_message(chunk))

    def run_until(self, condition) -> None:
        deadline = time.monotonic() + DISCOVERY
        while not condition():
            assert time.monotonic() < deadline, {t: len(m) for t, m in self.shown.items()}
            self.publish_frame()
            end = time.monotonic() + 0.1
            while time.monotonic() < end:
                self.executor.spin_once(timeout_sec=0.02)

    def heard_by_both(self) -> bool:
        for_the_recorder_alone = "camera/external/camera_info"
        return all(
            publisher.get_subscription_count() >= (1 if topic == for_the_recorder_alone else 2)
            for topic, publisher in self.publishers.items()
        )

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def start(node: str, *parameters: str) -> subprocess.Popen:
    program = f"from spatial_vla.nodes.{node} import main; main()"
    arguments = [word for p in parameters for word in ("-p", p)]
    return subprocess.Popen([sys.executable, "-c", program, "--ros-args", *arguments], start_new_session=True)


def stop(process: subprocess.Popen) -> int:
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """The policy, after everything has been shown and recorded, and the folder of the finished run."""
    folder = tmp_path_factory.mktemp("recorded") / "run"
    lossless = (
        "reliable_camera:=true"  # as in simulation: a socket's buffer may not hold the burst of one frame
    )
    processes = [start("recorder_node", f"directory:={folder}", lossless), start("visualizer_node", lossless)]
    policy = Policy()
    try:
        policy.run_until(policy.heard_by_both)
        policy.run_until(lambda: all(len(policy.shown[topic]) >= 10 for topic in SHOWN))
        assert [stop(p) for p in processes] == [0, 0]
        yield policy, folder
    finally:
        policy.close()
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def test_feature_picture_has_the_size_and_stamp_of_the_image(session):
    policy, _ = session
    picture = policy.shown["viz/feature_map"][-1]
    pixels = images.rgb_from_image(picture)
    assert pixels.shape == (224, 224, 3) and picture.header.frame_id == CAMERA
    assert pixels.reshape(-1, 3).std(axis=0).min() > 5


def test_equal_frames_give_equal_colours(session):
    first, *_, last = (images.rgb_from_image(m) for m in session[0].shown["viz/feature_map"])
    np.testing.assert_array_equal(first, last)


def test_cloud_lies_on_the_table_and_not_below(session):
    policy, _ = session
    message = policy.shown["viz/cloud"][-1]
    assert message.point_step == 16 and message.width * 16 == len(message.data)
    assert [f.name for f in message.fields] == ["x", "y", "z", "rgb"]
    cloud = np.frombuffer(message.data, POINT_DTYPE)
    camera_points = np.stack([cloud[a] for a in "xyz"], axis=-1)
    world = policy.frame.world_from_camera.apply(camera_points)
    on_table = np.abs(world[:, 2]) < 0.003
    assert on_table.mean() > 0.3
    assert len(cloud) > 5000


def test_path_and_markers_start_at_the_tool_and_show_the_target(session):
    policy, _ = session
    path = policy.shown["viz/plan_path"][-1]
    found = np.array([[p.pose.position.x, p.pose.position.y, p.pose.position.z] for p in path.poses])
    start = policy.tcp.translation
    np.testing.assert_allclose(found, start + np.arange(5)[:, None] * DELTAS[0, :3], atol=1e-9)
    markers = {m.ns: m for m in policy.shown["viz/plan"][-1].markers}
    assert path.header.frame_id == markers["trajectory"].header.frame_id == BASE
    assert len(markers["trajectory"].points) == 5 and len(markers["steps"].points) == 4
    at = markers["target"].pose.position
    np.testing.assert_allclose((at.x, at.y, at.z), policy.target)


def test_grid_markers_sit_around_the_tool_in_valid_colours(session):
    policy, _ = session
    markers = {m.ns: m for array in policy.shown["viz/action_grid"] for m in array.markers}
    assert set(markers) == {"cells", "chosen"}
    assert len(markers["cells"].points) == GRID.cells[0] and not markers["cells"].colors
    chosen = markers["chosen"]
    assert chosen.type == Marker.SPHERE_LIST and len(chosen.points) == len(chosen.colors) == 4
    for marker in markers.values():
        at = marker.pose.position
        np.testing.assert_allclose((at.x, at.y, at.z), policy.tcp.translation)


def test_an_interrupted_recording_is_a_complete_run(session):
    folder = session[1]
    counts = json.loads((folder / "run.json").read_text())["messages"]
    assert counts["/action_chunk"] >= 3
    assert {"/tf_static", "/action_grid", "/viz/plan", "/viz/cloud", "/camera/external/image"} <= set(counts)
    assert counts["/features"] < counts["/camera/external/image"], "feature maps are recorded at a low rate"
    topics = [f"/{t}" for t in SHOWN]
    times = [t for _, t, _ in read_bag(folder / "bag", topics)]
    assert len(times) == sum(counts.get(t, 0) for t in topics) and np.all(np.diff(times) >= 0)


def test_a_recorder_without_a_directory_refuses_to_start():
    process = start("recorder_node")
    assert process.wait(30) == 3
