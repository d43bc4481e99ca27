"""Camera frames to feature maps, each with the intrinsics and the camera pose at its stamp."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from geometry_msgs.msg import Transform
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from spatial_vla_interfaces.msg import FeatureMap

from ..policy import Encoder
from ..policy.compatibility import PolicyMismatch, Setting, check_setting
from ..tf import TransformSource
from . import qos
from .camera_watch import CameraWatch
from .conversions import fill_features, stamp_ns
from .frame_intake import FrameIntake, transform_at
from .images import camera_from_info, rgb_from_image
from .policy_parameters import POLICY, allowed, bundle_folder
from .refusal import RefusedInput
from .run import main_of
from .spatial_node import SpatialNode


@dataclass(frozen=True)
class CameraView:
    """A colour image (H, W, 3) uint8 with all that places it in space."""

    rgb: NDArray[np.uint8]
    info: CameraInfo
    base_from_camera: Transform


class EncoderNode(SpatialNode):
    """The ROS side of :class:`~spatial_vla.policy.Encoder`."""

    default_name = "encoder_node"
    parameters: ClassVar = POLICY

    def setup(self) -> None:
        """Load the encoder and connect it to the camera."""
        self._base_frame = self.value("base_frame")
        self._allow = allowed(self.value("allow"))
        self._encoder = Encoder(bundle_folder(self.value("bundle")), self.value("session"))
        choice = self._encoder.choice
        here = Setting(base_frame=self._base_frame, session=choice.kind)
        check_setting(self._encoder.manifest, here, self._allow)
        self.own(self._encoder.session.close)
        self.get_logger().info(f"{self._encoder.session.device}: {choice.reason}")
        self._transforms = TransformSource(self)
        self.own(self._transforms.close)
        self._features = self.publish_on(FeatureMap, "features", qos.STREAM)
        # Used again for every frame: making one, with all that is nested in it, takes longer than filling it.
        self._message = FeatureMap(base_frame=self._base_frame, encoder=self._encoder.manifest.hash)
        reliable = self.value("reliable_camera")
        self._camera = CameraWatch(self, self._encoder.manifest, self._allow, reliable)
        camera = qos.camera_in(reliable)
        streams = {
            "image": (Image, "camera/external/image", camera),
            "camera_info": (CameraInfo, "camera/external/camera_info", camera),
        }
        self._intake = FrameIntake(self, streams, self.value("max_frame_age"), self._view, self._encode)

    def start(self) -> None:
        """Refused if the camera is known already and does not fit."""
        self._camera.require()

    def stop(self) -> None:
        """Forget the frames in hand."""
        self._intake.clear()

    def _view(self, frame: list[Any]) -> CameraView:
        image, info = frame
        camera = image.header.frame_id
        if info.header.frame_id != camera:
            raise RefusedInput(
                "camera_info_refused",
                f"image is in frame '{camera}', its camera_info in '{info.header.frame_id}'; they must agree",
            )
        rgb = rgb_from_image(image)
        try:
            seen = Setting(camera=camera_from_info(info, *rgb.shape[:2]))
            check_setting(self._encoder.manifest, seen, self._allow)
        except PolicyMismatch as error:
            raise RefusedInput("camera_info_refused", str(error)) from error
        stamp = stamp_ns(image.header.stamp)
        return CameraView(rgb, info, transform_at(self._transforms, self._base_frame, camera, stamp))

    def _encode(self, view: CameraView, published_ns: int) -> None:
        start = time.perf_counter()
        features = self._encoder.encode(view.rgb)
        encode_ms = (time.perf_counter() - start) * 1e3
        message = self._message
        message.header = view.info.header
        message.base_from_camera, message.camera_info = view.base_from_camera, view.info
        message.encode_ms = encode_ms
        fill_features(message, features)
        self._features.publish(message)
        self.counters["frames_encoded"] += 1
        self.diagnostics.measure("encode_ms", encode_ms)
        self.diagnostics.measure("ros_overhead_ms", (time.time_ns() - published_ns) * 1e-6 - encode_ms)


def main() -> None:
    """Entry point."""
    main_of(EncoderNode)
