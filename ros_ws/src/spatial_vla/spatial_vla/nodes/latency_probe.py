"""Measures the graph from outside: how long from an image to the joint command that answers it, stage by stage.

Times are real time, from the time stamps that DDS puts on every message when it is published, so they hold on one
machine and under simulated time too. Rendering or exposure, before the image is published, is not part of it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from spatial_vla_interfaces.msg import ActionChunk
from trajectory_msgs.msg import JointTrajectory

from . import qos

ARM_COMMANDS = "panda_arm_controller/joint_trajectory"
REMEMBERED = 64
"""Images whose publication time is kept."""


@dataclass(frozen=True)
class ChunkTiming:
    """Stages of one chunk [ms].

    Attributes:
        encode, decode: inside the networks. ros_overhead: image to chunk, without the networks.
        wait_for_tick: chunk to the next joint command. image_to_command: all of it.
    """

    encode: float
    decode: float
    ros_overhead: float
    wait_for_tick: float
    image_to_command: float


class LatencyProbe:
    """Subscribes to camera info, chunks and arm commands of a node's graph; ``timings`` grows by one per chunk."""

    def __init__(self, node: Node) -> None:
        self.timings: list[ChunkTiming] = []
        self._images: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._waiting: tuple[ActionChunk, int] | None = None
        # rclpy hands the time stamps to callbacks with a second parameter, which its annotations do not say.
        subscribe = node.create_subscription
        subscribe(CameraInfo, "camera/external/camera_info", self._on_image, qos.SENSOR_IN)  # type: ignore[arg-type]
        subscribe(ActionChunk, "action_chunk", self._on_chunk, qos.SENSOR_IN)  # type: ignore[arg-type]
        subscribe(JointTrajectory, ARM_COMMANDS, self._on_command, qos.SENSOR_IN)  # type: ignore[arg-type]

    def _on_image(self, message: CameraInfo, info: Any) -> None:
        self._images[_key(message)] = info["source_timestamp"]
        while len(self._images) > REMEMBERED:
            self._images.popitem(last=False)

    def _on_chunk(self, message: ActionChunk, info: Any) -> None:
        if _key(message) in self._images:
            self._waiting = message, info["source_timestamp"]

    def _on_command(self, _: JointTrajectory, info: Any) -> None:
        if self._waiting is None or info["source_timestamp"] <= self._waiting[1]:
            return
        chunk, chunk_ns = self._waiting
        self._waiting = None
        image_ns = self._images[_key(chunk)]
        networks = chunk.encode_ms + chunk.decode_ms
        self.timings.append(
            ChunkTiming(
                encode=chunk.encode_ms,
                decode=chunk.decode_ms,
                ros_overhead=(chunk_ns - image_ns) * 1e-6 - networks,
                wait_for_tick=(info["source_timestamp"] - chunk_ns) * 1e-6,
                image_to_command=(info["source_timestamp"] - image_ns) * 1e-6,
            )
        )


def _key(message: CameraInfo | ActionChunk) -> tuple[int, int]:
    stamp = message.header.stamp
    return stamp.sec, stamp.nanosec
