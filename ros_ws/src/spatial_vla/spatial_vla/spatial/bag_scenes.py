"""Scenes from a recorded run: detections, camera and frames of an MCAP bag, read without ROS.

Location: ``bag=<folder>,camera=<namespace>,detections=<topic>[,world=<frame>][,name=<run>]``; the camera publishes
``<namespace>/camera_info`` and maybe ``<namespace>/image`` (rgb8), the detections are
``vision_msgs/msg/Detection3DArray``. Each message of detections makes a scene at its stamp. The world frame must have
z up (``world`` unless told). A detection's covariance becomes the uncertainty of its box (three standard deviations).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3, PinholeCamera
from ..report.bag import camera as camera_of
from ..report.bag import picture as picture_of
from ..report.bag import read_bag, stamp_ns
from .bag_frames import RecordedFrames
from .boxes import OrientedBox
from .categories import normal
from .layouts import numbered, options, split_floor
from .scene import SceneObject, SpatialScene, Uncertainty, top_surfaces

#: A picture or intrinsics this far from the detections' stamp [ns] belong to others.
_APART = 50_000_000


@dataclass(frozen=True, eq=False)
class BagScenes:
    """Messages of detections, in the order of time."""

    folder: Path
    name: str
    world: str
    image_topic: str
    frames: RecordedFrames
    cameras: dict[int, tuple[str, PinholeCamera]]
    detections: tuple[Any, ...]

    @classmethod
    def open(cls, location: str) -> BagScenes:
        """See above.

        Raises:
            ValueError: if the location is not understood or the bag lacks a topic.
        """
        given = options(location, ("bag", "camera", "detections"), ("world", "name"))
        folder, info = Path(given["bag"]), f"{given['camera']}/camera_info"
        frames, cameras, detections = RecordedFrames(), dict[int, tuple[str, PinholeCamera]](), list[Any]()
        for topic, _, message in read_bag(folder, ("/tf", "/tf_static", info, given["detections"])):
            if topic == info:
                cameras[stamp_ns(message)] = message.header.frame_id, camera_of(message)
            elif topic == given["detections"]:
                detections.append(message)
            else:
                frames.add(message.transforms, static=topic == "/tf_static")
        if not cameras or not detections:
            raise ValueError(
                f"bag {folder} has {len(cameras)} messages on {info} and {len(detections)} on {given['detections']}; "
                "expected at least one on each"
            )
        detections.sort(key=stamp_ns)
        image_topic, world = f"{given['camera']}/image", given.get("world", "world")
        return cls(
            folder, given.get("name", folder.name), world, image_topic, frames, cameras, tuple(detections)
        )

    def __len__(self) -> int:
        return len(self.detections)

    def scene(self, index: int) -> SpatialScene:
        """The scene of a message of detections.

        Raises:
            LookupError: if frames are missing at its time, or intrinsics near it.
        """
        message = self.detections[index]
        stamp = stamp_ns(message)
        near = min(self.cameras, key=lambda t: abs(t - stamp))
        if abs(near - stamp) > _APART:
            raise LookupError(
                f"no camera_info within 0.05 s of the detections at {stamp} ns; the next is at {near} ns"
            )
        frame, camera = self.cameras[near]
        pose = self.frames.pose(self.world, frame, stamp)
        world_from_boxes = self.frames.pose(self.world, message.header.frame_id, stamp)
        found = [item for item in message.detections if item.results]
        labels = [str(max(item.results, key=_score).hypothesis.class_id) for item in found]
        items, floors = split_floor(
            [
                _object(name, label, item, world_from_boxes)
                for name, label, item in zip(numbered(labels), labels, found, strict=True)
            ]
        )
        return SpatialScene(
            items, camera, pose, (*floors, *top_surfaces(items)),
            name=self.name, image=f"{self.name}-{stamp}.png", dataset="bag",
        )  # fmt: skip

    def picture(self, index: int) -> NDArray[np.uint8] | None:
        """The picture at the scene's stamp, RGB; None if none was recorded."""
        stamp = stamp_ns(self.detections[index])
        for _, _, message in read_bag(self.folder, (self.image_topic,)):
            if abs(stamp_ns(message) - stamp) <= _APART:
                return picture_of(message)
        return None


def _score(result: Any) -> float:
    return float(result.hypothesis.score)


def _object(name: str, label: str, item: Any, world_from_boxes: SE3) -> SceneObject:
    at, turn, size = item.bbox.center.position, item.bbox.center.orientation, item.bbox.size
    pose = SE3.from_quaternion((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w))
    box = OrientedBox(pose.translation, np.array((size.x, size.y, size.z)), pose.rotation)
    covariance = np.reshape(max(item.results, key=_score).pose.covariance, (6, 6))
    position, angle = (
        3.0 * float(np.sqrt(max(np.linalg.eigvalsh(part)[-1], 0.0)))
        for part in (covariance[:3, :3], covariance[3:, 3:])
    )
    return SceneObject(name, normal(label), box.moved(world_from_boxes), Uncertainty(position, angle))
