"""Messages to the core's types and back: stamps, transforms, feature maps, action chunks and grids."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Transform
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from spatial_vla_interfaces.msg import ActionChunk as ActionChunkMessage
from spatial_vla_interfaces.msg import ActionGrid as ActionGridMessage
from spatial_vla_interfaces.msg import FeatureMap
from std_msgs.msg import Header

from ..actions import ActionChunk, ActionGrid
from ..geometry import SE3
from .refusal import RefusedInput

CHUNK, FEATURES, TRANSFORM = "chunk_refused", "features_refused", "transform_refused"


def stamp_ns(time: Time) -> int:
    """Time message to nanoseconds."""
    return time.sec * 1_000_000_000 + time.nanosec


def time_message(nanoseconds: int) -> Time:
    """Nanoseconds to a time message."""
    sec, nanosec = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def header(nanoseconds: int, frame: str) -> Header:
    """Header from a stamp [ns] and a frame."""
    return Header(stamp=time_message(nanoseconds), frame_id=frame)


def se3_from_transform(message: Transform) -> SE3:
    """Transform message to SE3.

    Raises:
        RefusedInput: the quaternion is not of unit length, or a number is not finite.
    """
    t, q = message.translation, message.rotation
    try:
        return SE3.from_quaternion((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
    except ValueError as error:
        raise RefusedInput(TRANSFORM, str(error)) from error


def transform_message(transform: SE3) -> Transform:
    """SE3 to a transform message."""
    message = Transform()
    t, q = message.translation, message.rotation
    t.x, t.y, t.z = transform.translation.tolist()
    q.x, q.y, q.z, q.w = transform.quaternion().tolist()
    return message


def pose_message(transform: SE3) -> Pose:
    """SE3 to a pose message."""
    message = Pose()
    p, q = message.position, message.orientation
    p.x, p.y, p.z = transform.translation.tolist()
    q.x, q.y, q.z, q.w = transform.quaternion().tolist()
    return message


def features_from_message(message: FeatureMap) -> NDArray[np.float32]:
    """Features (rows, cols, channels) float32.

    Raises:
        RefusedInput: the length does not fit the shape.
    """
    shape = (message.rows, message.cols, message.channels)
    if len(message.data) != shape[0] * shape[1] * shape[2]:
        raise RefusedInput(FEATURES, f"feature map of shape {shape} holds {len(message.data)} values")
    return np.frombuffer(message.data, np.float16).reshape(shape).astype(np.float32)


def fill_features(message: FeatureMap, features: NDArray[np.float32]) -> None:
    """Put features (rows, cols, channels) into a message, in half precision.

    Raises:
        RefusedInput: a value is not finite, or too large for half precision.
    """
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(features, np.float16)
    if not np.isfinite(half).all():
        worst = np.abs(features).max()
        raise RefusedInput(FEATURES, f"features reach {worst:g}; half precision ends at 65504")
    message.rows, message.cols, message.channels = features.shape
    message.data = array.array("H", half.tobytes())


def chunk_message(chunk: ActionChunk) -> ActionChunkMessage:
    """ActionChunk to a message, rotations as rotation vectors."""
    message = ActionChunkMessage(header=header(chunk.stamp_ns, chunk.frame))
    message.id, message.instruction_id = chunk.chunk_id, chunk.instruction_id
    message.dt, message.steps = chunk.dt, chunk.steps
    message.rotation_form = ActionChunkMessage.ROTATION_VECTOR
    message.deltas = array.array("d", np.ascontiguousarray(chunk.deltas, np.float64).tobytes())
    message.gripper = array.array("d", np.ascontiguousarray(chunk.gripper, np.float64).tobytes())
    if chunk.token_ids is not None:
        message.token_ids = array.array("I", np.ascontiguousarray(chunk.token_ids, np.uint32).tobytes())
    if chunk.log_probabilities is not None:
        logs = np.ascontiguousarray(chunk.log_probabilities, np.float32)
        message.log_probabilities = array.array("f", logs.tobytes())
    if chunk.target is not None:
        x, y, z = chunk.target.tolist()
        message.has_target, message.target = True, Point(x=x, y=y, z=z)
    return message


def chunk_from_message(message: ActionChunkMessage) -> ActionChunk:
    """Message to an ActionChunk, whatever its rotation form.

    Only the layout is checked here; whether the motion is acceptable is the gate's business.

    Raises:
        RefusedInput: array lengths do not fit the number of steps, or the rotation form is unknown.
    """
    n = message.steps
    lengths = {"deltas": 6 * n, "gripper": n, "token_ids": 3 * n, "log_probabilities": 3 * n}
    optional = ("token_ids", "log_probabilities")
    for name, expected in lengths.items():
        found = len(getattr(message, name))
        if found != expected and not (found == 0 and name in optional):
            raise RefusedInput(CHUNK, f"chunk of {n} steps has {found} {name}; expected {expected}")
    target = message.target
    return ActionChunk(
        stamp_ns=stamp_ns(message.header.stamp),
        dt=message.dt,
        frame=message.header.frame_id,
        deltas=_deltas(message),
        gripper=np.array(message.gripper, np.float64),
        chunk_id=message.id,
        instruction_id=message.instruction_id,
        token_ids=np.array(message.token_ids, np.int64).reshape(n, 3) if message.token_ids else None,
        log_probabilities=(
            np.array(message.log_probabilities, np.float32).reshape(n, 3)
            if message.log_probabilities
            else None
        ),
        target=np.array((target.x, target.y, target.z)) if message.has_target else None,
    )


def _deltas(message: ActionChunkMessage) -> NDArray[np.float64]:
    deltas = np.array(message.deltas, np.float64).reshape(message.steps, 6)
    if message.rotation_form == ActionChunkMessage.FIXED_RPY:
        deltas[:, 3:] = Rotation.from_euler("xyz", deltas[:, 3:]).as_rotvec()
    elif message.rotation_form != ActionChunkMessage.ROTATION_VECTOR:
        raise RefusedInput(
            CHUNK,
            f"chunk has rotation_form {message.rotation_form}; expected {ActionChunkMessage.ROTATION_VECTOR} "
            f"(rotation vector) or {ActionChunkMessage.FIXED_RPY} (fixed-axis roll, pitch, yaw)",
        )
    return deltas


def grid_message(grid: ActionGrid, head: Header, steps: int, dt: float) -> ActionGridMessage:
    """ActionGrid to a message."""
    message = ActionGridMessage(header=head, steps=steps, dt=dt, zero_motion=grid.zero_motion)
    for name in ("theta", "phi", "r", "roll", "pitch", "yaw"):
        setattr(message, f"{name}_edges", getattr(grid, name).tolist())
    message.translation_scale, message.rotation_scale = grid.translation_scale, grid.rotation_scale
    return message
