"""Feature maps, depth, the tool's pose and an instruction to action chunks."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, JointState
from spatial_vla_interfaces.msg import ActionChunk, ActionGrid, FeatureMap, Instruction

from ..description import FINGER_JOINTS, TCP_FRAME
from ..geometry import SE3, PinholeCamera
from ..policy import Decoder, UnknownInstruction
from ..policy.compatibility import Setting, check_setting
from ..policy.pairing import NotYet
from ..tf import TransformSource
from . import qos
from .camera_watch import CameraWatch
from .conversions import (
    chunk_message,
    features_from_message,
    grid_message,
    header,
    se3_from_transform,
    stamp_ns,
)
from .frame_intake import FrameIntake
from .images import camera_from_info, depth_from_image
from .moving_frame import MovingFrame
from .parameters import NodeParameter
from .policy_parameters import POLICY, allowed, bundle_folder
from .policy_report import PolicyReport
from .refusal import RefusedInput
from .run import main_of
from .spatial_node import SpatialNode

REPORT_PERIOD = 0.2  # [s]
PERIOD_SLACK = 0.02  # by so much a frame may come before the end of a step [s]


@dataclass(frozen=True)
class Observation:
    """All that the decoder needs from one moment; ``message`` holds the features, the rest is converted already."""

    message: FeatureMap
    features: NDArray[np.float32]
    depth: NDArray[np.float32]
    camera: PinholeCamera
    base_from_tcp: SE3
    gripper_width: float


class DecoderNode(SpatialNode):
    """The ROS side of :class:`~spatial_vla.policy.Decoder`.

    While an instruction is active it decides once per step of its chunks, as in its training: a plan that is made anew
    before its first step is over may for ever begin with the same first step.
    """

    default_name = "decoder_node"
    parameters: ClassVar = (
        *POLICY,
        NodeParameter("tcp_frame", TCP_FRAME, "Frame of the tool centre point."),
        NodeParameter(
            "gripper_joints",
            list(FINGER_JOINTS),
            "Joints in joint_states whose positions [m] add up to the opening.",
        ),
    )

    def setup(self) -> None:
        """Load the decoder and connect it."""
        self._base_frame, self._tcp_frame = self.value("base_frame"), self.value("tcp_frame")
        self._fingers, self._max_age = self.value("gripper_joints"), self.value("max_frame_age")
        self._decoder = Decoder(bundle_folder(self.value("bundle")), self.value("session"))
        choice = self._decoder.choice
        here = Setting(None, self._base_frame, self._tcp_frame, "rotation_vector", choice.kind)
        allow = allowed(self.value("allow"))
        check_setting(self._decoder.manifest, here, allow)
        self.own(self._decoder.session.close)
        self.get_logger().info(f"{self._decoder.session.device}: {choice.reason}")
        self._instruction: Instruction | None = None
        self._period_ns = round((self._decoder.manifest.dt - PERIOD_SLACK) * 1e9)
        self._decided_ns = -self._period_ns
        self._gripper: tuple[int, float] | None = None
        self._chunk_id = 0
        self._transforms = TransformSource(self)
        self.own(self._transforms.close)
        self._tool = MovingFrame(self._transforms, self._base_frame, self._tcp_frame)
        self._chunks = self.publish_on(ActionChunk, "action_chunk", qos.STREAM)
        self._grid = self.publish_on(ActionGrid, "action_grid", qos.LATCHED)
        self._report = PolicyReport(self)
        self.listen(Instruction, "instruction", self._on_instruction, qos.LATCHED)
        self.listen(JointState, "joint_states", self._on_joint_state, qos.LATEST_IN)
        reliable = self.value("reliable_camera")
        self._camera = CameraWatch(self, self._decoder.manifest, allow, reliable)
        camera = qos.camera_in(reliable)
        streams = {
            "features": (FeatureMap, "features", qos.LATEST),
            "depth": (Image, "camera/external/depth", camera),
        }
        self._intake = FrameIntake(self, streams, self._max_age, self._observe, self._decode)
        self.every(REPORT_PERIOD, self._publish_report)

    def start(self) -> None:
        """Show the grid. Refused if the camera is known already and does not fit."""
        self._camera.require()
        manifest = self._decoder.manifest
        head = header(self.now_ns(), self._base_frame)
        self._grid.publish(grid_message(self._decoder.grid, head, manifest.steps, manifest.dt))

    def stop(self) -> None:
        """Forget the frames in hand."""
        self._intake.clear()

    def _on_instruction(self, message: Instruction) -> None:
        self._instruction = None
        if not message.active:
            self._report.end()
            return
        self._report.begin(message.id)
        try:
            self._decoder.vocabulary.encode(message.text)
        except UnknownInstruction as error:
            self._report.fail(str(error))
        else:
            self._instruction, self._decided_ns = message, -self._period_ns
            self._check_camera()

    def _check_camera(self) -> None:
        """An instruction makes the policy active; with a camera that does not fit it is not followed."""
        if self._instruction is not None and self._camera.obstacle:
            self._instruction = None
            self._report.fail(f"the camera does not fit the policy: {self._camera.obstacle}")

    def _on_joint_state(self, message: JointState) -> None:
        positions = dict(zip(message.name, message.position, strict=False))
        try:
            width = sum(positions[name] for name in self._fingers)
        except KeyError:
            return  # another part of the robot speaks
        self._gripper = stamp_ns(message.header.stamp), width

    def _observe(self, frame: list[Any]) -> Observation:
        message, image = frame
        self._check(message, image)
        stamp = stamp_ns(message.header.stamp)
        depth = depth_from_image(image)
        return Observation(
            message=message,
            features=features_from_message(message),
            depth=depth,
            camera=camera_from_info(message.camera_info, *depth.shape),
            base_from_tcp=self._tool.at(stamp),
            gripper_width=self._gripper_width(stamp),
        )

    def _check(self, message: FeatureMap, image: Image) -> None:
        """Refuse features of another encoder or base, and depth that is not registered to them."""
        for what, found, expected in (
            ("encoder", message.encoder, self._decoder.manifest.hash),
            ("base frame", message.base_frame, self._base_frame),
            ("camera frame", message.header.frame_id, image.header.frame_id),
        ):
            if found != expected:
                raise RefusedInput(
                    "features_refused",
                    f"features have {what} '{found}', the decoder or its depth image '{expected}'",
                )

    def _gripper_width(self, stamp: int) -> float:
        if self._gripper is None:
            raise NotYet(f"no joint_states with {', '.join(self._fingers)}")
        at, width = self._gripper
        if abs(at - stamp) > self._max_age * 1e9:
            raise NotYet(
                f"joint_states with {', '.join(self._fingers)} are {(stamp - at) * 1e-9:.3f} s older than the image"
            )
        return width

    def _decode(self, observation: Observation, published_ns: int) -> None:
        instruction, message = self._instruction, observation.message
        stamp = stamp_ns(message.header.stamp)
        if instruction is None or 0 <= stamp - self._decided_ns < self._period_ns:
            return
        self._decided_ns = stamp
        start = time.perf_counter()
        chunk = self._decoder.decode(
            observation.features,
            observation.depth,
            observation.camera,
            se3_from_transform(message.base_from_camera),
            observation.base_from_tcp,
            observation.gripper_width,
            instruction.text,
            stamp,
        )
        decode_ms = (time.perf_counter() - start) * 1e3
        self._chunk_id += 1
        chunk = replace(chunk, frame=self._base_frame, chunk_id=self._chunk_id, instruction_id=instruction.id)
        answer = chunk_message(chunk)
        answer.encode_ms, answer.decode_ms = message.encode_ms, decode_ms
        self._chunks.publish(answer)
        overhead_ms = (time.time_ns() - published_ns) * 1e-6 - message.encode_ms - decode_ms
        self._report.chunk(message.encode_ms, decode_ms, overhead_ms)

    def _publish_report(self) -> None:
        self._check_camera()
        silent = self._intake.silent(1.0)
        obstacle = f"nothing comes on {', '.join(silent)}" if silent else self.diagnostics.last_refusal
        self._report.publish(obstacle)


def main() -> None:
    """Entry point."""
    main_of(DecoderNode)
