"""What stops the arm from outside: a deadman switch, a stop button, and somebody else who commands the same arm."""

from __future__ import annotations

import time
from collections.abc import Callable

from std_msgs.msg import Bool

from ..motion import MotionController
from ..motion.deadman import RELEASED, Deadman
from . import qos
from .spatial_node import SpatialNode

STOPPED = "stop button is pressed"
#: The graph is looked at this often for other writers [s].
WRITERS_PERIOD = 0.5


class OperatorInputs:
    """Turns ``~/deadman`` and ``~/stop`` into holds, and watches who else writes to the arm."""

    def __init__(self, node: SpatialNode, controller: MotionController, topic: Callable[[], str]) -> None:
        """``topic``: what the arm listens to, of which the node must be the only writer."""
        self._node, self._controller, self._topic = node, controller, topic
        self._deadman = Deadman(node.value("deadman_timeout")) if node.value("require_deadman") else None
        self._intruders = ""
        node.listen(Bool, "~/deadman", self._on_deadman, qos.STREAM)
        node.listen(Bool, "~/stop", self._on_stop, qos.LATCHED)
        node.every(WRITERS_PERIOD, self._look_for_writers)
        if self._deadman is not None:
            controller.hold(RELEASED)

    def update(self) -> None:
        """Before every tick: has the deadman switch been let go?"""
        if self._deadman is None:
            return
        if self._deadman.held(time.monotonic()):
            self._controller.resume(RELEASED)
        elif self._controller.hold(RELEASED):
            self._node.counters["deadman_released"] += 1

    def other_writers(self) -> list[str]:
        """Names of other nodes that publish to the arm."""
        own = (self._node.get_name(), self._node.get_namespace())
        found = self._node.get_publishers_info_by_topic(self._topic())
        return sorted({i.node_name for i in found if (i.node_name, i.node_namespace) != own})

    def _on_deadman(self, message: Bool) -> None:
        if self._deadman is not None:
            self._deadman.heard(message.data, time.monotonic())

    def _on_stop(self, message: Bool) -> None:
        if not message.data:
            self._controller.resume(STOPPED)
        elif self._controller.hold(STOPPED):
            self._node.refuse("stop_button", STOPPED)

    def _look_for_writers(self) -> None:
        others = self.other_writers()
        said = f"{others} also publish on {self._topic()}; stop them" if others else ""
        if said != self._intruders:
            self._controller.resume(self._intruders)
            self._intruders = said
            if said:
                self._controller.hold(said)
                self._node.refuse("other_writers", said)
