"""What a calibration session hears and says in the graph: still views of a camera, and chunks that move the arm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from spatial_vla_interfaces.msg import ActionChunk, Instruction, MotionStatus

from ..calibration import CalibratedCamera, CalibrationError
from ..description import BASE_FRAME
from ..geometry import SE3, PinholeCamera
from ..tf import TransformSource
from . import qos
from .conversions import se3_from_transform, stamp_ns
from .frame_intake import FrameIntake, transform_at
from .images import rgb_from_image
from .parameters import NodeParameter
from .refusal import RefusedInput
from .spatial_node import SpatialNode
from .stillness import STILL_NS, moved

T = TypeVar("T")
#: Nothing of what should come all the time for so long [s, real time]: then it does not come.
SILENCE = 10.0
#: ``instruction_id`` of the chunks sent here: that of no instruction.
NO_INSTRUCTION = 0


@dataclass(frozen=True, eq=False)
class StillView:
    """An image (H, W, 3) RGB, its camera (None: not calibrated), and base_from_gripper at its stamp [ns]."""

    stamp_ns: int
    rgb: NDArray[np.uint8]
    camera: CalibratedCamera | None
    base_from_gripper: SE3


class CalibrationCapture(SpatialNode):
    """Spun by one thread, asked by another. ``motion_node`` may watch it: it holds ``alive/calibration_capture``."""

    default_name = "calibration_capture"
    parameters: ClassVar = (
        NodeParameter("camera", "camera/wrist", "Its topics are <camera>/image and <camera>/camera_info."),
        NodeParameter("base_frame", BASE_FRAME, "Frame that the gripper's pose is given in."),
        NodeParameter("gripper_frame", "panda_hand", "Frame whose pose is recorded."),
        NodeParameter("reliable_camera", True, "Have lost images sent again; the publisher must offer it."),
        NodeParameter("max_frame_age", 1.0, "Give up an image older than this [s].", 0.01, 5.0),
    )

    def setup(self) -> None:
        """Connect."""
        self._changed = threading.Condition()
        self._view: StillView | None = None
        self._status: MotionStatus | None = None
        self._instruction: Instruction | None = None
        self._foreign = 0
        self._transforms = TransformSource(self)
        self.own(self._transforms.close)
        camera, profile = self.value("camera"), qos.camera_in(self.value("reliable_camera"))
        streams = {
            "image": (Image, f"{camera}/image", profile),
            "camera_info": (CameraInfo, f"{camera}/camera_info", profile),
        }
        self._intake = FrameIntake(self, streams, self.value("max_frame_age"), self._complete, self._seen)
        self.listen(MotionStatus, "motion_status", self._on_status, qos.STREAM)
        self.listen(Instruction, "instruction", self._on_instruction, qos.LATCHED)
        self.listen(ActionChunk, "action_chunk", self._on_chunk, qos.STREAM)
        self.chunks = self.publish_on(ActionChunk, "action_chunk", qos.STREAM)

    def next_view(self, after_ns: int, patience: float) -> StillView | None:
        """The next image later than ``after_ns`` that was taken while the gripper stood still; None if none comes.

        Args:
            patience: how long to wait for it [s, real time].

        Raises:
            CalibrationError: there are no images at all, or no transforms for them; the text says which.
        """
        if self.count_publishers(f"{self.value('camera')}/image") == 0:
            raise CalibrationError(self._why_no_image())
        heard = self.counters["images"]

        def look() -> StillView | None:
            view = self._view
            return view if view is not None and view.stamp_ns > after_ns else None

        view = self._wait(look, patience)
        if view is None and self.counters["images"] == heard:
            raise CalibrationError(self._why_no_image())
        return view

    def next_status(self, after_ns: int) -> MotionStatus:
        """The next word of the motion stage that is later than ``after_ns``.

        Raises:
            CalibrationError: none comes, or somebody else moves the arm.
        """

        def look() -> MotionStatus | None:
            status = self._status
            return status if status is not None and stamp_ns(status.header.stamp) > after_ns else None

        status = self._wait(look, SILENCE)
        self.require_the_arm()
        if status is None:
            raise CalibrationError(
                f"nothing on '{self.resolve_topic_name('motion_status')}' for {SILENCE:g} s: is motion_node running? "
                "Start it with `spatial-vla bringup`, or move the arm yourself and give --by-hand"
            )
        return status

    def require_the_arm(self) -> None:
        """Raise CalibrationError if anybody else moves the arm, or is about to."""
        if self._instruction is not None and self._instruction.active:
            raise CalibrationError(
                f"the policy is following the instruction '{self._instruction.text}'; wait until it is done, or cancel "
                "it (Ctrl-C where `spatial-vla say` runs), and start again"
            )
        if self._foreign:
            others = {info.node_name for info in self.get_publishers_info_by_topic("action_chunk")}
            others = ", ".join(sorted(others - {self.get_name()})) or "another node"
            raise CalibrationError(
                f"{others} sends action chunks, too; stop it first: one at a time moves the arm"
            )

    def _wait(self, look: Callable[[], T | None], seconds: float) -> T | None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while (found := look()) is None and (left := deadline - time.monotonic()) > 0.0:
                self._changed.wait(min(left, 0.2))  # not for good: an interrupt must get through
            return found

    def _complete(self, frame: list[Any]) -> StillView | None:
        image, info = frame
        stamp, rgb = stamp_ns(image.header.stamp), rgb_from_image(image)
        now, before = (self._gripper(at) for at in (stamp, max(stamp - STILL_NS, 0)))
        return None if moved(before, now) else StillView(stamp, rgb, camera_of(info, *rgb.shape[:2]), now)

    def _gripper(self, stamp: int) -> SE3:
        base, gripper = self.value("base_frame"), self.value("gripper_frame")
        return se3_from_transform(transform_at(self._transforms, base, gripper, stamp))

    def _seen(self, view: StillView | None, _: int) -> None:
        with self._changed:
            self.counters["images"] += 1
            self._view = view or self._view
            self._changed.notify_all()

    def _on_status(self, message: MotionStatus) -> None:
        with self._changed:
            self._status = message
            self._changed.notify_all()

    def _on_instruction(self, message: Instruction) -> None:
        self._instruction = message

    def _on_chunk(self, message: ActionChunk) -> None:
        self._foreign += message.instruction_id != NO_INSTRUCTION

    def _why_no_image(self) -> str:
        camera = self.value("camera")
        names = [self.resolve_topic_name(f"{camera}/{name}") for name in ("image", "camera_info")]
        absent = [name for name in names if self.count_publishers(name) == 0]
        if absent:
            topics = self.get_topic_names_and_types()
            known = [
                n for n, types in topics if "sensor_msgs/msg/Image" in types and self.count_publishers(n)
            ]
            there = f"images are on {', '.join(known)}" if known else "there is no topic with images at all"
            return f"nobody publishes {' or '.join(absent)}; start the camera's driver or give --camera ({there})"
        why = self.diagnostics.last_refusal or f"none came on {' and '.join(names)}"
        return (
            f"no usable image from '{camera}': {why}. Images need a camera_info of the same stamp, and the transform "
            f"from '{self.value('gripper_frame')}' to '{self.value('base_frame')}' on /tf (robot_state_publisher)"
        )


def camera_of(info: CameraInfo, height: int, width: int) -> CalibratedCamera | None:
    """Intrinsics of raw images of ``height`` x ``width``; None if the camera is not calibrated (K is zero).

    Raises:
        RefusedInput: of another size, or a distortion model that is not known.
    """
    if (info.height, info.width) != (height, width):
        size = f"camera_info is for {info.width}x{info.height} pixels"
        raise RefusedInput("camera_info_refused", f"{size}, the image has {width}x{height}")
    if not info.k[0]:
        return None
    model, distortion = (info.distortion_model, info.d) if any(info.d) else ("plumb_bob", np.zeros(5))
    try:
        return CalibratedCamera(PinholeCamera.from_K(width, height, info.k), np.array(distortion), model)
    except ValueError as error:
        raise RefusedInput("camera_info_refused", f"camera_info: {error}") from error
