"""From topics to observations: subscribe, pair by stamp, wait for transforms, hand over the newest whole frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from geometry_msgs.msg import Transform
from rclpy.qos import QoSProfile
from rclpy.time import Time

from ..policy.pairing import LatestFrame, NotYet, StampPairing
from ..tf import InvalidArgumentException, TransformException, TransformSource
from .conversions import stamp_ns
from .refusal import RefusedInput
from .spatial_node import SpatialNode

Observation = TypeVar("Observation")
RETRY = 0.005  # [s] between looks for a transform that is not there yet


class FrameIntake(Generic[Observation]):
    """Gives a node one observation at a time, always from the newest frame.

    Args:
        node: the node; drops are counted there.
        streams: stream name -> message type, topic and quality of service. Messages need a header.
        max_age: oldest usable frame, and longest wait for what it lacks [s].
        complete: turns the messages of a frame, in the order of ``streams``, into an observation; raises NotYet while
            something is missing.
        use: called with the observation, and with the real time [ns since 1970] at which the first of its messages was
            published; runs in the executor's thread.
    """

    def __init__(
        self,
        node: SpatialNode,
        streams: Mapping[str, tuple[type, str, QoSProfile]],
        max_age: float,
        complete: Callable[[list[Any]], Observation],
        use: Callable[[Observation, int], None],
    ) -> None:
        self._node = node
        self._complete = complete
        self._use = use
        max_age_ns = round(max_age * 1e9)
        self._pairing = StampPairing(tuple(streams), max_age_ns, node.refuse)
        self._latest: LatestFrame[tuple[list[Any], int]] = LatestFrame(max_age_ns, node.refuse)
        self._heard: dict[str, float] = {}
        self._retry = node.every(RETRY, self._try)
        self._retry.cancel()
        for name, (message_type, topic, profile) in streams.items():
            self._heard[topic] = time.monotonic()
            node.listen_timed(message_type, topic, self._receiver(name, topic), profile)

    def clear(self) -> None:
        """Forget what has been received."""
        self._pairing.clear()
        self._latest.clear()
        self._retry.cancel()

    def silent(self, seconds: float) -> list[str]:
        """Topics on which nothing has come for that long, in real time."""
        since = time.monotonic() - seconds
        return [topic for topic, heard in self._heard.items() if heard < since]

    def _receiver(self, stream: str, topic: str) -> Callable[[Any, int], None]:
        def receive(message: Any, published_ns: int) -> None:
            self._heard[topic] = time.monotonic()
            stamp = stamp_ns(message.header.stamp)
            frame = self._pairing.add(stream, stamp, (message, published_ns))
            if frame is not None:
                self._latest.offer(stamp, ([item for item, _ in frame], min(ns for _, ns in frame)))
                self._try()

        return receive

    def _try(self) -> None:
        observation = self._latest.take(self._node.now_ns(), self._completed)
        if self._latest.waiting:
            if self._retry.is_canceled():
                self._retry.reset()
            return
        self._retry.cancel()
        if observation is not None:
            self._use(*observation)

    def _completed(self, frame: tuple[list[Any], int]) -> tuple[Observation, int]:
        messages, published_ns = frame
        return self._complete(messages), published_ns


def transform_at(transforms: TransformSource, target: str, source: str, stamp: int) -> Transform:
    """Pose of frame ``source`` in frame ``target`` at a stamp [ns].

    Raises:
        NotYet: not known (yet) for that time.
        RefusedInput: a frame name is malformed.
    """
    try:
        found = transforms.buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
    except InvalidArgumentException as error:
        raise RefusedInput(
            "transform_refused", f"no transform from '{source}' to '{target}': {error}"
        ) from error
    except TransformException as error:
        raise NotYet(f"no transform from '{source}' to '{target}': {error}") from error
    return found.transform
