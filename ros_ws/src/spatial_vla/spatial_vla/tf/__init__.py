"""The transform seam: tf2_ros where it is installed, else a light stand-in with the same names and the same rules.

Look-ups interpolate and never extrapolate; ``Time()`` asks for the latest common time; samples are kept for 10 s. Both
back ends pass the same tests. The broadcaster of static transforms is always ours: the Python one of tf2_ros keeps the
first transform of a frame and silently drops corrected ones. Use :class:`TransformSource` in a node: its buffer also
forgets the past when simulated time jumps back, which the Python tf2_ros leaves to its caller.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from geometry_msgs.msg import TransformStamped
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

from .light import StaticTransformBroadcaster, StaticTransformListener

if TYPE_CHECKING or find_spec("tf2_ros") is None:
    from .exceptions import (
        ConnectivityException,
        ExtrapolationException,
        InvalidArgumentException,
        LookupException,
        TransformException,
    )
    from .light import Buffer, TransformBroadcaster, TransformListener

    BACK_END = "light"
else:
    from tf2_ros import (
        Buffer,
        ConnectivityException,
        ExtrapolationException,
        InvalidArgumentException,
        LookupException,
        TransformBroadcaster,
        TransformException,
        TransformListener,
    )

    BACK_END = "tf2_ros"

ANY_BACKWARD_JUMP = Duration(nanoseconds=-1)
#: A moving transform that claims to be from this far ahead of the node's clock [ns] is from before a jump back.
FUTURE_NS = 1_000_000_000


class PresentBuffer(Buffer):
    """A buffer that ignores what is stamped far ahead of a node's clock, and counts it in :attr:`ignored`.

    After simulated time has been set back, messages from before are still on their way. A single one would make the
    buffer take everything that follows for too old to keep.
    """

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._clock = node.get_clock()
        self.ignored = 0

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Store a moving transform unless it is from the future."""
        stamp, now = transform.header.stamp, self._clock.now().nanoseconds
        # Before the first message on /clock, simulated time is 0 and tells nothing.
        if now and stamp.sec * 1_000_000_000 + stamp.nanosec - now > FUTURE_NS:
            self.ignored += 1
            return
        super().set_transform(transform, authority)


class TransformSource:
    """A buffer that follows /tf and /tf_static for as long as this object lives.

    ``moving=False``: /tf_static alone, for frames that stand still; /tf of an arm costs a Python node 0.06 cores.
    """

    def __init__(self, node: Node, moving: bool = True) -> None:
        self.buffer = PresentBuffer(node)
        self._listener = (TransformListener if moving else StaticTransformListener)(self.buffer, node)
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
    "PresentBuffer",
    "StaticTransformBroadcaster",
    "TransformBroadcaster",
    "TransformException",
    "TransformListener",
    "TransformSource",
]
