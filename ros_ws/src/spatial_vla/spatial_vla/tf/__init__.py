"""The transform seam: tf2_ros where it is installed, else a light stand-in with the same names and the same rules.

Look-ups interpolate and never extrapolate; ``Time()`` asks for the latest common time; samples are kept for 10 s. Both
back ends pass the same tests. Use :class:`TransformSource` in a node: its buffer also forgets the past when simulated
time jumps back, which the Python tf2_ros leaves to its caller.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

if TYPE_CHECKING or find_spec("tf2_ros") is None:
    from .exceptions import (
        ConnectivityException,
        ExtrapolationException,
        InvalidArgumentException,
        LookupException,
        TransformException,
    )
    from .light import Buffer, StaticTransformBroadcaster, TransformBroadcaster, TransformListener

    BACK_END = "light"
else:
    from tf2_ros import (
        Buffer,
        ConnectivityException,
        ExtrapolationException,
        InvalidArgumentException,
        LookupException,
        StaticTransformBroadcaster,
        TransformBroadcaster,
        TransformException,
        TransformListener,
    )

    BACK_END = "tf2_ros"

ANY_BACKWARD_JUMP = Duration(nanoseconds=-1)


class TransformSource:
    """A buffer that follows /tf and /tf_static for as long as this object lives."""

    def __init__(self, node: Node) -> None:
        self.buffer = Buffer()
        self._listener = TransformListener(self.buffer, node)
        threshold = JumpThreshold(min_forward=None, min_backward=ANY_BACKWARD_JUMP, on_clock_change=True)
        self._jump = node.get_clock().create_jump_callback(threshold, post_callback=self._forget)

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()
        self._jump.unregister()

    def _forget(self, _: object) -> None:
        self.buffer.clear()


__all__ = [
    "BACK_END",
    "Buffer",
    "ConnectivityException",
    "ExtrapolationException",
    "InvalidArgumentException",
    "LookupException",
    "StaticTransformBroadcaster",
    "TransformBroadcaster",
    "TransformException",
    "TransformListener",
    "TransformSource",
]
