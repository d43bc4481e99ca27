"""Warns when a board or a plane whose place is known is not seen where the calibration has it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import radians
from pathlib import Path
from typing import Any, ClassVar

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CameraInfo, Image

from ..calibration import Board
from ..calibration.drift import DriftMonitor
from ..calibration.files import read_static_transform
from ..calibration.scene_plane import PlaneMonitor, PlaneRegion
from ..geometry import SE3
from ..policy.pairing import NotYet
from ..tf import TransformSource
from . import qos
from .calibration_watch import BoardSubject, CalibrationWatch, CameraFrame, PlaneSubject
from .conversions import se3_from_transform, stamp_ns
from .frame_intake import FrameIntake, transform_at
from .images import camera_from_info, depth_from_image, rgb_from_image
from .parameters import RELIABLE_CAMERA, NodeParameter
from .run import main_of
from .spatial_node import SpatialNode
from .stillness import STILL_NS


@dataclass(frozen=True)
class Look:
    """A frame, and the camera's pose in the frame of each watch, now and shortly before."""

    frame: CameraFrame
    poses: tuple[tuple[SE3, SE3], ...]


class CalibrationMonitorNode(SpatialNode):
    """Watches a board by the image, a plane by the depth image, or both."""

    default_name = "calibration_monitor_node"
    parameters: ClassVar = (
        NodeParameter("board_pose", "", "YAML of the board and its pose, as `calibrate hand-eye` writes it."),
        NodeParameter(
            "scene_plane",
            "",
            "Plane seen by the depth camera: 'x_low x_high y_low y_high z' in scene_frame [m].",
        ),
        NodeParameter("scene_frame", "panda_link0", "Frame of the plane, which is parallel to its x and y."),
        NodeParameter(
            "camera", "camera/external", "The camera: its topics are <camera>/image, /depth and /camera_info."
        ),
        NodeParameter("max_distance", 5.0, "Warn when the board is farther off than this [mm].", 0.1, 100.0),
        NodeParameter(
            "max_angle", 0.5, "Warn when the board is turned by more than this [degrees].", 0.01, 20.0
        ),
        NodeParameter("scene_max_distance", 10.0, "The same for the plane's height [mm].", 0.1, 100.0),
        NodeParameter("scene_max_angle", 0.5, "The same for the plane's tilt [degrees].", 0.01, 20.0),
        NodeParameter(
            "moving_frames", True, "Listen to /tf; false where /tf_static alone has all that is needed."
        ),
        NodeParameter("rate", 1.0, "Looks per second.", 0.1, 10.0),
        NodeParameter("views", 5, "Views that are judged together.", 1, 100),
        NodeParameter("max_frame_age", 0.5, "Give up a frame older than this [s].", 0.01, 5.0),
        RELIABLE_CAMERA,
    )

    def setup(self) -> None:
        """Read where board and plane are, and connect."""
        if not (self.value("board_pose") or self.value("scene_plane")):
            raise ValueError(
                "parameter 'board_pose' is empty, and so is 'scene_plane'; give the file that `calibrate hand-eye` "
                "wrote, or the plane as 'x_low x_high y_low y_high z'"
            )
        self._transforms = TransformSource(self, self.value("moving_frames"))
        self.own(self._transforms.close)
        self._watches: list[CalibrationWatch] = []
        camera, profile = self.value("camera"), qos.camera_in(self.value("reliable_camera"))
        streams: dict[str, tuple[type, str, Any]] = {
            "camera_info": (CameraInfo, f"{camera}/camera_info", profile)
        }
        if self.value("board_pose"):
            self._watches.append(CalibrationWatch(self, self._board()))
            streams["image"] = (Image, f"{camera}/image", profile)
        if self.value("scene_plane"):
            region, tolerance = PlaneRegion.from_text(self.value("scene_plane")), self._tolerance("scene_")
            monitor = PlaneMonitor(region, tolerance, self.value("views"))
            self._watches.append(CalibrationWatch(self, PlaneSubject(self.value("scene_frame"), monitor)))
            streams["depth"] = (Image, f"{camera}/depth", profile)
        self._streams, self._due_ns = tuple(streams), 0
        self._intake = FrameIntake(self, streams, self.value("max_frame_age"), self._look_of, self._look)
        self.every(1.0, self._say)

    def _board(self) -> BoardSubject:
        known = read_static_transform(Path(self.value("board_pose")).expanduser())
        if not isinstance(known.figures.get("board"), dict):
            raise ValueError(
                f"{self.value('board_pose')} does not say what the board is; expected quality: board:"
            )
        board = Board.from_dict(known.figures["board"])
        monitor = DriftMonitor(board, known.pose, self._tolerance(""), self.value("views"))
        return BoardSubject(known.parent, board, monitor)

    def _tolerance(self, prefix: str) -> tuple[float, float]:
        return 1e-3 * self.value(f"{prefix}max_distance"), radians(self.value(f"{prefix}max_angle"))

    def start(self) -> None:
        """Begin without a verdict."""
        self._due_ns = 0
        for watch in self._watches:
            watch.begin()

    def stop(self) -> None:
        """Forget the frames in hand."""
        self._intake.clear()

    def _look_of(self, messages: list[Any]) -> tuple[int, Look | None]:
        found = dict(zip(self._streams, messages, strict=True))
        head = messages[-1].header
        stamp = stamp_ns(head.stamp)
        if 0 <= stamp < self._due_ns and self._due_ns - stamp < 2e9 / self.value("rate"):
            return stamp, None
        rgb = rgb_from_image(found["image"]) if "image" in found else None
        depth = depth_from_image(found["depth"]) if "depth" in found else None
        (camera, *_) = (
            camera_from_info(found["camera_info"], *pixels.shape[:2])
            for pixels in (rgb, depth)
            if pixels is not None
        )
        parents = [watch.parent for watch in self._watches]
        now = [self._pose(parent, head.frame_id, stamp) for parent in parents]
        try:
            before = [self._pose(parent, head.frame_id, max(stamp - STILL_NS, 0)) for parent in parents]
        except NotYet:  # nothing is known of that time: the buffer has only just begun
            return stamp, None
        return stamp, Look(CameraFrame(camera, rgb, depth), tuple(zip(now, before, strict=True)))

    def _pose(self, parent: str, frame_id: str, stamp: int) -> SE3:
        return se3_from_transform(transform_at(self._transforms, parent, frame_id, stamp))

    def _look(self, seen: tuple[int, Look | None], published_ns: int) -> None:
        stamp, look = seen
        if look is None:
            return
        self._due_ns = stamp + round(1e9 / self.value("rate"))
        for watch, (pose, before) in zip(self._watches, look.poses, strict=True):
            self.guard(partial(watch.look, pose, before, look.frame))
        self._say()

    def _say(self) -> None:
        for watch in self._watches:
            watch.check_absence()
        if sentences := [watch.sentence for watch in self._watches if watch.sentence]:
            drifted = any(watch.drifted for watch in self._watches)
            level = DiagnosticStatus.WARN if drifted else DiagnosticStatus.OK
            self.diagnostics.set(level, "; ".join(sentences))


def main() -> None:
    """Entry point."""
    main_of(CalibrationMonitorNode)
