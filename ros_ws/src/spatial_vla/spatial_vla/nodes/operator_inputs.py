"""What stops the arm from outside: a deadman switch, a stop button, and somebody else who commands arm or hand."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from std_msgs.msg import Bool

from ..motion import MotionController
from ..motion.deadman import RELEASED, Deadman
from . import qos
from .spatial_node import SpatialNode

STOPPED, WAS_STOPPED = "stop button is pressed", "stop button was pressed"
#: The graph is looked at this often for other writers [s].
WRITERS_PERIOD = 0.5
#: What a node is called until its name has been discovered; who is no ROS node keeps it.
UNKNOWN = "_NODE_NAME_UNKNOWN_"


class OperatorInputs:
    """Turns ``~/deadman`` and ``~/stop`` into holds, and watches who else writes to arm and hand."""

    def __init__(
        self, node: SpatialNode, controller: MotionController, topics: Mapping[str, Collection[str]]
    ) -> None:
        """``topics``: what arm and hand listen to, and the names of other nodes that may publish there."""
        self._node, self._controller, self._topics = node, controller, topics
        self._deadman = Deadman(node.value("deadman_timeout")) if node.value("require_deadman") else None
        self._intruders, self._unknown = "", False
        self._stopped = False  # the button, as it was heard last
        self._stop_topic = node.resolve_topic_name("~/stop")
        node.listen(Bool, "~/deadman", self._on_deadman, qos.STREAM)
        # Whatever its publisher offers: a button with another quality of service would otherwise never be heard.
        for profile in (qos.LATCHED, qos.COMMAND, qos.SENSOR_IN):
            node.listen(Bool, "~/stop", self._on_stop, profile, asleep=True)
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

    def button(self) -> str:
        """Why a stop must not end yet, and what to do about it; empty if it may."""
        if self._stopped:
            return f"{STOPPED}; release it first"
        buttons = self._node.count_publishers(self._stop_topic)
        together = (
            f"{buttons} publish on {self._stop_topic}, and one's release would be the other's; join them"
        )
        return together if buttons > 1 else ""

    def obstacle(self) -> str:
        """Why the arm must not be armed, and what to do about it; empty if nothing here forbids it."""
        others = self.other_writers()
        return self.button() or (f"{others}; stop them first" if others else "")

    def other_writers(self) -> str:
        """Who else publishes to arm or hand, and where; empty if nobody does. A node of the same name counts, too."""
        own, said = (self._node.get_name(), self._node.get_namespace()), []
        for topic, allowed in self._topics.items():
            found = [(i.node_name, i.node_namespace) for i in self._node.get_publishers_info_by_topic(topic)]
            others = {name for name, space in found if (name, space) != own and name not in allowed}
            if found.count(own) > 1:
                others.add(f"another {own[0]}")
            if others:
                said.append(f"{sorted(others)} also publish on {topic}")
        return "; ".join(said)

    def _on_deadman(self, message: Bool) -> None:
        if self._deadman is not None:
            self._deadman.heard(message.data, time.monotonic())

    def _on_stop(self, message: Bool) -> None:
        """Releasing a button sets nothing in motion (ISO 13850, 4.1.4); a press counts whatever the arm was doing."""
        self._stopped = message.data
        if not message.data:
            self._controller.resume(STOPPED)
        elif self._controller.hold(STOPPED):
            self._controller.fault(WAS_STOPPED)
            self._node.refuse("stop_button", STOPPED)

    def _look_for_writers(self) -> None:
        others = self.other_writers()
        known, self._unknown = UNKNOWN not in others or self._unknown, UNKNOWN in others
        if not known:
            return  # by the next look its name is
        said = f"{others}; stop them" if others else ""
        if said != self._intruders:
            self._controller.resume(self._intruders)
            self._intruders = said
            if said:
                self._controller.hold(said)
                self._node.refuse("other_writers", said)
