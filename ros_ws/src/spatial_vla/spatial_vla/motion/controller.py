"""The motion stage as one object: chunks and joint states in, joint commands out, no ROS.

Call :meth:`MotionController.step` once per period. All times are int nanoseconds of one clock, simulated or real.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..actions import ActionChunk
from ..description import FINGER_TRAVEL
from .backend import MotionBackend, StreamResult
from .command import JointCommand
from .embedded import EmbeddedBackend
from .gate import ActionGate, Verdict
from .gripper import GripperSwitch
from .horizon import Ahead
from .limits import MotionLimits
from .measurement import JUMPED, MOVING, STALE, ArmMeasurement, JointReading, pose_error
from .reference import ReferenceGenerator
from .release import Release
from .restart import Restart
from .robot_model import RobotModel
from .safety import SafetyFilter
from .settings import MotionSettings
from .status import ControllerStatus
from .supervisor import MotionState, Supervisor
from .tracking import Tracking, TrackingWatch, arrived_at

Array = NDArray[np.float64]

TRACKING = "arm does not follow the reference"
#: What the limits held back of the way to where the last chunk ends is followed for this long [ns]; then the arm stops.
OVERTIME_NS = 150_000_000
#: A back-end that sends by itself does so this many times more before nobody calls it any more.
LAST_WORDS = 5


class MotionController:
    """Gate, reference generator, safety filter, back-end and state machine in one. Not thread-safe."""

    def __init__(
        self,
        model: RobotModel,
        limits: MotionLimits,
        period: float = 0.01,
        settings: MotionSettings | None = None,
        backend: MotionBackend | None = None,
    ) -> None:
        """``backend`` defaults to :class:`EmbeddedBackend`, made when arming shows that the limits are complete."""
        self.limits, self.period = limits, period
        self.settings = settings if settings is not None else MotionSettings()
        self._model, self._backend = model, backend
        self._period_ns = round(period * 1e9)
        self._gate = ActionGate(self.settings.gate)
        self._reference = ReferenceGenerator(limits.cartesian, self.settings.real_time_chunking)
        self._safety = SafetyFilter(limits.cartesian, limits.workspace)
        self._supervisor = Supervisor()
        self._measurement = ArmMeasurement(limits)
        self._gripper = GripperSwitch(FINGER_TRAVEL)
        self._result: StreamResult | None = None  # of the last tick; None until anchored
        self._last_ns = 0
        s = self.settings
        self._tracking = TrackingWatch(s.hold_error, s.fault_after, s.freezes_allowed)
        self._release = Release()
        self._restart = Restart(self._measurement, s.joint_state_timeout)
        self._tracking_error = self._latency_ms = float("nan")
        self._unused_chunk_ns: int | None = None

    # ---- what may come in -------------------------------------------------------------------------------------

    def arm(self, q: ArrayLike, now_ns: int) -> Verdict:
        """Allow motion, starting at rest from measured joint positions ``q`` (n,) [rad].

        Refused while a fault is latched, the arm moves, ``q`` is not where it was last seen, a limit is not known, or
        ``q`` is outside the limits.
        """
        if self._supervisor.state(False) is MotionState.FAULT:
            return Verdict(False, f"fault: {self._supervisor.reason}; reset first")
        if self._supervisor.armed:
            return Verdict(True, "already armed")
        if self._result is not None and not self._result.at_rest:
            return Verdict(False, MOVING)
        q = np.asarray(q, dtype=np.float64)
        if obstacle := self._measurement.obstacle(q, now_ns, self.settings.joint_state_timeout):
            return Verdict(False, obstacle)
        try:
            self._anchor(q, now_ns)
        except ValueError as error:
            return Verdict(False, str(error))
        self._supervisor.arm()
        return Verdict(True)

    def use(self, backend: MotionBackend) -> None:
        """Move by another back-end from the next arming on. Raises RuntimeError unless disarmed and at rest."""
        if self._supervisor.armed or (self._result is not None and not self._result.at_rest):
            raise RuntimeError("the back-end cannot change while the arm is armed or moves; disarm first")
        self._backend, self._result = backend, None

    @property
    def model(self) -> RobotModel:
        """Kinematics of the arm."""
        return self._model

    def disarm(self) -> None:
        """Forbid motion; a moving arm comes to rest first."""
        self._supervisor.disarm()

    def halt(self, now_ns: int) -> JointCommand | None:
        """Disarm: the last command before nobody calls :meth:`step` any more; None if the arm rests by itself."""
        self.disarm()
        command = self._last_word(now_ns, self._last_ns)
        for _ in range(LAST_WORDS if self._backend is not None else 0):
            self._anchored_backend().brake(None)  # what a back-end sends by itself may be lost
        return command

    def begin(self) -> None:
        """Before the first :meth:`step` after a while: what was commanded then says nothing any more."""
        self._result = None
        self._restart.end()
        self._supervisor.resume(self._restart.reason)

    def reset(self) -> None:
        """Clear a latched fault. The controller is disarmed afterwards."""
        self._supervisor.reset()
        self._supervisor.resume(TRACKING)
        self._tracking.forgive()

    def hold(self, reason: str) -> bool:
        """Stop because of ``reason`` until :meth:`resume` is called with the same one. True if that is news."""
        return self._supervisor.hold(reason)

    def resume(self, reason: str) -> None:
        """The cause ``reason`` has cleared."""
        self._supervisor.resume(reason)

    def fault(self, reason: str) -> None:
        """Stop until :meth:`reset`, armed or not."""
        self._supervisor.fault(reason)

    def expect_new_sender(self) -> None:
        """Chunk ids may start anew: their sender may be another process now."""
        self._gate.forget()

    def on_chunk(self, chunk: ActionChunk, now_ns: int) -> Verdict:
        """Follow ``chunk`` from the next step on, if it is acceptable and the arm may move."""
        if not self._supervisor.may_follow:
            state, reason = self._supervisor.state(False).name, self._supervisor.reason
            return self._gate.refuse(f"{state}: {reason}" if reason else state)
        verdict, chunk = self._gate.check(chunk, now_ns)
        if verdict.accepted:
            self._reference.accept(chunk, now_ns)
            self._unused_chunk_ns = chunk.stamp_ns
        return verdict

    def on_joint_state(self, q: ArrayLike, dq: ArrayLike, stamp_ns: int) -> None:
        """Measured positions and velocities (n,) [rad, rad/s]. A jump in time or position starts anew, at rest."""
        jump = self._measurement.take(q, dq, stamp_ns)
        if jump:
            self._start_anew(stamp_ns, jump)

    @property
    def obstacle(self) -> str:
        """Why the arm must not move, armed or not; empty if nothing is in the way."""
        return self._supervisor.obstacle

    @property
    def latest_reading(self) -> JointReading | None:
        """The newest joint state, None before the first."""
        return self._measurement.latest

    @property
    def chunks_followed(self) -> int:
        """Number of chunks accepted so far; see :class:`.horizon.Horizon`."""
        return self._gate.counts["accepted"]

    def ahead(self) -> Ahead:
        """What will follow the set-point of this tick if no other chunk comes."""
        start_ns = self._last_ns + 2 * self._period_ns
        return Ahead(self._reference, self._safety, start_ns, self._period_ns)

    # ---- one tick ---------------------------------------------------------------------------------------------

    def step(self, now_ns: int) -> JointCommand | None:
        """The command for now; None when there is none to send (disarmed or faulted, and at rest)."""
        before, last_ns = self._result, self._last_ns
        try:
            return self._step(now_ns)
        except Exception as error:  # whatever it was, the arm stops and a person looks
            self._fault_of(error)
            if self._result is before:  # else the back-end has had this tick, and what it gave ends at rest
                return self._last_word(now_ns, last_ns)
            return self._command(now_ns)

    def _last_word(self, now_ns: int, last_ns: int) -> JointCommand | None:
        """What brings the arm to rest, whether or not it is known how far it has come with what it was told."""
        if self._result is None or self._backend is None or self._result.at_rest:
            return None
        passed = (now_ns - last_ns) * 1e-9
        if not self._restart.doubts(passed, self.settings.late_tick):
            self._result = self._backend.stop(passed)
            return self._command(now_ns)
        fresh = abs(self._measurement.age(now_ns)) <= self.settings.joint_state_timeout
        latest = self._measurement.latest if fresh else None
        points = self._backend.brake(self._restart.found if self._restart.under_way else latest)
        return JointCommand(now_ns, points) if points else None

    def _command(self, now_ns: int) -> JointCommand | None:
        result = self._result
        return None if result is None else JointCommand(now_ns, result.points, fresh=result.fresh)

    def _fault_of(self, error: Exception) -> None:
        self._supervisor.fault(f"internal error: {type(error).__name__}: {error}")

    def _step(self, now_ns: int) -> JointCommand | None:
        passed_ns, self._last_ns = now_ns - self._last_ns, now_ns
        if passed_ns < 0:
            self._measurement.forget()
            self._start_anew(now_ns, f"time jumped back by {-passed_ns * 1e-9:.3f} s")
        passed = passed_ns * 1e-9
        if passed > self.settings.late_tick and self._result is not None and not self._result.at_rest:
            # Whether the arm has been stopping by itself or the clock was set: only the measurement tells.
            self._start_anew(now_ns, f"control loop was {passed:.3f} s late")
        if self._result is None or passed_ns == 0:
            return None
        if self._restart.under_way:
            return self._starting_anew(now_ns)
        if self._supervisor.armed:
            self._watch(now_ns)
        following = self._supervisor.may_follow
        if following:
            self._follow(now_ns, passed)
        else:
            self._come_to_rest(now_ns, passed)
        if self._silent():
            return None
        gripper = self._gripper_event(now_ns) if following else None
        return JointCommand(now_ns, self._result.points, gripper, self._result.fresh)

    def _follow(self, now_ns: int, passed: float) -> None:
        """Move with the reference, or stay at rest when there is none."""
        target_ns = now_ns + self._period_ns
        overtime = target_ns - self._reference.end_ns
        if overtime > OVERTIME_NS or (overtime >= 0 and self._result is not None and self._result.creeps):
            self._come_to_rest(now_ns, passed)
            return
        try:
            self._release.begin_anew()
            setpoint = self._safety.step(self._reference.sample(target_ns), passed)
            backend = self._anchored_backend()
            # Once there, the elbow stops, too, wherever it would rather be.
            arrived = self._result is not None and arrived_at(setpoint, self._result.reached)
            self._result = backend.stop(passed) if arrived else backend.stream(setpoint, passed)
        except Exception as error:  # here it is known how to come to rest without a step
            self._fault_of(error)
            self._come_to_rest(now_ns, passed)
            return
        # Chunks are tied to where the joints were commanded to be: what a limit held back is not made up for later.
        self._reference.record(target_ns, self._result.reached)
        self._safety.hold_back(self._result.reached.pose)
        if self._unused_chunk_ns is not None:
            self._latency_ms = (now_ns - self._unused_chunk_ns) * 1e-6
            self._unused_chunk_ns = None

    def _come_to_rest(self, now_ns: int, passed: float) -> None:
        """Take the stop ramp, and carry the reference along so that motion can start again from there."""
        self._result = self._let_go(now_ns, passed) or self._anchored_backend().stop(passed)
        self._reference.stop()
        self._unused_chunk_ns = None
        self._reference.record(now_ns + self._period_ns, self._result.reached)
        self._safety.anchor(self._result.reached)
        if self._result.at_rest:
            self._supervisor.settled()

    def _let_go(self, now_ns: int, passed: float) -> StreamResult | None:
        """After a stop: bring the command to where the arm is, so that it does not press; None if it does not."""
        supervisor, result = self._supervisor, self._result
        if result is None or supervisor.may_follow:
            return None
        fresh = abs(self._measurement.age(now_ns)) <= self.settings.joint_state_timeout
        forbidden = not supervisor.armed or supervisor.state(False) is MotionState.FAULT
        reading = self._measurement.latest if fresh else None
        target = self._release.target(result, reading, passed, forbidden, supervisor.stops)
        if target is None:
            return None
        going = self._anchored_backend().let_go(target, passed)
        if going.at_rest:
            self._release.end()
        return going

    def _silent(self) -> bool:
        """True if there is nothing to send: disarmed or faulted, and at rest."""
        allowed = self._supervisor.armed and self._supervisor.state(False) is not MotionState.FAULT
        return not allowed and self._result is not None and self._result.at_rest

    def _gripper_event(self, now_ns: int) -> float | None:
        opening = self._reference.gripper(now_ns)
        return None if opening is None else self._gripper.update(opening, now_ns)

    # ---- watching ---------------------------------------------------------------------------------------------

    def _watch(self, now_ns: int) -> None:
        """Hold while a condition of motion is not met, and let go when it is again."""
        fresh = abs(self._measurement.age(now_ns)) <= self.settings.joint_state_timeout
        self._supervisor.hold_while(STALE, not fresh)
        latest = self._measurement.latest
        if latest is not None and fresh:
            commanded = self._reference.commanded(latest.stamp_ns).pose
            self._tracking_error, angle = pose_error(commanded, self._model.forward(latest.q))
            self._watch_tracking(self._tracking_error, angle, now_ns)

    def _watch_tracking(self, distance: float, angle: float, now_ns: int) -> None:
        """Freeze when the arm is too far from the reference, fault if that lasts, go on when it has come half-way."""
        verdict = self._tracking.judge(distance, angle, now_ns)
        if verdict is Tracking.FAULT:
            self._supervisor.fault(f"{TRACKING}: {distance:.3f} m, {angle:.2f} rad")
        elif verdict is Tracking.LOST and self._supervisor.hold(TRACKING):
            self._release.begin_anew()
        elif verdict is Tracking.FOLLOWS:
            self._supervisor.resume(TRACKING)

    # ---- starting -----------------------------------------------------------------------------------------------

    def _anchor(self, q: Array, now_ns: int) -> None:
        """Everything starts at rest from ``q``.

        Raises:
            ValueError: if the limits are incomplete or ``q`` is outside them.
        """
        if self._backend is None:
            self._backend = EmbeddedBackend(self._model, self.limits, self.period)
        self._backend.anchor(q)
        self._result = self._backend.stop(0.0)
        self._reference.anchor(self._result.reached.pose, now_ns)
        self._safety.anchor(self._result.reached)
        self._gate.forget()
        self._gripper.reset()
        self._last_ns = now_ns - self._period_ns  # a step at this very time sends the first command
        self._restart.end()
        self._tracking.forget()
        self._release.begin_anew()
        for cause in (self._restart.reason, TRACKING):
            self._supervisor.resume(cause)

    def _anchored_backend(self) -> MotionBackend:
        if self._backend is None:
            raise RuntimeError("arm the controller first: it has no joint positions to start from")
        return self._backend

    def _start_anew(self, now_ns: int, reason: str) -> None:
        """The world changed under the arm: it is stopped, and starts from the measurement once that is at rest."""
        if self._supervisor.armed and reason == JUMPED and not self.settings.teleports:
            self._supervisor.fault(f"{reason}, as no arm can: the command does not follow them")
            self._release.end()
        elif self._supervisor.armed or (self._result is not None and not self._result.at_rest):
            self._supervisor.resume(self._restart.reason)
            self._restart.begin(now_ns, reason)
            self._supervisor.hold(self._restart.reason)
        else:
            self._result = None

    def _starting_anew(self, now_ns: int) -> JointCommand | None:
        """After :meth:`_start_anew`: stops what outlasts a tick, and anchors when a steady measurement has come."""
        points = self._anchored_backend().brake(self._restart.found)
        if points:
            return JointCommand(now_ns, points)
        if (steady := self._restart.steady(now_ns)) is not None:
            try:
                self._anchor(steady.q, now_ns)
                self._supervisor.settled()
            except ValueError as error:
                self._restart.end()
                self._result = None
                if self._supervisor.armed:
                    self._supervisor.fault(str(error))
                self._supervisor.resume(self._restart.reason)
        return None

    def status(self) -> ControllerStatus:
        """A snapshot for people and supervisors."""
        counts, result = self._gate.counts, self._result
        at_rest = result is None or result.creeps
        chunk = self._reference.chunk if self._reference.active(self._last_ns) else None
        limited = f"limited by {result.limited_by}" if result is not None and result.limited_by else ""
        return ControllerStatus(
            state=self._supervisor.state(following=chunk is not None or not at_rest),
            reason=self._supervisor.reason or limited,
            chunk_id=0 if chunk is None else chunk.chunk_id,
            image_to_command_ms=self._latency_ms,
            reference=None if result is None else result.reached.pose,
            tracking_error=self._tracking_error,
            speed=0.0 if result is None else float(np.linalg.norm(result.reached.twist[:3])),
            at_rest=at_rest,
            chunks_accepted=counts["accepted"],
            chunks_rejected=counts["rejected"],
            chunks_late=counts["late"],
            chunks_clamped=counts["clamped"],
            holds=self._supervisor.holds,
        )
