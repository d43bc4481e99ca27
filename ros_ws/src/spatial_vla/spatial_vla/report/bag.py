"""Reading a bag without ROS: messages as plain objects whose arrays are numpy arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

from spatial_vla.actions import ActionChunk
from spatial_vla.geometry import PinholeCamera


def read_bag(folder: Path, topics: Collection[str], namespace: str = "") -> Iterator[tuple[str, int, Any]]:
    """Messages of some topics in order of time, as (topic, time [ns], message).

    Topics that the bag does not hold are skipped. The types come from the definitions inside the bag.

    Args:
        folder: of the bag.
        topics: full names, as they are without a namespace.
        namespace: of the robot, such as "/left"; a topic is found with and without it and yielded without.
    """
    names = {f"{namespace}{topic}": topic for topic in topics} | {topic: topic for topic in topics}
    with AnyReader([folder]) as reader:
        connections = [c for c in reader.connections if c.topic in names]
        if not connections:
            return
        for connection, time_ns, data in reader.messages(connections=connections):
            yield names[connection.topic], time_ns, reader.deserialize(data, connection.msgtype)


def stamp_ns(message: Any) -> int:
    """Header stamp of a message [ns]."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def picture(message: Any) -> NDArray[np.uint8]:
    """An rgb8 Image message as (height, width, 3)."""
    if message.encoding != "rgb8":
        raise ValueError(f"image has encoding {message.encoding!r}; the report reads rgb8")
    rows = np.asarray(message.data, dtype=np.uint8).reshape(message.height, message.step)
    return rows[:, : message.width * 3].reshape(message.height, message.width, 3)


def camera(message: Any) -> PinholeCamera:
    """A CameraInfo message as intrinsics."""
    return PinholeCamera.from_K(message.width, message.height, message.k)


def chunk(message: Any) -> ActionChunk:
    """An ActionChunk message as the core's type."""
    point = message.target
    return ActionChunk(
        stamp_ns=stamp_ns(message),
        dt=message.dt,
        frame=message.header.frame_id,
        deltas=np.asarray(message.deltas, dtype=np.float64).reshape(-1, 6),
        gripper=np.asarray(message.gripper, dtype=np.float64),
        chunk_id=message.id,
        instruction_id=message.instruction_id,
        target=np.array([point.x, point.y, point.z]) if message.has_target else None,
    )
