"""The last check before joint commands leave: the motion and its stop ramp stay inside every hard limit."""

from __future__ import annotations

import numpy as np

from .limits import MotionLimits
from .robot_model import RobotModel
from .scene_collision import SceneCollision
from .self_collision import SelfCollision
from .singularity import smallest_singular_value
from .stop_ramp import JointMotion, StopRamp

#: The tool centre point is steered to stay in its box; this far outside [m] the guard stops it.
WORKSPACE_MARGIN = 0.01
TOLERANCE = 1e-9
#: The tool is steered to keep its speed; this many times as fast the guard stops it. A stop ramp adds to the speed for
#: the moment in which the acceleration turns round.
SPEED_SLACK = 1.1
#: How often a stop ramp is looked at where the speed that is allowed depends on the position.
RAMP_SAMPLES = 13


class OutputGuard:
    """Refuses a next state from which stopping would break a limit."""

    def __init__(self, limits: MotionLimits, model: RobotModel) -> None:
        self._limits = limits
        self._model = model
        self._lower, self._upper = limits.lower, limits.upper
        self._velocity, self._stop_acceleration = limits.velocity, limits.stop_acceleration
        self._frames = (model.tcp_frame, *limits.body_frames)
        boxes = (limits.workspace, *(limits.body_box for _ in limits.body_frames))
        margin = np.array([[WORKSPACE_MARGIN], *([0.0] for _ in limits.body_frames)])
        self._box_lower = np.array([box.lower for box in boxes]) - margin
        self._box_upper = np.array([box.upper for box in boxes]) + margin
        clearance = limits.self_clearance
        self._collision = SelfCollision(model, clearance) if clearance >= 0.0 else None
        scene = limits.obstacles
        self._scene = SceneCollision(model, scene, limits.scene_clearance) if scene else None

    def violation(self, state: JointMotion, ramp: StopRamp) -> str:
        """The limit that ``state``, or stopping from it by ``ramp``, would break; empty when none."""
        if not all(np.isfinite(values).all() for values in (state.q, state.dq, state.ddq)):
            return "joint command is not finite"
        joints = self.position(ramp) or self.velocity(ramp) or self.acceleration(state)
        if joints:
            return joints
        if self._limits.velocity_by_position is not None and (joint := self._too_fast_here(state, ramp)):
            return f"{joint} velocity limit near its stop"
        end = ramp.at(ramp.duration).q
        return (
            self.too_fast(state)
            or self.outside_workspace(state.q)
            or self.outside_workspace(end)
            or self.self_collision(state.q)
            or self.self_collision(end)
            or self.scene_collision(state.q)
            or self.scene_collision(end)
            or self.singular(state, end)
        )

    def position(self, ramp: StopRamp) -> str:
        """Which joint would leave its range on the way to rest; empty when none would."""
        lowest, highest = ramp.range()
        outside = (lowest < self._lower - TOLERANCE) | (highest > self._upper + TOLERANCE)
        return f"{self._first(outside)} position limit" if outside.any() else ""

    def velocity(self, ramp: StopRamp) -> str:
        """Which joint is or would become too fast; empty when none."""
        fast = ramp.top_speed() > self._velocity + TOLERANCE
        return f"{self._first(fast)} velocity limit" if fast.any() else ""

    def acceleration(self, state: JointMotion) -> str:
        """Which joint is accelerated too much; empty when none is."""
        hard = np.abs(state.ddq) > self._stop_acceleration + TOLERANCE
        return f"{self._first(hard)} acceleration limit" if hard.any() else ""

    def _first(self, joints: np.ndarray) -> str:
        return self._limits.joints.names[int(np.argmax(joints))]

    def _too_fast_here(self, state: JointMotion, ramp: StopRamp) -> str:
        """The joint that is too fast for where it is, now or on its way to rest; empty when none is."""
        for moving in (state, *(ramp.at(time) for time in np.linspace(0.0, ramp.duration, RAMP_SAMPLES))):
            lowest, highest = self._limits.velocity_at(moving.q)
            outside = (moving.dq < lowest - TOLERANCE) | (moving.dq > highest + TOLERANCE)
            if outside.any():
                return self._first(outside)
        return ""

    def too_fast(self, state: JointMotion) -> str:
        """Non-empty if the tool is faster than it may be."""
        excess = self._limits.cartesian.excess(self._model.jacobian(state.q) @ state.dq)
        return f"speed of the tool: {excess:.2f} times the limit" if excess > SPEED_SLACK else ""

    @property
    def checks_collisions(self) -> bool:
        """True if links are kept apart."""
        return self._collision is not None

    def self_collision(self, q: np.ndarray) -> str:
        """Which links are too near to each other at ``q`` (n,); empty when none are."""
        touching = self._collision.touching(q) if self._collision is not None else None
        return f"self-collision: {touching[0]} and {touching[1]}" if touching else ""

    def scene_collision(self, q: np.ndarray) -> str:
        """Which link is too near to which obstacle at ``q`` (n,); empty when none is."""
        touching = self._scene.touching(q) if self._scene is not None else None
        return f"collision: {touching[0]} and {touching[1]}" if touching else ""

    def singular(self, state: JointMotion, end: np.ndarray) -> str:
        """Non-empty if stopping from ``state`` ends at a singularity, deeper in it than ``state`` is."""
        least = smallest_singular_value(self._model, end)
        if least >= self._limits.singularity or not state.dq.any():
            return ""
        deeper = least < smallest_singular_value(self._model, state.q)
        return f"singularity: smallest singular value {least:.3f}" if deeper else ""

    def outside_workspace(self, q: np.ndarray) -> str:
        """Which point of the arm is outside its box at ``q`` (n,); empty when none is."""
        points = self._model.points(q, self._frames)
        outside = (points < self._box_lower) | (points > self._box_upper)
        if not outside.any():
            return ""
        first = int(np.argmax(outside.any(axis=1)))
        return f"workspace: {self._frames[first]} at {np.round(points[first], 3).tolist()}"
