"""The monitor as a process: a simulated camera sees a board, and is moved."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image
from spatial_vla.calibration import Board, CalibratedCamera
from spatial_vla.calibration.files import StaticTransform, write_static_transform
from spatial_vla.calibration.rendering import BoardRenderer
from spatial_vla.geometry import SE3, PinholeCamera, rotvec_to_matrix
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import header, transform_message
from spatial_vla.nodes.images import image_from_array, info_from_camera
from tf2_msgs.msg import TFMessage

BOARD = Board(square=0.04, marker=0.03)
CAMERA = PinholeCamera(480, 360, 420.0, 420.0, 239.5, 179.5)
BASE_FROM_CAMERA = SE3(np.diag([1.0, -1.0, -1.0]), np.array([0.5, 0.0, 0.8]))
BASE_FROM_BOARD = SE3(
    rotvec_to_matrix([0.3, 0.2, 0.1]) @ np.diag([1.0, -1.0, -1.0]), np.array([0.35, 0.1, 0.2])
)
FRAME = "external_camera_optical_frame"


class Camera:
    """Sees the board from where it is; /tf goes on saying where it was calibrated to be."""

    def __init__(self, graph):
        self.graph, self.moved = graph, SE3.identity()
        self.renderer = BoardRenderer(BOARD, CalibratedCamera.undistorted(CAMERA), samples=2)
        self.rng = np.random.default_rng(0)
        self.board = True

    def picture(self):
        if not self.board:
            return np.full((360, 480), 120, np.uint8)
        seen = (BASE_FROM_CAMERA @ self.moved).inverse() @ BASE_FROM_BOARD
        return self.renderer.render(seen, self.rng)

    def show(self):
        self.graph.tick(200)
        head = header(self.graph.now_ns, FRAME)
        self.graph.publish("camera/external/camera_info", info_from_camera(CAMERA, head))
        grey = self.picture()
        self.graph.publish(
            "camera/external/image", image_from_array(np.repeat(grey[..., None], 3, axis=2), head)
        )
        self.graph.spin(0.05)

    def until(self, condition, what):
        def met():
            self.show()
            return condition()

        self.graph.until(met, what)


def level(graph):
    told = [
        s for m in graph.received["/diagnostics"] for s in m.status if s.name == "calibration_monitor_node"
    ]
    return told[-1] if told else DiagnosticStatus()


@pytest.fixture
def camera(robot_graph, tmp_path):
    graph = robot_graph
    path = tmp_path / "board.yaml"
    known = StaticTransform("panda_link0", "calibration_board", BASE_FROM_BOARD, {"board": BOARD.to_dict()})
    write_static_transform(path, known)
    graph.subscribe(DiagnosticArray, "/diagnostics", 50)
    graph.start(
        "calibration_monitor_node", f"board_pose:={path}", "rate:=5.0", "views:=3", "reliable_camera:=true"
    )
    stamped = TransformStamped(header=header(0, "panda_link0"), child_frame_id=FRAME)
    stamped.transform = transform_message(BASE_FROM_CAMERA)
    graph.publish("/tf_static", TFMessage(transforms=[stamped]), qos.LATCHED)
    for name, kind in (("camera_info", CameraInfo), ("image", Image)):
        graph.offer(f"camera/external/{name}", kind)
    return Camera(graph)


def reading(graph, name):
    return {v.key: float(v.value) for v in level(graph).values}.get(name, -1.0)


def test_a_camera_that_is_moved_is_warned_of_and_one_that_is_put_back_is_not(camera):
    graph = camera.graph
    camera.until(lambda: 0.0 <= reading(graph, "drift_mm") < 2.0, "a board where it should be")
    camera.until(lambda: level(graph).level == DiagnosticStatus.OK, "no complaint")
    assert reading(graph, "drift_deg") < 0.3
    camera.moved = SE3(rotvec_to_matrix([0.0, 0.0, np.radians(1.5)]), np.array([0.012, 0.0, 0.0]))
    camera.until(lambda: graph.counter("calibration_monitor_node", "drifts"), "a warning")
    camera.until(lambda: reading(graph, "drift_deg") > 1.2, "the figures")
    truth = BASE_FROM_CAMERA @ camera.moved.inverse() @ BASE_FROM_CAMERA.inverse() @ BASE_FROM_BOARD
    centre = np.array([*BOARD.size, 0.0]) / 2
    wanted = 1e3 * np.linalg.norm(truth.apply(centre) - BASE_FROM_BOARD.apply(centre))
    camera.until(lambda: abs(reading(graph, "drift_mm") - wanted) < 1.5, f"{wanted} mm")
    assert reading(graph, "drift_deg") == pytest.approx(1.5, abs=0.2)
    assert level(graph).level == DiagnosticStatus.WARN
    assert "from where the calibration has it" in level(graph).message
    assert graph.counter("calibration_monitor_node", "drifts") == 1
    camera.moved = SE3.identity()
    camera.until(lambda: level(graph).level == DiagnosticStatus.OK, "the end of the warning")


def test_without_the_board_nothing_is_claimed(camera):
    camera.board = False
    camera.until(lambda: "not in view" in level(camera.graph).message, "a word about the missing board")
    assert level(camera.graph).level == DiagnosticStatus.OK
    assert reading(camera.graph, "views_without_board") > 0 and reading(camera.graph, "drift_mm") == -1.0


PLANE = "0.3 0.7 -0.25 0.25 0.02"


class DepthCamera:
    """Looks down on a table with things on it and noise in its depth, and may be knocked; /tf does not notice."""

    CAMERA = PinholeCamera(224, 224, 300.0, 300.0, 111.5, 111.5)
    NOISE = 0.002  # m at 1 m, growing with the square of the distance

    def __init__(self, graph):
        self.graph, self.rng = graph, np.random.default_rng(0)
        self.knocked, self.hidden = SE3.identity(), False

    def picture(self):
        real = BASE_FROM_CAMERA @ self.knocked
        rays = self.CAMERA.rays() @ real.rotation.T
        depth = (0.02 - real.translation[2]) / rays[..., 2]
        for _ in range(4):
            v, u = self.rng.integers(20, 180, 2)
            depth[v : v + 25, u : u + 25] -= self.rng.uniform(0.03, 0.08)
        depth[:, :60] = 0.5  # an arm
        if self.hidden:
            depth[:] = self.rng.uniform(0.3, 0.7, depth.shape)
        depth += self.rng.normal(0.0, self.NOISE, depth.shape) * depth**2
        depth[self.rng.random(depth.shape) < 0.05] = np.nan
        return depth.astype(np.float32)

    def show(self):
        self.graph.tick(200)
        head = header(self.graph.now_ns, FRAME)
        self.graph.publish("camera/external/camera_info", info_from_camera(self.CAMERA, head))
        self.graph.publish("camera/external/depth", image_from_array(self.picture(), head))
        self.graph.spin(0.02)

    def until(self, condition, what):
        def met():
            self.show()
            return condition()

        self.graph.until(met, what)

    def counts(self, name):
        return self.graph.counter("calibration_monitor_node", name)


@pytest.fixture
def depth_camera(robot_graph):
    graph = robot_graph
    graph.subscribe(DiagnosticArray, "/diagnostics", 50)
    parameters = (f"scene_plane:='{PLANE}'", "rate:=5.0", "moving_frames:=false", "reliable_camera:=true")
    graph.start("calibration_monitor_node", *parameters)
    stamped = TransformStamped(header=header(0, "panda_link0"), child_frame_id=FRAME)
    stamped.transform = transform_message(BASE_FROM_CAMERA)
    graph.publish("/tf_static", TFMessage(transforms=[stamped]), qos.LATCHED)
    for name, kind in (("camera_info", CameraInfo), ("depth", Image)):
        graph.offer(f"camera/external/{name}", kind)
    return DepthCamera(graph)


def test_a_camera_that_is_knocked_is_noticed_by_the_table_it_sees(depth_camera):
    camera, graph = depth_camera, depth_camera.graph
    # Every look has another noise and other things on the table: none of them may be taken for a drift.
    camera.until(lambda: camera.counts("scene_views") >= 60, "60 looks at a table")
    assert level(graph).level == DiagnosticStatus.OK and camera.counts("scene_drifts") == 0
    assert 0.0 <= reading(graph, "scene_drift_mm") < 1.0 and 0.0 <= reading(graph, "scene_drift_deg") < 0.15
    turn = rotvec_to_matrix([np.radians(1.0), 0.0, 0.0])
    camera.knocked = SE3(turn, np.array([0.0, 0.0, -0.02]))
    camera.until(lambda: camera.counts("scene_drifts"), "a warning")
    camera.until(lambda: reading(graph, "scene_drift_deg") > 0.9, "the figures")
    # Where the real camera sees the region's centre, its calibration has it elsewhere: that height is the offset.
    believed = BASE_FROM_CAMERA @ camera.knocked.inverse() @ BASE_FROM_CAMERA.inverse()
    normal = believed.rotation @ [0.0, 0.0, 1.0]
    point = believed.apply([0.5, 0.0, 0.02])
    height = point[2] + (normal[0] * (point[0] - 0.5) + normal[1] * point[1]) / normal[2] - 0.02
    assert abs(height) > 0.015
    camera.until(
        lambda: abs(reading(graph, "scene_drift_mm") - 1e3 * abs(height)) < 1.0, f"{1e3 * height} mm"
    )
    assert reading(graph, "scene_drift_deg") == pytest.approx(1.0, abs=0.1)
    assert level(graph).level == DiagnosticStatus.WARN and camera.counts("scene_drifts") == 1
    assert "the plane of the scene is seen" in level(graph).message
    camera.knocked = SE3.identity()
    camera.until(lambda: level(graph).level == DiagnosticStatus.OK, "the end of the warning")


def test_where_the_table_is_hidden_nothing_is_claimed_and_why_is_said(depth_camera):
    camera = depth_camera
    camera.hidden = True
    camera.until(lambda: "in front of it" in level(camera.graph).message, "a word about what is in the way")
    assert (
        level(camera.graph).level == DiagnosticStatus.OK and "nothing is known" in level(camera.graph).message
    )
    assert camera.counts("scene_views_unclear") > 0 and reading(camera.graph, "scene_drift_mm") == -1.0


def test_a_region_that_is_none_is_refused_in_words(graph):
    said = (process := graph.start("calibration_monitor_node", "scene_plane:='0 1 0'")).communicate(
        timeout=90
    )[0]
    assert process.returncode == 3 and "'0 1 0' is not five numbers" in said and "Traceback" not in said, said


@pytest.mark.parametrize(("text", "reason"), [("", "is empty"), ("/nowhere.yaml", "no file /nowhere.yaml")])
def test_without_a_board_pose_it_refuses_in_words(graph, text, reason):
    said = (process := graph.start("calibration_monitor_node", f"board_pose:='{text}'")).communicate(
        timeout=90
    )[0]
    assert process.returncode == 3 and reason in said and "Traceback" not in said, said
