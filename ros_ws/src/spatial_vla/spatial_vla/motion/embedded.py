"""The back-end that needs nothing but this package: differential inverse kinematics and jerk-limited joints.

Each tick Pink solves a quadratic program for joint velocities that bring the tool centre point to where the reference
will be a short look-ahead later; each joint then follows its velocity under bounded acceleration and jerk. The result
is sent only if :class:`OutputGuard` finds that stopping from it keeps every limit; else the arm takes its stop ramp.
"""

from __future__ import annotations

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray
from pink import Configuration, PinkError, solve_ik
from pink.limits import ConfigurationLimit, VelocityLimit
from pink.tasks import FrameTask, PostureTask

from ..geometry import SE3
from .backend import Capabilities, StreamResult
from .command import GuardedMotion, TrajectoryPoint
from .guard import OutputGuard
from .history import Setpoint
from .limits import MotionLimits
from .measurement import JointReading
from .robot_model import RobotModel
from .safety import shortened
from .singularity import SingularityBarrier
from .stop_ramp import JointMotion, StopPlanner

Array = NDArray[np.float64]

#: The joint velocities asked for close the pose error in this time [s].
LOOK_AHEAD = 0.06
#: Time constant with which a joint takes on its velocity [s].
VELOCITY_TIME = 0.02
#: The solver steers clear of limits that the guard enforces: distance from stops [rad] and share of the speed.
SOFT_MARGIN, SOFT_SPEED = 0.02, 0.95
#: A tool that is too fast is slowed down by this power of its excess: near singularities the joints' lag adds to it.
INSISTENCE = 4
#: Letting go: joint speed at most [rad/s], share of the way closed per second [1/s], and how near is there [rad].
RELEASE_SPEED, RELEASE_GAIN, RELEASED = 0.4, 8.0, 2e-3


