"""ROS messages out of the simulator's arrays. Pixels go through ``array.array``: 100 times faster than ndarray."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, TransformStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, JointState
from spatial_vla.description import ARM_JOINTS, FINGER_JOINTS
from spatial_vla.geometry import SE3, PinholeCamera
from spatial_vla_interfaces.msg import SimState
from std_msgs.msg import Header

from .referee import judge
from .world import World


def time_message(stamp_ns: int) -> Time:
    """Nanoseconds to a message."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def header(stamp_ns: int, frame: str) -> Header:
    """Header of a stamp [ns] and a frame."""
    return Header(stamp=time_message(stamp_ns), frame_id=frame)


def image(pixels: NDArray[Any], head: Header) -> Image:
    """(H, W, 3) uint8 to rgb8, (H, W) float32 metres to 32FC1.

    Raises:
        ValueError: if the array is neither.
    """
    if pixels.dtype == np.uint8 and pixels.ndim == 3:
        encoding, pixel_bytes = "rgb8", 3
    elif pixels.dtype == np.float32 and pixels.ndim == 2:
        encoding, pixel_bytes = "32FC1", 4
    else:
        raise ValueError(
            f"image is {pixels.dtype} {pixels.shape}; expected uint8 (H, W, 3) or float32 (H, W)"
        )
    height, width = pixels.shape[:2]
    message = Image(header=head, height=height, width=width, encoding=encoding, step=width * pixel_bytes)
    message.data = array.array("B", pixels.tobytes())
    return message


def camera_info(camera: PinholeCamera, head: Header) -> CameraInfo:
    """Intrinsics of an undistorted camera."""
    message = CameraInfo(header=head, height=camera.height, width=camera.width, distortion_model="plumb_bob")
    message.d = [0.0] * 5
    message.k = camera.K.ravel()
    message.r = np.eye(3).ravel()
    message.p = np.column_stack((camera.K, np.zeros(3))).ravel()
    return message


def joint_state(world: World, stamp_ns: int) -> JointState:
    """Arm and finger joints of the world now."""
    message = JointState(header=header(stamp_ns, ""), name=[*ARM_JOINTS, *FINGER_JOINTS])
    positions, velocities, finger = world.joint_state()
    message.position = [*positions.tolist(), finger, finger]
    message.velocity = [*velocities.tolist(), 0.0, 0.0]
    return message


def sim_state(world: World, stamp_ns: int) -> SimState:
    """Ground truth and the referee's verdict now."""
    scene, outcome = world.scene, judge(world, world.scene)
    return SimState(
        header=header(stamp_ns, "world"),
        names=[item.name for item in scene.objects],
        poses=[pose(transform) for transform in world.object_poses()],
        target=scene.target.name,
        verb=scene.task.verb,
        success=outcome.success,
        failure=outcome.failure,
        distance=outcome.distance,
        distractor_displacement=outcome.distractor_displacement,
    )


def pose(transform: SE3) -> Pose:
    """A transform as a pose."""
    message = Pose()
    message.position.x, message.position.y, message.position.z = transform.translation.tolist()
    orientation = message.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = transform.quaternion().tolist()
    return message


def transform_stamped(transform: SE3, child: str, head: Header) -> TransformStamped:
    """parent_from_child, the parent being the header's frame."""
    message = TransformStamped(header=head, child_frame_id=child)
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = transform.translation.tolist()
    rotation.x, rotation.y, rotation.z, rotation.w = transform.quaternion().tolist()
    return message
