"""Answers questions about where things are: ``ask_spatial``, from detections (or the simulator's truth) and transforms.

Frames: ``ego`` is the camera of ``camera/external/camera_info``, ``world`` is ``world_frame`` (z against gravity, an
observer looks along its x), ``object`` the reference's own front. What is not known, stale or in no known frame is
refused with the reason; nothing is guessed.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import numpy as np
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo
from spatial_vla_interfaces.msg import SimState
from spatial_vla_interfaces.srv import AskSpatial
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from ..geometry import SE3
from ..grounding import AnswerRules, SpatialAnswer, answer
from ..language.spatial_grammar import NotUnderstood, SpatialQuestion, parse_question
from ..spatial import FRAMES, SceneObject, SpatialScene, Uncertainty, floor_surface, top_surfaces
from ..tf import TransformException, TransformSource
from . import conversions, qos
from .detections import objects_from_detections, objects_from_state
from .images import camera_from_info
from .parameters import NodeParameter
from .refusal import RefusedInput
from .run import main_of
from .spatial_markers import answer_markers
from .spatial_node import SpatialNode
from .viz_messages import point

SOURCES = ("detections", "simulator")
REFUSED = "questions_refused"
#: How many messages about things are kept: the newest may be ahead of the transforms.
KEPT = 8


class SpatialQuestionNode(SpatialNode):
    """Parses, looks up and answers; see ``spatial_vla.grounding``."""

    default_name = "spatial_question_node"
    parameters: ClassVar = (
        NodeParameter(
            "source", "detections", "Where things come from: detections, or simulator (its ground truth)."
        ),
        NodeParameter("world_frame", "panda_link0", "The world of the questions; its z points up."),
        NodeParameter("default_frame", "ego", "Meant where a question names no view: ego, world or object."),
        NodeParameter(
            "max_age", 1.0, "What is known of things must not be older [s].", 0.01, 60.0, read_only=False
        ),
        NodeParameter("position_uncertainty", 0.0, "Least error of a detected position [m].", 0.0, 1.0),
        NodeParameter("angle_uncertainty", 0.0, "Least error of a detected orientation [rad].", 0.0, 3.2),
        NodeParameter("camera_uncertainty", 0.0, "Error of the camera's orientation [rad].", 0.0, 1.0),
        NodeParameter(
            "table",
            [0.0, 0.0, 0.0, 0.0, 0.0],
            "A level surface: lowest x, y, highest x, y, and z in world_frame [m]; all 0: none is known.",
        ),
        NodeParameter(
            "simulated_table",
            [-0.40, -0.62, 1.30, 0.62, 0.0],
            "The same of the simulation, whose ground truth does not tell it; counts with source: simulator alone.",
        ),
        NodeParameter(
            "with_front", [""], "Classes whose box's +x is a front, besides those known to have one."
        ),
    )

    def setup(self) -> None:
        """Check the parameters; create publisher, subscriptions and service."""
        for name, allowed in (("source", SOURCES), ("default_frame", FRAMES)):
            if self.value(name) not in allowed:
                raise ValueError(f"{name} is {self.value(name)!r}; expected one of {', '.join(allowed)}")
        self._surfaces = self._table()
        self._fronts = tuple(filter(None, self.value("with_front")))
        self._known: deque[Any] = deque(maxlen=KEPT)
        self._info: CameraInfo | None = None
        self._transforms = TransformSource(self)
        self.own(self._transforms.close)
        self._markers = self.publish_on(MarkerArray, "viz/spatial_answer", qos.LATCHED)
        self._topic = "detections" if self.value("source") == "detections" else "sim/state"
        kind: type = Detection3DArray if self._topic == "detections" else SimState
        self.listen(kind, self._topic, self._known.append, qos.STREAM)
        self.listen(CameraInfo, "camera/external/camera_info", self._on_info, qos.SENSOR_IN)
        service = self.create_service(AskSpatial, "ask_spatial", self._on_question)
        self.own(lambda: self.destroy_service(service))

    def _table(self) -> tuple:
        name = "simulated_table" if self.value("source") == "simulator" else "table"
        numbers = np.array(self.value(name), np.float64)
        if numbers.shape != (5,) or (numbers.any() and not (numbers[:2] < numbers[2:4]).all()):
            raise ValueError(
                f"{name} is {numbers.tolist()}; expected lowest x, y, highest x, y, and z [m], or five zeros"
            )
        low, high = numbers[:2].tolist(), numbers[2:4].tolist()
        return (floor_surface(low, high, float(numbers[4]), "table"),) if numbers.any() else ()

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_question(self, request: AskSpatial.Request, response: AskSpatial.Response) -> AskSpatial.Response:
        response.margin = float("nan")
        try:
            if not self.active:
                raise RefusedInput(REFUSED, "spatial_question_node is not active; activate it and ask again")
            self._answer(request.question, response)
        except (NotUnderstood, RefusedInput, ValueError) as error:
            response.success, response.message = False, str(error)
            self.refuse(REFUSED, str(error))
        return response

    def _answer(self, text: str, response: AskSpatial.Response) -> None:
        scene, stamp_ns = self._scene()
        question = parse_question(text, [item.name for item in scene.objects], self.value("default_frame"))
        found = answer(question, scene, AnswerRules())
        _fill(response, question, found)
        response.header = conversions.header(stamp_ns, self.value("world_frame"))
        response.markers = answer_markers(response.header, question, found, scene)
        self._markers.publish(response.markers)
        self.counters["questions_answered"] += 1

    def _scene(self) -> tuple[SpatialScene, int]:
        """What is known now, in the world frame, and of when [ns]."""
        if self._info is None:
            raise RefusedInput(
                REFUSED, "no camera/external/camera_info yet, so nothing is known of the camera's view"
            )
        camera = camera_from_info(self._info, self._info.height, self._info.width)
        message, world_from_things, world_from_camera = self._newest(self._info.header.frame_id)
        objects = tuple(_moved(item, world_from_things) for item in self._objects(message))
        scene = SpatialScene(
            objects,
            camera,
            world_from_camera,
            (*self._surfaces, *top_surfaces(objects)),
            camera_uncertainty=Uncertainty(angle=self.value("camera_uncertainty")),
        )
        return scene, conversions.stamp_ns(message.header.stamp)

    def _objects(self, message: Any) -> list[SceneObject]:
        if self._topic == "sim/state":
            return objects_from_state(message, self._fronts)
        least = Uncertainty(self.value("position_uncertainty"), self.value("angle_uncertainty"))
        return objects_from_detections(message, least, self._fronts)

    def _newest(self, camera_frame: str) -> tuple[Any, SE3, SE3]:
        """The newest message that is fresh and whose time the transforms cover, with those: of things and camera."""
        if not self._known:
            raise RefusedInput(
                REFUSED, f"nothing has come on {self._topic} yet, so nothing is known of things"
            )
        wrong = ""
        for message in reversed(self._known):
            stamp_ns = conversions.stamp_ns(message.header.stamp)
            age, limit = (self.now_ns() - stamp_ns) * 1e-9, self.value("max_age")
            if age > limit:
                wrong = (
                    wrong
                    or f"what came last on {self._topic} is {age:.2f} s old, more than max_age, {limit:g} s"
                )
                break
            try:
                pair = [self._world_from(f, stamp_ns) for f in (message.header.frame_id, camera_frame)]
                return message, pair[0], pair[1]
            except TransformException as error:
                wrong = (
                    wrong
                    or f"the things' or the camera's place in {self.value('world_frame')!r} is unknown: {error}"
                )
        raise RefusedInput(REFUSED, wrong)

    def _world_from(self, frame: str, stamp_ns: int) -> SE3:
        time = Time(nanoseconds=stamp_ns)
        found = self._transforms.buffer.lookup_transform(self.value("world_frame"), frame, time)
        return conversions.se3_from_transform(found.transform)


def _moved(item: SceneObject, motion: SE3) -> SceneObject:
    return SceneObject(item.name, item.category, item.box.moved(motion), item.uncertainty, item.traits)


def _fill(response: AskSpatial.Response, question: SpatialQuestion, found: SpatialAnswer) -> None:
    response.success, response.answer, response.kind = True, found.text, question.kind
    response.verdict = "" if found.verdict is None else found.verdict.value
    response.margin, response.uncertainty = found.margin, found.band
    response.frame = question.frame
    for name in ("subject", "relation", "reference", "other"):
        setattr(response, name, getattr(question, name) or "")
    response.points = [point(p) for p in found.points]
    response.pixels = found.pixels.reshape(-1).tolist()


def main() -> None:
    """Entry point."""
    main_of(SpatialQuestionNode)
