"""MoveIt Servo as a back-end: twists at the controller's rate, through a port that knows the messages.

Servo integrates what it is told, so a twist alone drifts. Each tick sends the reference's own twist plus what closes
the distance between reference and measurement. Servo's output does not pass through here; so each twist is translated
into joint velocities first, and is sent only if stopping from them keeps every limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from .backend import Capabilities, StreamResult
from .command import TrajectoryPoint
from .guard import OutputGuard
from .history import Setpoint
from .limits import MotionLimits
from .measurement import JointReading
from .robot_model import RobotModel
from .safety import shortened
from .stop_ramp import JointMotion, StopPlanner

Array = NDArray[np.float64]

#: How fast a distance from the reference is closed [1/s].
GAIN = 3.0
#: Zero twists that are sent for a stop before Servo is paused: a single one may be lost.
ZEROS = 3
#: Servo says how it is every cycle; older than this [s] it is taken for dead.
STATUS_TIMEOUT = 0.2
#: A state that keeps Servo from moving counts once it has lasted this long [s].
PATIENCE = 0.2
#: A tool that is too fast is slowed down by this power of its excess.
INSISTENCE = 4
#: Damping of the inverse of the Jacobian, in its units.
DAMPING = 0.002

#: ServoStatus.code -> what it means, for codes with which the arm does not move on.
HALTED = {
    -1: "Servo refuses the command (frame, NaN or inverse kinematics)",
    2: "Servo halts at a singularity",
    5: "Servo halts before a collision",
    6: "Servo is at a joint limit",
}


class ServoPort(Protocol):
    """What is needed of a running Servo node. No call blocks."""

    def send(self, twist: Array) -> None:
        """Publish a twist (6,) of the tool centre point [m/s, rad/s], base axes, stamped with the time of now."""
        ...

    def pause(self, paused: bool) -> None:
        """Ask Servo to pause or to go on."""
        ...

    def status(self) -> tuple[int, float]:
        """Newest ServoStatus code and its age [s]; the age is infinite before the first."""
        ...


class ServoBackend:
    """Twists to MoveIt Servo; see :class:`~spatial_vla.motion.backend.MotionBackend`."""

    def __init__(
        self,
        model: RobotModel,
        limits: MotionLimits,
        period: float,
        port: ServoPort,
        measured: Callable[[], JointReading | None],
    ) -> None:
        """``measured`` gives the newest joint state; the controller watches over its age."""
        limits.require_complete()
        self._model, self._limits, self._period = model, limits, period
        self._port, self._measured = port, measured
        self._planner, self._guard = StopPlanner(limits), OutputGuard(limits, model)
        self._anchored = False
        self._zeros = ZEROS
        self._paused = False
        self._halted, self._halted_for, self._following_for = "", 0.0, 0.0
        self._resting = Setpoint(model.forward(np.zeros(len(model.joints))), np.zeros(6))

    @property
    def capabilities(self) -> Capabilities:
        """Servo checks for collisions by MoveIt's scene, and we for those of the robot with itself."""
        return Capabilities("servo", joint_output=False, collision_checking=True)

    def anchor(self, q: Array) -> None:
        """Start at rest from ``q`` (n,) [rad]. Raises ValueError if it is outside the limits."""
        start = JointMotion.at_rest(self._limits.commandable(np.asarray(q, dtype=np.float64)))
        violation = self._guard.violation(start, self._planner.plan(start))
        if violation:
            raise ValueError(
                f"the arm cannot start from {np.round(start.q, 4).tolist()}: {violation}. Move it inside first"
            )
        self._anchored, self._halted, self._halted_for = True, "", 0.0
        self._resting = Setpoint.at_rest(self._model.forward(start.q))

    def stream(self, reference: Setpoint, elapsed: float) -> StreamResult:
        """Send the twist that follows ``reference``; on a limit, or if Servo does not move, stop and say why."""
        reading = self._reading()
        if not reference.finite:
            return self._stopping(reading, "reference is not finite")
        self._halted = self._halted or self._obstacle(elapsed)
        twist = self._twist(reference, reading)
        obstacle = self._halted or self._violation(reading, twist)
        if obstacle:
            return self._stopping(reading, obstacle)
        if self._paused:
            self._port.pause(False)
            self._paused, self._following_for = False, 0.0
        self._port.send(twist)
        self._zeros = 0
        return StreamResult((), reference, at_rest=False)

    def stop(self, elapsed: float) -> StreamResult:
        """Send zero twists, then pause Servo; after that, nothing. What kept Servo from moving is then forgotten."""
        self._halted, self._halted_for = "", 0.0
        return self._stopping(self._reading(), "")

    def let_go(self, q: Array, elapsed: float) -> StreamResult:
        """Stop: there is no commanded position here. Servo starts from the measured state when it goes on."""
        return self.stop(elapsed)

    def brake(self, found: JointReading | None) -> tuple[TrajectoryPoint, ...]:
        """Zero twists, and a pause. Silence would not do: once the clock was set back, the last twist stays fresh."""
        self._send_rest()
        return ()

    def _reading(self) -> JointReading:
        reading = self._measured() if self._anchored else None
        if reading is None:
            raise RuntimeError("the back-end has no joint positions to start from; anchor it first")
        return reading

    def _obstacle(self, elapsed: float) -> str:
        """Why Servo would not move; empty if it would."""
        code, age = self._port.status()
        if self._paused:
            return ""  # a Servo that is paused says nothing
        self._following_for += elapsed
        if age > STATUS_TIMEOUT:
            # Its last word may be from before the pause.
            silent = self._following_for > STATUS_TIMEOUT
            return f"Servo has been silent for {age:.2f} s" if silent else ""
        if code not in HALTED:
            self._halted_for = 0.0
            return ""
        self._halted_for += elapsed
        return HALTED[code] if self._halted_for > PATIENCE else ""

    def _twist(self, reference: Setpoint, reading: JointReading) -> Array:
        """What follows ``reference``, slower by as much as Servo's smoothing has made the tool too fast."""
        pose, present = self._model.motion(reading.q, reading.dq)
        linear = reference.twist[:3] + GAIN * (reference.pose.translation - pose.translation)
        angular = reference.twist[3:] + GAIN * pin.log3(reference.pose.rotation @ pose.rotation.T)
        limits = self._limits.cartesian
        twist = np.concatenate((shortened(linear, limits.speed), shortened(angular, limits.angular_speed)))
        return twist / max(limits.excess(present), 1.0) ** INSISTENCE

    def _violation(self, reading: JointReading, twist: Array) -> str:
        """The limit that moving with ``twist`` and then stopping would break; empty when none."""
        jacobian = self._model.jacobian(reading.q)
        damped = jacobian @ jacobian.T + DAMPING**2 * np.eye(6)
        dq = jacobian.T @ np.linalg.solve(damped, twist)
        moving = JointMotion(self._limits.commandable(reading.q) + self._period * dq, dq, np.zeros_like(dq))
        return self._guard.violation(moving, self._planner.plan(moving))

    def _send_rest(self) -> None:
        """One of a few zero twists, then one pause, then nothing."""
        if self._zeros < ZEROS:
            self._port.send(np.zeros(6))
            self._zeros += 1
        elif not self._paused:
            self._port.pause(True)
            self._paused = True

    def _stopping(self, reading: JointReading, reason: str) -> StreamResult:
        self._send_rest()
        at_rest = reading.at_rest and self._zeros >= ZEROS
        if not (self._paused and reading.at_rest):
            self._resting = Setpoint.at_rest(self._model.forward(reading.q))
        return StreamResult((), self._resting, at_rest, reason)
