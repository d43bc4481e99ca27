"""Leads the arm to poses by action chunks, as the policy does: every limit of the motion stage holds for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from spatial_vla_interfaces.msg import MotionStatus

from ..actions import ActionChunk
from ..calibration import CalibrationError
from ..geometry import SE3, matrix_to_rotvec
from .calibration_capture import NO_INSTRUCTION, CalibrationCapture
from .conversions import chunk_message, stamp_ns

#: Speed of the tool [m/s, rad/s]; what the motion stage allows is more.
SPEED = (0.12, 0.6)
#: A chunk has at most STEPS steps of DT [s] and is sent anew every AGAIN_NS: if nothing more comes, the arm soon rests.
DT, STEPS, AGAIN_NS = 0.2, 5, 400_000_000
#: The tool has arrived when it is this near [m, rad], and stands still.
ARRIVED = (2e-3, 6e-3)
#: Without getting nearer for this long [ns] the pose counts as out of reach.
GIVE_UP_NS = 2_000_000_000
#: Neither open nor close: between the thresholds of the gripper's hysteresis.
AS_IT_IS = 0.5
#: So long an arm that is held gets to be let go, in its own time [ns].
HELD_NS = 15_000_000_000


@dataclass
class ArmLeader:
    """Drives ``motion_node`` through ``node``.

    Raises, in every method:
        CalibrationError: the arm may not move, or somebody else moves it.
    """

    node: CalibrationCapture
    _chunks: int = 0
    _last_ns: int = -1
    _sent_ns: int = -1

    @property
    def now_ns(self) -> int:
        """Stamp of the last word of the motion stage."""
        return self._last_ns

    def wait_until_ready(self) -> SE3:
        """Wait for an arm that is armed and at rest; where the motion stage has its tool (base_from_tool)."""
        began: int | None = None
        while True:
            status = self._status()
            began = self._last_ns if began is None else began
            if status.state == MotionStatus.IDLE and status.at_rest:
                return pose_of(status)
            if self._last_ns - began > HELD_NS:
                raise CalibrationError(
                    f"the arm may not move for {HELD_NS * 1e-9:.0f} s: {status.reason or 'it is not at rest'}"
                )

    def go(self, target: SE3) -> str:
        """Move the tool to ``target`` (base_from_tool) and wait until it rests. Why it stopped short, or nothing."""
        nearest, progress_ns, due_ns = math.inf, 0, 0
        reason, said, given_up = "", False, False
        while True:
            status = self._status()
            move = remaining(pose_of(status), target)
            distance, angle = np.linalg.norm(move[:3]), np.linalg.norm(move[3:])
            reason = status.reason or reason
            near = distance < ARRIVED[0] and angle < ARRIVED[1]
            if near and status.at_rest and status.state == MotionStatus.IDLE:
                return ""
            if near and not said:
                self.stop()  # or the motion stage would take the end of the chunks for a loss
            said = near
            effort = float(max(distance / SPEED[0], angle / SPEED[1]))
            if effort < nearest - 0.02 or not progress_ns:
                nearest, progress_ns = effort, self._last_ns
            elif self._last_ns - progress_ns > GIVE_UP_NS:
                if status.at_rest:
                    short = (
                        f"the arm stopped {1e3 * distance:.0f} mm and {np.degrees(angle):.0f} degrees short"
                    )
                    return f"{short}: {reason}" if reason else short
                if not given_up:
                    self.stop()
                given_up = True
            if not near and not given_up and self._last_ns >= due_ns:
                self._send(move, effort, status.header.frame_id)
                due_ns = self._last_ns + AGAIN_NS

    def stop(self) -> None:
        """Come to rest."""
        self._publish(np.zeros((1, 6)), self.node.value("base_frame"))

    def _send(self, move: np.ndarray, effort: float, frame: str) -> None:
        steps = max(math.ceil(effort / DT), 1)
        self._publish(np.tile(move / steps, (min(steps, STEPS), 1)), frame)

    def _publish(self, deltas: np.ndarray, frame: str) -> None:
        self._chunks += 1
        # Deltas count from where the tool was commanded to be at the stamp; a chunk must be newer than the one before.
        self._sent_ns = max(self._last_ns, self._sent_ns + 1)
        chunk = ActionChunk(
            stamp_ns=self._sent_ns,
            dt=DT,
            frame=frame,
            deltas=deltas,
            gripper=np.full(len(deltas), AS_IT_IS),
            chunk_id=self._chunks,
            instruction_id=NO_INSTRUCTION,
        )
        self.node.chunks.publish(chunk_message(chunk))

    def _status(self) -> MotionStatus:
        status = self.node.next_status(self._last_ns)
        self._last_ns = stamp_ns(status.header.stamp)
        name = self.node.resolve_topic_name("motion_node")
        if status.state == MotionStatus.FAULT:
            raise CalibrationError(
                f"the arm is in a fault ({status.reason}); look at it, call {name}/reset and start again: what "
                "has been captured is kept"
            )
        if status.state == MotionStatus.DISARMED:
            why = f" ({status.reason})" if status.reason else ""
            raise CalibrationError(
                f"the arm is not armed{why}; call {name}/arm with data: true, or move the arm yourself and give "
                "--by-hand"
            )
        if status.header.frame_id != (base := self.node.value("base_frame")):
            raise CalibrationError(
                f"motion_node moves the tool in '{status.header.frame_id}', not in '{base}'; give --base-frame "
                f"{status.header.frame_id}"
            )
        return status


def pose_of(status: MotionStatus) -> SE3:
    """base_from_tool that is commanded."""
    p, q = status.reference.position, status.reference.orientation
    return SE3.from_quaternion((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))


def remaining(pose: SE3, target: SE3) -> np.ndarray:
    """Translation [m] and rotation vector [rad] (6,) along the base's axes that lead from ``pose`` to ``target``."""
    turn = matrix_to_rotvec(target.rotation @ pose.rotation.T)
    return np.concatenate((target.translation - pose.translation, turn))
