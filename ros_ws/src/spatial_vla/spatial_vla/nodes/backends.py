"""The back-ends as the node makes them: what each needs of ROS, and which one is taken."""

from __future__ import annotations

from ..motion import BackendUnavailable, MotionController
from ..motion.backend import MotionBackend
from ..motion.jtc_ik import JtcIkBackend
from ..motion.planning import PlanBackend
from ..motion.selection import Choice, choose_backend
from ..motion.servo import ServoBackend
from .planned_moves import PlannedMoves
from .planner_choice import choose_planner
from .servo_port import ServoNodePort
from .spatial_node import SpatialNode

NAMES = ("auto", "servo", "embedded", "jtc_ik", "plan")


class NodeBackends:
    """Chooses once, while the node is configured: before arming is possible, and never again.

    Attributes:
        topic: what the back-end writes to, where that is not the node's own topic of trajectories.
        moves: planned moves, with the back-end "plan".
    """

    def __init__(self, node: SpatialNode, controller: MotionController) -> None:
        """Raises BackendUnavailable if the one that the parameter ``backend`` names cannot be used."""
        self._node, self._controller = node, controller
        self.topic: str | None = None
        self.moves: PlannedMoves | None = None
        makers = {
            "servo": self._servo,
            "embedded": lambda: None,
            "jtc_ik": self._jtc_ik,
            "plan": self._plan,
        }
        choice: Choice = choose_backend(node.value("backend"), makers)
        if choice.backend is not None:
            controller.use(choice.backend)
        node.get_logger().info(f"back-end {choice.name}: {choice.reason}")

    def written_topics(self, arm: str, hand: str) -> dict[str, tuple[str, ...]]:
        """What ``arm`` and ``hand`` listen to, and who but this node may publish there."""
        watchdog = self._node.value("watchdog")
        if self.topic is None:
            return {arm: (watchdog,), hand: ()}
        servo = self._node.value("servo_node").rpartition("/")[2]  # which passes on what it is told
        return {arm: (watchdog, servo), hand: (), self.topic: ()}

    def _servo(self) -> MotionBackend:
        node, c = self._node, self._controller
        if node.value("dry_run"):
            raise BackendUnavailable(
                "Servo moves the arm itself, so it cannot rehearse; set dry_run to false"
            )
        port = ServoNodePort(node, node.value("servo_node"), node.value("base_frame"))
        node.own(port.close)
        port.start(c.limits)
        self.topic = port.topic
        return ServoBackend(c.model, c.limits, c.period, port, lambda: c.latest_reading)

    def _jtc_ik(self) -> MotionBackend:
        c = self._controller
        return JtcIkBackend(c.model, c.limits, c.period, c)

    def _plan(self) -> None:
        """Slow moves by MoveIt. It does not stream: chunks go through the embedded back-end."""
        from .motion_parameters import model_from

        node, c = self._node, self._controller
        if node.value("dry_run"):
            raise BackendUnavailable(
                "MoveIt moves the arm itself, so it cannot rehearse; set dry_run to false"
            )
        planner = choose_planner(node, c.limits.joints.names)
        node.own(planner.close)
        # A model of its own: planning checks its way-points in another thread than the control loop's.
        backend = PlanBackend(model_from(node.value), c.limits, planner)
        self.moves = PlannedMoves(node, c, backend, tuple(node.value("home")))
