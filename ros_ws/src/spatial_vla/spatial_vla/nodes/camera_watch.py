"""Does the camera fit the policy? Judged from its camera_info alone, so before any picture is looked at."""

from __future__ import annotations

from collections.abc import Iterable

from sensor_msgs.msg import CameraInfo

from ..policy import Manifest
from ..policy.compatibility import PolicyMismatch, Setting, check_setting
from . import qos
from .images import camera_from_info
from .refusal import RefusedInput
from .spatial_node import SpatialNode

TOPIC = "camera/external/camera_info"
COUNTER = "camera_refused"


class CameraWatch:
    """Listens to camera_info, also while the node is not active: activation is refused where the camera does not fit.

    Attributes:
        obstacle: why the policy must not run on this camera; empty if it may, or none has been heard of yet.
    """

    def __init__(self, node: SpatialNode, manifest: Manifest, allow: Iterable[str], reliable: bool) -> None:
        self.obstacle = ""
        self._node, self._manifest, self._allow = node, manifest, tuple(allow)
        self._judged: tuple[object, ...] = ()
        heard = node.create_subscription(CameraInfo, TOPIC, self._on_info, qos.camera_in(reliable))
        node.own(lambda: node.destroy_subscription(heard))
        if manifest.camera is None:
            node.get_logger().warning(
                f"the policy {manifest.name!r} does not say what cameras it was trained with: field of view and "
                "size are not compared. Write it down: export/to_onnx.py --camera"
            )

    def require(self) -> None:
        """Raise PolicyMismatch if the camera heard last does not fit."""
        if self.obstacle:
            raise PolicyMismatch({TOPIC: self.obstacle})

    def _on_info(self, message: CameraInfo) -> None:
        """Judge a camera, once until it changes."""
        roi = message.roi
        seen = (
            message.width,
            message.height,
            *map(tuple, (message.k, message.d)),
            *(message.binning_x, message.binning_y, roi.width, roi.height),
        )
        if seen == self._judged:
            return
        self._judged, before = seen, self.obstacle
        try:
            camera = camera_from_info(message, message.height, message.width)
            check_setting(self._manifest, Setting(camera=camera), self._allow)
        except (RefusedInput, PolicyMismatch) as error:
            self.obstacle = str(error)
        else:
            self.obstacle = ""
        if self.obstacle and self.obstacle != before:
            self._node.refuse(COUNTER, self.obstacle)
