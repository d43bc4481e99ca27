"""The question node as a process: detections, transforms and camera in, answers or reasons out."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from spatial_vla.geometry import SE3, PinholeCamera
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import header, stamp_ns, transform_message
from spatial_vla.nodes.images import info_from_camera
from spatial_vla_interfaces.srv import AskSpatial
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose
from visualization_msgs.msg import MarkerArray

CAMERA = PinholeCamera(320, 240, 300.0, 300.0, 159.5, 119.5)
#: Looks along the world's -x from x = 1.3: the camera's left is the world's right.
OPTICAL = SE3(np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([1.3, 0.0, 0.2]))
#: The detector's frame is not the world's.
DETECTOR = SE3(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([0.2, 0.1, 0.0]))
CUP, BOWL = np.array([0.5, 0.1, 0.05]), np.array([0.5, -0.1, 0.05])


def detection(name, at, size=(0.06, 0.06, 0.1), deviation=0.0, number=""):
    """A detection in the detector's frame of something at ``at`` in the world."""
    pose = DETECTOR.inverse() @ SE3(np.eye(3), at)
    found, best = Detection3D(id=number), ObjectHypothesisWithPose()
    other = ObjectHypothesisWithPose()
    other.hypothesis.class_id, other.hypothesis.score = "lamp", 0.1
    best.hypothesis.class_id, best.hypothesis.score = name, 0.9
    best.pose.covariance[0] = deviation**2
    found.results = [other, best]
    p, q = found.bbox.center.position, found.bbox.center.orientation
    p.x, p.y, p.z = pose.translation.tolist()
    q.x, q.y, q.z, q.w = pose.quaternion().tolist()
    found.bbox.size.x, found.bbox.size.y, found.bbox.size.z = size
    return found


class Asker:
    """Publishes what the node hears, and asks."""

    def __init__(self, graph, *parameters):
        self.graph = graph
        graph.start(
            "spatial_question_node",
            "world_frame:=world",
            "table:=[0.0,-0.6,1.2,0.6,0.0]",
            *parameters,
            sim_time=False,
        )
        self.client = graph.node.create_client(AskSpatial, "ask_spatial")
        graph.until(self.client.service_is_ready, "the service")

    def transforms(self):
        rows = [("camera", OPTICAL), ("detector", DETECTOR)]
        message = TFMessage()
        for child, pose in rows:
            stamped = TransformStamped(header=header(0, "world"), child_frame_id=child)
            stamped.transform = transform_message(pose)
            message.transforms.append(stamped)
        self.graph.publish("/tf_static", message, qos.LATCHED)

    def see(self):
        self.graph.offer("camera/external/camera_info", CameraInfo)
        self.graph.publish("camera/external/camera_info", info_from_camera(CAMERA, header(1, "camera")))

    def detect(self, *detections, age=0.0):
        self.graph.offer("detections", Detection3DArray, qos.STREAM)
        now = self.graph.node.get_clock().now().nanoseconds
        self.graph.publish(
            "detections",
            Detection3DArray(header=header(now - round(age * 1e9), "detector"), detections=list(detections)),
        )

    def ask(self, question):
        future = self.client.call_async(AskSpatial.Request(question=question))
        self.graph.until(future.done, "an answer")
        return future.result()

    def refusal(self, says, *detections, age=0.0, seen=True):
        """Show and ask until the reason is the one expected: a node that is starting is deaf, messages take a while."""

        def refused():
            if seen:
                self.see()
            if detections:
                self.detect(*detections, age=age)
            self.graph.spin(0.05)
            answer = self.ask("is the cup left of the bowl?")
            return not answer.success and says in answer.message

        self.graph.until(refused, says)


def answered(asker, question, *detections):
    found = []

    def once():
        asker.see()
        asker.detect(*detections)
        found.append(asker.ask(question))
        return found[-1].success

    asker.graph.until(once, lambda: found[-1].message)
    return found[-1]


def test_from_refusals_to_answers(graph):
    asker = Asker(graph, "max_age:=20.0")
    asker.refusal("no camera/external/camera_info yet", seen=False)
    asker.refusal("nothing has come on detections yet")
    both = detection("cup", CUP), detection("bowl", BOWL)
    asker.refusal("place in 'world' is unknown", *both)
    asker.refusal("old, more than max_age, 20 s", *both, age=60.0)
    asker.transforms()
    graph.subscribe(MarkerArray, "viz/spatial_answer", QoSProfile(depth=5))

    left = answered(asker, "is the cup left of the bowl, seen from the robot?", *both)
    assert (left.verdict, left.frame, left.subject, left.reference) == ("yes", "world", "cup", "bowl")
    assert left.margin == pytest.approx(0.2 - 0.03) and left.header.frame_id == "world"
    assert stamp_ns(left.header.stamp) > 0 and isinstance(left.header.stamp, Time)
    points = np.array([(p.x, p.y, p.z) for p in left.points])
    assert np.allclose(points, [CUP, BOWL])
    eye = OPTICAL.inverse().apply(points)
    wanted = np.column_stack((300.0 * eye[:, 0] / eye[:, 2] + 159.5, 300.0 * eye[:, 1] / eye[:, 2] + 119.5))
    assert np.allclose(np.array(left.pixels).reshape(-1, 2), wanted)
    graph.until(lambda: graph.received["viz/spatial_answer"], "markers")
    assert [m.type for m in left.markers.markers] == [
        m.type for m in graph.received["viz/spatial_answer"][-1].markers
    ]

    assert answered(asker, "is the cup left of the bowl?", *both).verdict == "no"
    assert (
        "no front"
        in answered(asker, "from the bowl's point of view, is the cup left of the bowl?", *both).answer
    )
    # Nearer to the camera is smaller in the robot's x, where the bowl is.
    free = answered(asker, "where is there room behind the cup?", *both)
    assert free.verdict == "yes" and all(p.x < 0.5 and abs(p.z) < 1e-9 for p in free.points)
    unsure = detection("cup", CUP, deviation=0.2), detection("bowl", BOWL)
    assert answered(asker, "is the cup left of the bowl?", *unsure).verdict == "ambiguous"
    cups = detection("cup", CUP, number="a"), detection("cup", BOWL, number="b")
    assert answered(asker, "is the cup a left of cup b, seen from the robot?", *cups).verdict == "yes"
    asker.detect(*cups)
    graph.spin(0.3)
    wrong = asker.ask("is the cup left of the bowl?")
    assert not wrong.success and "may be any of 'cup a', 'cup b'" in wrong.message


def test_detections_that_cannot_be_used_are_said(graph):
    asker = Asker(graph, "max_age:=20.0")
    asker.transforms()
    asker.refusal("'cup': box at", detection("cup", CUP, size=(0.0, 0.1, 0.1)))
    asker.refusal("detection 0 has no hypothesis", Detection3D())


def test_a_wrong_parameter_ends_the_node_with_the_reason(graph):
    process = graph.start("spatial_question_node", "source:=oracle")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3 and "expected one of detections, simulator" in output
