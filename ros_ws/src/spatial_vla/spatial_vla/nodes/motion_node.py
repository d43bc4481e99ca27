"""Action chunks to joint trajectories at 100 Hz, each of which ends at rest; stops the arm when anything is amiss."""

from __future__ import annotations

import time
from typing import ClassVar

from rclpy.duration import Duration
from sensor_msgs.msg import JointState
from spatial_vla_interfaces.msg import ActionChunk, MotionStatus
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from ..motion import ControllerStatus, JointCommand, MotionState, Verdict
from ..motion.rehearsal import Rehearsal
from ..motion.tally import MotionTally
from ..realtime import come_first
from . import qos
from .backends import NodeBackends
from .conversions import chunk_from_message
from .liveliness import LivelinessWatch
from .motion_messages import LEVELS, JointStateReader, arm_trajectory, finger_trajectory, motion_status
from .motion_parameters import PARAMETERS, controller_from
from .operator_inputs import OperatorInputs
from .run import main_of
from .spatial_node import SpatialNode

STATUS_PERIOD_NS = 50_000_000
LAST_WORD = Duration(seconds=0.2)


class MotionNode(SpatialNode):
    """The ROS side of :class:`~spatial_vla.motion.MotionController`."""

    default_name = "motion_node"
    parameters: ClassVar = PARAMETERS

    def setup(self) -> None:
        """Build the controller and connect it."""
        self._controller = controller_from(self.value)
        self._backends = NodeBackends(self, self._controller)
        self._joints = self._controller.limits.joints.names
        self._reader = JointStateReader(self._joints)
        self._wants_arming = False
        self._said: tuple[MotionState, str] | None = None
        self._refusal = ""
        self._wants_motion = False
        self._status_ns, self._at_rest = 0, True
        self._tally = MotionTally()
        self._imagined = Rehearsal() if self.value("dry_run") else None
        dry = self._imagined is not None
        arm, hand = (
            ("~/dry_run/arm", "~/dry_run/hand")
            if dry
            else (self.value("arm_topic"), self.value("hand_topic"))
        )
        self._arm = self.publish_on(JointTrajectory, arm, qos.COMMAND)
        self._hand = self.publish_on(JointTrajectory, hand, qos.COMMAND)
        self._status = self.publish_on(MotionStatus, "motion_status", qos.STREAM)
        self.listen(ActionChunk, "action_chunk", self._on_chunk, qos.STREAM)
        self.listen(JointState, "joint_states", self._on_joint_state, qos.SENSOR_IN)
        for service in (
            self.create_service(SetBool, "~/arm", self._on_arm),
            self.create_service(Trigger, "~/reset", self._on_reset),
        ):
            self.own(lambda service=service: self.destroy_service(service))
        self.when_time_jumps_back(self._tick)
        self._watch_nodes()
        written = self._backends.written_topics(self._arm.topic_name, self._hand.topic_name)
        self._operator = OperatorInputs(self, self._controller, written)
        self.get_logger().info(f"motion limits {self._controller.limits.fingerprint()[:12]}")
        first = come_first(self.value("realtime_priority"), self.get_logger().info)
        self.diagnostics.readings["realtime"] = float(first)

    def start(self) -> None:
        """Begin to tick, in the node's time: under simulated time the arm stands still when that does."""
        self._controller.begin()
        self._wants_arming = self.value("arm_on_start")
        self._timer = self.create_timer(self._controller.period, self._tick)

    def stop(self) -> None:
        """Disarm, with a last command that brings the arm to rest."""
        self._wants_arming = False
        now_ns, self._said = self.now_ns(), None  # so that the last word is not held back
        if self._backends.moves is not None:
            self._backends.moves.stop()
        self._send(self._controller.halt(now_ns))
        self._report(self._controller.status(), now_ns)
        self._arm.wait_for_all_acked(LAST_WORD)  # the publisher may be gone in a moment
        self.destroy_timer(self._timer)

    def _watch_nodes(self) -> None:
        """Hold until every watched node has been seen, and whenever one of these or of the others is lost."""
        needed = [name for name in self.value("watched_nodes") if name]
        others = [name for name in self.value("watched_once_seen") if name]
        self._causes = {name: f"waiting for {name}" for name in (*needed, *others)}
        for name in needed:
            self._controller.hold(self._causes[name])
        self.own(LivelinessWatch(self, self._causes, self._on_liveliness).close)

    def _on_liveliness(self, name: str, alive: bool) -> None:
        if alive:
            self._controller.resume(self._causes[name])
            self._controller.expect_new_sender()
            self.get_logger().info(f"{name} is alive")
            return
        self._causes[name] = f"{name} died"
        self._controller.hold(self._causes[name])
        self.refuse("lost_nodes", f"{name} died: the arm stops")
        if self.active:
            self._tick()

    def _on_chunk(self, message: ActionChunk) -> None:
        verdict = self._controller.on_chunk(chunk_from_message(message), self.now_ns())
        self._tally.note_chunk(verdict)
        if not verdict:
            self.refuse("chunks_refused", verdict.reason)
        else:
            self._wants_motion = any(message.deltas)

    def _on_joint_state(self, message: JointState) -> None:
        reading = self._reader.read(message)
        if reading is not None and self._imagined is not None:
            reading = self._imagined.instead_of(reading)
        if reading is not None:
            self._controller.on_joint_state(*reading)

    def _tick(self) -> None:
        now_ns, began = self.now_ns(), time.perf_counter()
        self._operator.update()
        command, status = self._controller.step(now_ns), self._controller.status()
        self._tally.note(status)
        self._report(status, now_ns)  # first: who watches over this process must know that the arm sets out
        self._send(command)
        self.diagnostics.measure("tick_ms", 1e3 * (time.perf_counter() - began))
        if self._wants_arming and status.state is MotionState.DISARMED:
            self._try_to_arm(now_ns)

    def _send(self, command: JointCommand | None) -> None:
        if self._imagined is not None:
            self._imagined.follow(command)
        if command is not None and command.points and command.fresh:  # else it was, or is, sent otherwise
            self._arm.publish(arm_trajectory(self._joints, command.points))
        if command is not None and command.gripper is not None:
            joint, period = self.value("finger_joint"), self._controller.period
            self._hand.publish(finger_trajectory(joint, command.gripper, period))

    def _report(self, status: ControllerStatus, now_ns: int) -> None:
        """Publish the status at 20 Hz and when it changes."""
        changed = (status.state, status.reason) != self._said
        news, self._at_rest = changed or self._at_rest != status.at_rest, status.at_rest
        if not news and 0 <= now_ns - self._status_ns < STATUS_PERIOD_NS:
            return
        self._status_ns = now_ns
        self._status.publish(motion_status(status, self.value("base_frame"), now_ns))
        for name in ("chunks_accepted", "chunks_late", "chunks_clamped", "holds"):
            self.counters[name] = getattr(status, name)
        dict.update(self.counters, self._tally.counts)  # Counter's own update would add
        readings = {
            "image_to_command_ms": status.image_to_command_ms,
            "tracking_error_mm": 1e3 * status.tracking_error,
        }
        self.diagnostics.readings.update(readings)
        if changed:
            self._look_for_starvation(status)
            self.counters["faults"] += status.state is MotionState.FAULT
            self._said = status.state, status.reason
            sentence = f"{status.state.name}: {status.reason}" if status.reason else status.state.name
            sentence += " (dry run: the arm is only imagined)" if self._imagined is not None else ""
            self.diagnostics.set(LEVELS[status.state], sentence)
            self.get_logger().info(sentence)

    def _look_for_starvation(self, status: ControllerStatus) -> None:
        """The arm came to rest, and not because the policy wanted it to."""
        was_running = self._said is not None and self._said[0] is MotionState.RUNNING
        if was_running and status.state is MotionState.IDLE and self._wants_motion:
            self.refuse("starved", "no chunk came before the steps of the last were used up: the arm stopped")

    def _try_to_arm(self, now_ns: int) -> Verdict:
        verdict = self._arming(now_ns)
        if not verdict and verdict.reason != self._refusal:
            self.get_logger().warning(f"not armed: {verdict.reason}")
        self._refusal = verdict.reason
        return verdict

    def _arming(self, now_ns: int) -> Verdict:
        reading = self._controller.latest_reading
        if reading is None:
            return Verdict(False, "no joint state received yet on 'joint_states'")
        if obstacle := self._operator.obstacle():
            return Verdict(False, obstacle)
        if self._backends.moves is not None and self._backends.moves.under_way:
            return Verdict(False, "a planned move is under way")
        return self._controller.arm(reading.q, now_ns)

    def _on_arm(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if request.data:
            verdict = self._try_to_arm(self.now_ns()) if self.active else Verdict(False, "node is not active")
            response.success, response.message = verdict.accepted, verdict.reason
        else:
            self._wants_arming = False
            self._controller.disarm()
            response.success = True
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.message = self._operator.button()
        response.success = not response.message
        if response.success:
            self._controller.reset()
            self._wants_arming = self.value("arm_on_start")
            response.message = "" if self._wants_arming else "disarmed; call ~/arm to go on"
        return response


def main() -> None:
    """Entry point."""
    main_of(MotionNode)
