"""What the motion stage says and hears, as messages."""

from __future__ import annotations

from array import array

import numpy as np
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from spatial_vla_interfaces.msg import MotionStatus
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ..motion import ControllerStatus, MotionState, TrajectoryPoint
from .conversions import header, pose_message, stamp_ns
from .refusal import RefusedInput

Array = NDArray[np.float64]

#: How bad it is, for /diagnostics.
LEVELS = {
    MotionState.DISARMED: DiagnosticStatus.WARN,
    MotionState.IDLE: DiagnosticStatus.OK,
    MotionState.RUNNING: DiagnosticStatus.OK,
    MotionState.HOLDING: DiagnosticStatus.WARN,
    MotionState.FAULT: DiagnosticStatus.ERROR,
}


def trajectory_point(time: float, positions: Array, velocities: Array) -> JointTrajectoryPoint:
    """One way-point. Values go in as array('d'): anything else is checked element by element, which is slow."""
    nanoseconds = round(time * 1e9)
    return JointTrajectoryPoint(
        positions=array("d", positions.tolist()),
        velocities=array("d", velocities.tolist()),
        time_from_start=Duration(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000),
    )


def arm_trajectory(joints: tuple[str, ...], points: tuple[TrajectoryPoint, ...]) -> JointTrajectory:
    """Trajectory that starts on receipt: its stamp is left 0, so a late message is followed from its beginning."""
    rows = [trajectory_point(p.time_from_start, p.positions, p.velocities) for p in points]
    return JointTrajectory(joint_names=list(joints), points=rows)


def finger_trajectory(joint: str, position: float, period: float) -> JointTrajectory:
    """One point for one finger [m]; the hand moves there at its own speed."""
    return JointTrajectory(
        joint_names=[joint], points=[trajectory_point(period, np.array([position]), np.zeros(1))]
    )


def motion_status(status: ControllerStatus, base_frame: str, now_ns: int) -> MotionStatus:
    """Status as a message."""
    message = MotionStatus(
        header=header(now_ns, base_frame),
        state=int(status.state),
        reason=status.reason,
        chunk_id=status.chunk_id,
        image_to_command_ms=status.image_to_command_ms,
        tracking_error=status.tracking_error,
        speed=status.speed,
        at_rest=status.at_rest,
        chunks_rejected=status.chunks_rejected,
        chunks_late=status.chunks_late,
        holds=status.holds,
    )
    if status.reference is not None:
        message.reference = pose_message(status.reference)
    return message


class JointStateReader:
    """Picks the arm's joints out of JointState messages, whatever their order and company."""

    def __init__(self, joints: tuple[str, ...]) -> None:
        self._joints = joints
        self._names: list[str] = []
        self._order: list[int] = []
        self._last: tuple[int, Array] | None = None

    def read(self, message: JointState) -> tuple[Array, Array, int] | None:
        """Positions, velocities (n,) and stamp [ns]; None if the message is about other joints.

        A driver that reports no velocities, or such as are no numbers, gets them by differences: None, too, where
        there is nothing yet to take the difference from.

        Raises:
            RefusedInput: if there are not as many positions as names, or one of the arm's is not a number.
        """
        if list(message.name) != self._names:
            names = list(message.name)
            if not set(self._joints) <= set(names):
                return None
            self._names, self._order = names, [names.index(joint) for joint in self._joints]
        if len(message.position) != len(self._names):
            lengths = f"{len(self._names)} names but {len(message.position)} positions"
            raise RefusedInput("joint_state_refused", f"joint state has {lengths}")
        now_ns = stamp_ns(message.header.stamp)
        q = np.asarray(message.position)[self._order]
        if not np.isfinite(q).all():
            joint = self._joints[int(np.argmin(np.isfinite(q)))]
            raise RefusedInput("joint_state_refused", f"joint state has no finite position of {joint}")
        last, self._last = self._last, (now_ns, q)
        if len(message.velocity) == len(self._names):
            dq = np.asarray(message.velocity)[self._order]
            if np.isfinite(dq).all():
                return q, dq, now_ns
        if last is None or now_ns <= last[0]:
            return None
        return q, (q - last[1]) * 1e9 / (now_ns - last[0]), now_ns
