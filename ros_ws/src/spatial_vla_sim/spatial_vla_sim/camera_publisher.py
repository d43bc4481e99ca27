"""The three topics and the mount of one simulated camera."""

from __future__ import annotations

import time

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from spatial_vla.geometry import SE3, PinholeCamera
from spatial_vla.nodes import qos
from spatial_vla.nodes.conversions import header, transform_message
from spatial_vla.nodes.images import image_from_array, info_from_camera
from tf2_msgs.msg import TFMessage

from .ray_camera import Frame

#: Between image and depth [s]: both at once are more than a socket's default buffer holds. The encoder takes longer.
APART = 0.003
#: link_from_optical: a camera link looks along x with z up, its optical frame along z with y down (REP-103).
LINK_FROM_OPTICAL = SE3(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3))


def optical_frame(camera: str) -> str:
    """Frame of the camera's images: z forward, x right, y down."""
    return f"{camera}_camera_optical_frame"


def mount_transforms(camera: str, world_from_optical: SE3, stamp_ns: int) -> TFMessage:
    """Static transforms world -> camera link -> optical frame of a camera that stands at ``world_from_optical``."""
    link, optical = f"{camera}_camera_link", optical_frame(camera)
    world_from_link = world_from_optical @ LINK_FROM_OPTICAL.inverse()
    rows = ((world_from_link, "world", link), (LINK_FROM_OPTICAL, link, optical))
    return TFMessage(
        transforms=[
            TransformStamped(
                header=header(stamp_ns, parent), child_frame_id=child, transform=transform_message(transform)
            )
            for transform, parent, child in rows
        ]
    )


class CameraPublisher:
    """Publishes image, depth and camera_info of a camera with one stamp, under ``camera/<name>/``."""

    def __init__(self, node: Node, camera: str) -> None:
        self._frame = optical_frame(camera)
        self._image = node.create_publisher(Image, f"camera/{camera}/image", qos.SENSOR_OUT)
        self._depth = node.create_publisher(Image, f"camera/{camera}/depth", qos.SENSOR_OUT)
        self._info = node.create_publisher(CameraInfo, f"camera/{camera}/camera_info", qos.SENSOR_OUT)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody subscribes to an image; without, nothing needs to be rendered."""
        return self._image.get_subscription_count() + self._depth.get_subscription_count() > 0

    def publish_info(self, camera: PinholeCamera, stamp_ns: int) -> None:
        """Send the intrinsics alone, for those who need no picture."""
        if self._info.get_subscription_count() > 0:
            self._info.publish(info_from_camera(camera, header(stamp_ns, self._frame)))

    def publish(self, frame: Frame, stamp_ns: int) -> None:
        """Send one view, taken at ``stamp_ns``: first what is small or waited for. Takes a few milliseconds."""
        head = header(stamp_ns, self._frame)
        self._info.publish(info_from_camera(frame.camera, head))
        self._image.publish(image_from_array(frame.rgb, head))
        time.sleep(APART)
        self._depth.publish(image_from_array(frame.depth, head))
