"""Warns when a board whose place is known is not seen where the calibration has it."""

from __future__ import annotations

from dataclasses import dataclass
from math import degrees, radians
from pathlib import Path
from typing import Any, ClassVar

from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image

from ..calibration import Board, CalibratedCamera, board_pose
from ..calibration.drift import DriftMonitor
from ..calibration.files import read_static_transform
from ..geometry import SE3, PinholeCamera
from ..policy.pairing import NotYet
from ..tf import TransformSource
from . import qos
from .conversions import se3_from_transform, stamp_ns
from .frame_intake import FrameIntake, transform_at
from .images import camera_from_info, rgb_from_image
from .parameters import NodeParameter
from .run import main_of
from .spatial_node import SpatialNode
from .stillness import STILL_NS, moved

#: Without the board in view for this long, the last verdict says nothing about now [s].
OUT_OF_VIEW = 10.0


@dataclass(frozen=True)
class CameraView:
    """An image (H, W, 3), its camera, and the camera's pose in the board's parent frame, now and shortly before."""

    rgb: NDArray[Any]
    camera: PinholeCamera
    pose: SE3
    before: SE3


class CalibrationMonitorNode(SpatialNode):
    """The ROS side of :class:`~spatial_vla.calibration.drift.DriftMonitor`."""

    default_name = "calibration_monitor_node"
    parameters: ClassVar = (
        NodeParameter("board_pose", "", "YAML of the board and its pose, as `calibrate hand-eye` writes it."),
        NodeParameter(
            "camera", "camera/external", "The camera: its topics are <camera>/image and /camera_info."
        ),
        NodeParameter("max_distance", 5.0, "Warn when the board is farther off than this [mm].", 0.1, 100.0),
        NodeParameter(
            "max_angle", 0.5, "Warn when the board is turned by more than this [degrees].", 0.01, 20.0
        ),
        NodeParameter("rate", 1.0, "Looks per second.", 0.1, 10.0),
        NodeParameter("views", 5, "Views that are judged together.", 1, 100),
        NodeParameter("max_frame_age", 0.5, "Give up a frame older than this [s].", 0.01, 5.0),
    )

    def setup(self) -> None:
        """Read where the board is, and connect."""
        if not self.value("board_pose"):
            raise ValueError("parameter 'board_pose' is empty; give the file that `calibrate hand-eye` wrote")
        known = read_static_transform(Path(self.value("board_pose")).expanduser())
        if not isinstance(known.figures.get("board"), dict):
            raise ValueError(
                f"{self.value('board_pose')} does not say what the board is; expected quality: board:"
            )
        self._parent, self._board = known.parent, Board.from_dict(known.figures["board"])
        tolerance = (1e-3 * self.value("max_distance"), radians(self.value("max_angle")))
        self._monitor = DriftMonitor(self._board, known.pose, tolerance, self.value("views"))
        self._transforms = TransformSource(self)
        self.own(self._transforms.close)
        self._due_ns = self._seen_ns = 0
        self._warned = False
        streams = {
            "image": (Image, f"{self.value('camera')}/image", qos.LATEST_IN),
            "camera_info": (CameraInfo, f"{self.value('camera')}/camera_info", qos.LATEST_IN),
        }
        self._intake = FrameIntake(self, streams, self.value("max_frame_age"), self._view, self._look)
        self.every(1.0, self._report_absence)

    def start(self) -> None:
        """Begin without a verdict."""
        self._monitor.clear()
        self._due_ns, self._seen_ns = 0, self.now_ns()

    def stop(self) -> None:
        """Forget the frames in hand."""
        self._intake.clear()

    def _view(self, frame: list[Any]) -> tuple[int, CameraView | None]:
        image, info = frame
        stamp, frame_id = stamp_ns(image.header.stamp), image.header.frame_id
        if 0 <= stamp < self._due_ns and self._due_ns - stamp < 2e9 / self.value("rate"):
            return stamp, None
        rgb = rgb_from_image(image)
        camera = camera_from_info(info, *rgb.shape[:2])
        pose = se3_from_transform(transform_at(self._transforms, self._parent, frame_id, stamp))
        try:
            earlier = transform_at(self._transforms, self._parent, frame_id, max(stamp - STILL_NS, 0))
        except NotYet:  # nothing is known of that time: the buffer has only just begun
            return stamp, None
        return stamp, CameraView(rgb, camera, pose, se3_from_transform(earlier))

    def _look(self, seen: tuple[int, CameraView | None], published_ns: int) -> None:
        stamp, view = seen
        if view is None:
            return
        self._due_ns = stamp + round(1e9 / self.value("rate"))
        if moved(view.before, view.pose):
            self.counters["views_of_a_moving_camera"] += 1
            return
        corners = self._board.detect(view.rgb)
        if corners is None:
            self.counters["views_without_board"] += 1
            return
        found = board_pose(corners, CalibratedCamera.undistorted(view.camera))
        if why := self._monitor.uncertain(found):
            self.refuse("views_too_uncertain", why)
            return
        self._seen_ns = self.now_ns()
        self.counters["views"] += 1
        drift = self._monitor.observe(view.pose, found)
        if drift is None:
            return
        self.diagnostics.readings.update(drift_mm=1e3 * drift.distance, drift_deg=degrees(drift.angle))
        sentence = f"the board is seen {drift} from where the calibration has it"
        if drift.exceeded and not self._warned:
            self.counters["drifts"] += 1
            self.get_logger().warning(
                f"{sentence}: camera, board or a frame between them was moved; calibrate again"
            )
        self._warned = drift.exceeded
        self.diagnostics.set(DiagnosticStatus.WARN if drift.exceeded else DiagnosticStatus.OK, sentence)

    def _report_absence(self) -> None:
        if (self.now_ns() - self._seen_ns) * 1e-9 > OUT_OF_VIEW and not self._warned:
            self._monitor.clear()
            self.diagnostics.set(
                DiagnosticStatus.OK, "the board is not in view; nothing is known of the calibration"
            )


def main() -> None:
    """Entry point."""
    main_of(CalibrationMonitorNode)