class EmbeddedBackend:
    """Pink in this process; see :class:`~spatial_vla.motion.backend.MotionBackend`."""

    def __init__(self, model: RobotModel, limits: MotionLimits, period: float) -> None:
        limits.require_complete()
        self._model, self._limits, self._period = model, limits, period
        self._acceleration, self._jerk = limits.acceleration, limits.jerk
        self._planner, self._guard = StopPlanner(limits), OutputGuard(limits, model)
        soft = model.model.copy()
        soft.lowerPositionLimit = limits.lower + SOFT_MARGIN
        soft.upperPositionLimit = limits.upper - SOFT_MARGIN
        soft.velocityLimit = SOFT_SPEED * limits.velocity
        self._soft, self._data = soft, soft.createData()
        # A gain of 0.3 per look-ahead approaches a stop at a speed from which the arm can still brake.
        self._ik_limits = (ConfigurationLimit(soft, config_limit_gain=0.3), VelocityLimit(soft))
        self._frame_task = FrameTask(
            model.tcp_frame, position_cost=1.0, orientation_cost=0.3, lm_damping=1e-3
        )
        self._posture_task = PostureTask(cost=1e-3, gain=0.03)
        self._barrier = SingularityBarrier(model, limits.singularity) if limits.singularity > 0.0 else None
        self._motion: GuardedMotion | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Joint output; workspace boxes and collisions of the robot with itself are checked, others are not."""
        return Capabilities("embedded", joint_output=True, collision_checking=self._guard.checks_collisions)

    def anchor(self, q: Array) -> None:
        """Start at rest from ``q`` (n,) [rad]; its elbow posture is the one to keep.

        Raises:
            ValueError: if ``q`` is outside the joint limits or the workspace.
        """
        q = self._limits.commandable(np.asarray(q, dtype=np.float64))
        start = JointMotion.at_rest(q)
        ramp = self._planner.plan(start)
        violation = self._guard.violation(start, ramp)
        if violation:
            raise ValueError(
                f"the arm cannot start from {np.round(q, 4).tolist()}: {violation}. Move it inside first"
            )
        self._posture_task.set_target(q)
        self._motion = GuardedMotion(start, np.zeros_like(q), 0.0, ramp)

    def stream(self, reference: Setpoint, elapsed: float) -> StreamResult:
        """Follow ``reference``; on a limit, or without a solution, slow down instead and say why."""
        if not reference.finite:
            return self._stopping(elapsed, "reference is not finite")
        now = self._moving().at(elapsed)
        try:
            velocity = self._joint_velocity(now.q, reference)
        except PinkError as error:
            return self._stopping(elapsed, f"inverse kinematics: {type(error).__name__}")
        return self._moved(velocity, now, elapsed)

    def let_go(self, q: Array, elapsed: float) -> StreamResult:
        """Go straight to ``q`` (n,) [rad] in joint space, slowly; stop at once when the guard objects."""
        now = self._moving().at(elapsed)
        way = np.clip(q, self._limits.lower, self._limits.upper) - now.q
        farthest = float(np.max(np.abs(way)))
        if farthest < RELEASED:
            return self._stopping(elapsed, "")
        return self._moved(way * min(RELEASE_GAIN, RELEASE_SPEED / farthest), now, elapsed)

    def _moved(self, velocity: Array, now: JointMotion, elapsed: float) -> StreamResult:
        """One period towards ``velocity`` (n,), or the stop ramp if the guard objects to that."""
        jerk = self._jerk_towards(self._slowed(velocity, now), now)
        following = now.after(self._period, jerk)
        ramp = self._planner.plan(following)
        violation = self._guard.violation(following, ramp)
        if violation:
            return self._stopping(elapsed, violation)
        self._motion = GuardedMotion(now, jerk, self._period, ramp)
        return self._result(self._motion)

    def _slowed(self, velocity: Array, now: JointMotion) -> Array:
        """All joints alike slower, until the tool is not too fast; the more, the more it is too fast already."""
        limits, jacobian = self._limits.cartesian, self._model.jacobian(now.q)
        asked, present = limits.excess(jacobian @ velocity), limits.excess(jacobian @ now.dq)
        return velocity / (max(asked, 1.0) * max(present, 1.0) ** INSISTENCE)

    def stop(self, elapsed: float) -> StreamResult:
        """Follow the stop ramp of the last command."""
        return self._stopping(elapsed, "")

    def brake(self, found: JointReading | None) -> tuple[TrajectoryPoint, ...]:
        """Nothing: every command ends on its stop ramp."""
        return ()

    @property
    def motion(self) -> GuardedMotion:
        """What was commanded last, seen from the last tick. Raises RuntimeError before :meth:`anchor`."""
        return self._moving()

    def resume(self, motion: GuardedMotion) -> None:
        """Go on from a motion that :attr:`motion` gave before."""
        self._motion = motion

    def _stopping(self, elapsed: float, reason: str) -> StreamResult:
        self._motion = self._moving().advanced(elapsed)
        return self._result(self._motion, reason)

    def _moving(self) -> GuardedMotion:
        if self._motion is None:
            raise RuntimeError("the back-end has no joint positions to start from; anchor it first")
        return self._motion

    def _result(self, motion: GuardedMotion, reason: str = "") -> StreamResult:
        first = motion.at(self._period)
        reached = Setpoint(*self._model.motion(first.q, first.dq))
        return StreamResult(motion.points(self._period), reached, motion.at_rest, reason)

    def _joint_velocity(self, q: Array, reference: Setpoint) -> Array:
        """Joint velocities (n,) that meet the reference one look-ahead from now as well as the limits allow."""
        inside = np.clip(q, self._soft.lowerPositionLimit, self._soft.upperPositionLimit)
        configuration = Configuration(self._soft, self._data, inside, copy_data=False)
        self._frame_task.set_target(self._target(configuration, reference))
        velocity = solve_ik(
            configuration,
            (self._frame_task, self._posture_task),
            LOOK_AHEAD,
            solver="daqp",
            damping=1e-5,
            limits=self._ik_limits,
            barriers=[self._barrier] if self._barrier is not None and self._barrier.near(inside) else [],
        )
        if self._limits.velocity_by_position is None:
            return velocity
        # What is allowed where the joint will be by the time it has taken on that velocity.
        slowest, fastest = self._limits.velocity_at(q + LOOK_AHEAD * velocity)
        return np.clip(velocity, SOFT_SPEED * slowest, SOFT_SPEED * fastest)

    def _target(self, configuration: Configuration, reference: Setpoint) -> pin.SE3:
        """Root frame pose to reach in one look-ahead: the extrapolated reference, no farther than the speed allows."""
        ahead = (LOOK_AHEAD - self._period) * reference.twist
        wanted = self._model.root_from_base @ SE3(
            pin.exp3(ahead[3:]) @ reference.pose.rotation, reference.pose.translation + ahead[:3]
        )
        current = configuration.get_transform_frame_to_world(self._model.tcp_frame)
        # Correcting an error must not move the tool centre point faster than the reference may move.
        reach = LOOK_AHEAD * self._limits.cartesian.speed
        swing = LOOK_AHEAD * self._limits.cartesian.angular_speed
        move = shortened(wanted.translation - current.translation, reach)
        turn = shortened(pin.log3(wanted.rotation @ current.rotation.T), swing)
        return pin.SE3(pin.exp3(turn) @ current.rotation, current.translation + move)

    def _jerk_towards(self, velocity: Array, now: JointMotion) -> Array:
        """Jerk (n,) for the next period that takes the joints to ``velocity`` inside acceleration and jerk limits."""
        half = 0.5 * self._period
        acceleration = (velocity - now.dq - half * now.ddq) / (VELOCITY_TIME + half)
        # All joints alike, so that a limit changes how fast the arm speeds up but not where it heads.
        acceleration /= max(1.0, float(np.max(np.abs(acceleration) / self._acceleration)))
        return np.clip((acceleration - now.ddq) / self._period, -self._jerk, self._jerk)
