"""One thing whose place is known, held against where the calibrated camera has it, look by look."""

from __future__ import annotations

from dataclasses import dataclass
from math import degrees
from typing import Any, Protocol

from numpy.typing import NDArray

from ..calibration import Board, CalibratedCamera, board_pose
from ..calibration.drift import Drift, DriftMonitor
from ..calibration.scene_plane import PlaneMonitor, Unclear
from ..geometry import SE3, PinholeCamera
from .refusal import RefusedInput
from .spatial_node import SpatialNode
from .stillness import moved

#: Without a look that counts for this long, the last verdict says nothing about now [s].
OUT_OF_VIEW = 10.0


@dataclass(frozen=True)
class CameraFrame:
    """A camera and what it saw: image (H, W, 3) and depth (H, W) [m]; what nobody watches is None."""

    camera: PinholeCamera
    rgb: NDArray[Any] | None
    depth: NDArray[Any] | None


class Subject(Protocol):
    """What is watched, and how.

    Attributes:
        name: as in "the board". parent: the frame in which its place is known.
        prefix: of its counters and readings. unclear: counter of frames that say nothing about it.
    """

    name: str
    parent: str
    prefix: str
    unclear: str

    def judge(self, parent_from_camera: SE3, frame: CameraFrame) -> Drift | None:
        """The drift with this frame; None until there were enough.

        Raises:
            Unclear: nothing follows from the frame, as happens.
            RefusedInput: nothing ever will from such frames.
        """
        ...

    def clear(self) -> None:
        """Forget all frames."""
        ...


class BoardSubject:
    """A board that lies still, or that is held by the gripper."""

    name, prefix, unclear = "the board", "", "views_without_board"

    def __init__(self, parent: str, board: Board, monitor: DriftMonitor) -> None:
        self.parent, self._board, self._monitor = parent, board, monitor
        self.clear = monitor.clear

    def judge(self, parent_from_camera: SE3, frame: CameraFrame) -> Drift | None:
        """See :class:`Subject`."""
        assert frame.rgb is not None
        corners = self._board.detect(frame.rgb)
        if corners is None:
            raise Unclear("the board is not in view")
        found = board_pose(corners, CalibratedCamera.undistorted(frame.camera))
        if why := self._monitor.uncertain(found):
            raise RefusedInput("views_too_uncertain", why)
        return self._monitor.observe(parent_from_camera, found)


class PlaneSubject:
    """A plane of the scene, such as the table."""

    name, prefix, unclear = "the plane of the scene", "scene_", "scene_views_unclear"

    def __init__(self, parent: str, monitor: PlaneMonitor) -> None:
        self.parent, self._monitor = parent, monitor
        self.clear = monitor.clear

    def judge(self, parent_from_camera: SE3, frame: CameraFrame) -> Drift | None:
        """See :class:`Subject`."""
        assert frame.depth is not None
        return self._monitor.observe(parent_from_camera, frame.camera, frame.depth)


class CalibrationWatch:
    """Looks at a subject; counts, readings and the log line of a drift go to the node.

    Attributes:
        parent: the frame in which the subject's place is known. sentence: what is known, for people.
        drifted: whether the subject was beyond the tolerance when last seen.
    """

    def __init__(self, node: SpatialNode, subject: Subject) -> None:
        self._node, self._subject = node, subject
        self.parent = subject.parent
        self.begin()

    def begin(self) -> None:
        """Start without a verdict."""
        self._subject.clear()
        self._seen_ns, self._why_not = self._node.now_ns(), ""
        self.sentence, self.drifted = "", False

    def look(self, pose: SE3, before: SE3, frame: CameraFrame) -> None:
        """Take a frame from ``pose``; before it, the camera was at ``before``."""
        node, subject, prefix = self._node, self._subject, self._subject.prefix
        if moved(before, pose):
            node.counters[f"{prefix}views_of_a_moving_camera"] += 1
            return
        try:
            drift = subject.judge(pose, frame)
        except Unclear as error:
            node.counters[subject.unclear] += 1
            self._why_not = str(error)
            return
        self._seen_ns, self._why_not = node.now_ns(), ""
        node.counters[f"{prefix}views"] += 1
        if drift is None:
            return
        figures = {f"{prefix}drift_mm": 1e3 * drift.distance, f"{prefix}drift_deg": degrees(drift.angle)}
        node.diagnostics.readings.update(figures)
        self.sentence = f"{subject.name} is seen {drift} from where the calibration has it"
        if drift.exceeded and not self.drifted:
            node.counters[f"{prefix}drifts"] += 1
            node.get_logger().warning(
                f"{self.sentence}: camera, {subject.name} or a frame between them was moved; calibrate again"
            )
        self.drifted = drift.exceeded

    def check_absence(self) -> None:
        """Withdraw a good verdict that has become old."""
        if (self._node.now_ns() - self._seen_ns) * 1e-9 > OUT_OF_VIEW and not self.drifted:
            self._subject.clear()
            why = self._why_not or f"{self._subject.name} is not in view"
            self.sentence = f"{why}; nothing is known of the calibration"
