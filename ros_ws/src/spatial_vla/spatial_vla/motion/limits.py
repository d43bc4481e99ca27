"""Every limit the motion stage keeps, in one frozen object: built once, hashed, handed to everybody.

Position, velocity and effort limits come from the URDF; acceleration and jerk, which URDF cannot hold, from a
MoveIt-style ``joint_limits.yaml``. What is missing is kept as NaN and makes arming fail: never as "no limit".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .velocity_by_position import VelocityByPosition

Array = NDArray[np.float64]

#: One period at 100 Hz [s]: a change of acceleration takes at least this long.
SHORTEST_PHASE = 0.01
#: An arm that stands at the border of its range may be measured this far [rad] beyond it.
READING_ERROR = 1e-3


class IncompleteLimits(ValueError):
    """A limit that the motion stage must keep is not known."""


@dataclass(frozen=True)
class Box:
    """Axis-aligned box in the base frame [m]."""

    lower: tuple[float, float, float]
    upper: tuple[float, float, float]

    def __post_init__(self) -> None:
        if len(self.lower) != 3 or len(self.upper) != 3 or not np.all(np.less(self.lower, self.upper)):
            raise ValueError(
                f"box needs three lower values below three upper ones, got {self.lower}, {self.upper}"
            )

    def clamp(self, point: ArrayLike) -> Array:
        """The point of the box nearest to ``point`` (3,)."""
        return np.clip(point, self.lower, self.upper)

    def contains(self, points: ArrayLike, margin: float = 0.0) -> bool:
        """True if all ``points`` (..., 3) lie in the box grown by ``margin`` [m]."""
        p = np.asarray(points, dtype=np.float64)
        return bool(
            np.all(p >= np.asarray(self.lower) - margin) and np.all(p <= np.asarray(self.upper) + margin)
        )


@dataclass(frozen=True)
class Obstacle:
    """A box that the arm keeps away from: centre and size [m] in the base frame, axes parallel to it."""

    name: str
    centre: tuple[float, float, float]
    size: tuple[float, float, float]

    def __post_init__(self) -> None:
        numbers = np.array([*self.centre, *self.size], dtype=np.float64)
        if numbers.shape != (6,) or not np.isfinite(numbers).all() or np.any(numbers[3:] <= 0.0):
            raise ValueError(f"obstacle {self.name!r} needs a centre and three positive sizes, got {numbers}")

    @classmethod
    def table(cls, height: float) -> Obstacle:
        """A table top at ``height`` [m], as a box 6 m wide and 1 m thick below it."""
        return cls("table", (0.0, 0.0, height - 0.5), (6.0, 6.0, 1.0))


@dataclass(frozen=True)
class Scaling:
    """Share of the robot's own limits that is used, each in (0, 1], and the distance kept from the joint stops.

    ``stop_acceleration`` and ``stop_jerk`` apply to stop ramps alone: stopping may use more of what the robot can than
    following does. No joint ever goes faster than it can be stopped from within ``stop_time`` [s].
    """

    velocity: float = 0.6
    acceleration: float = 0.8
    jerk: float = 0.15
    stop_acceleration: float = 0.98
    stop_jerk: float = 0.4
    stop_time: float = 0.12
    position_margin: float = 0.03

    def __post_init__(self) -> None:
        for name in ("velocity", "acceleration", "jerk", "stop_acceleration", "stop_jerk"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise ValueError(f"scaling of {name} is {value}; it must lie in (0, 1]")
        if self.stop_acceleration < self.acceleration or self.stop_jerk < self.jerk:
            raise ValueError("stop scaling must not be below the scaling used for following")
        if not 0.0 < self.stop_time < np.inf:
            raise ValueError(f"stop time is {self.stop_time} s; it must be positive and finite")
        if not 0.0 <= self.position_margin < 0.5:
            raise ValueError(f"position margin is {self.position_margin} rad; it must lie in [0, 0.5)")


@dataclass(frozen=True)
class CartesianLimits:
    """Limits of the tool centre point: [m/s], [m/s^2], [rad/s], [rad/s^2].

    Speeds hold for what comes out. Accelerations hold for the reference; the joints, which have limits of their own,
    may need more to follow it around a singularity, and take more to stop.
    """

    speed: float = 0.25
    acceleration: float = 2.0
    angular_speed: float = 1.6
    angular_acceleration: float = 12.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0.0 < value < np.inf:
                raise ValueError(f"Cartesian limit {name} is {value}; it must be positive and finite")

    def excess(self, twist: Array) -> float:
        """How many times as fast as allowed the tool centre point is with ``twist`` (6,) [m/s, rad/s]."""
        return max(
            float(np.linalg.norm(twist[:3])) / self.speed,
            float(np.linalg.norm(twist[3:])) / self.angular_speed,
        )


@dataclass(frozen=True, eq=False)
class JointLimits:
    """What the robot can do, per joint: arrays (n,) in rad and s. NaN means not known."""

    names: tuple[str, ...]
    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    jerk: Array


@dataclass(frozen=True, eq=False)
class MotionLimits:
    """Joint, Cartesian and workspace limits of one robot.

    Attributes:
        joints: limits of the robot itself, unscaled.
        scaling: which share of them is used.
        cartesian: limits of the commanded pose of the tool centre point.
        workspace: box for the tool centre point, base frame.
        body_box: box for the origins of ``body_frames`` (elbow and flange), base frame.
        self_clearance: links that are not neighbours keep this far from each other [m]; negative: not checked.
        obstacles: what links keep away from, by ``scene_clearance`` [m].
        singularity: smallest singular value of the tool's Jacobian that the arm may go down to [m or rad, per rad].
        velocity_by_position: speeds allowed near the joint stops, for arms that have such limits.
    """

    joints: JointLimits
    scaling: Scaling = field(default_factory=Scaling)
    cartesian: CartesianLimits = field(default_factory=CartesianLimits)
    workspace: Box = Box((0.15, -0.65, 0.012), (0.85, 0.65, 0.95))
    body_box: Box = Box((-0.5, -0.8, 0.08), (0.9, 0.8, 1.25))
    body_frames: tuple[str, ...] = ("panda_link4", "panda_link8")
    self_clearance: float = 0.01
    velocity_by_position: VelocityByPosition | None = None
    obstacles: tuple[Obstacle, ...] = ()
    scene_clearance: float = 0.005
    singularity: float = 0.01

    @classmethod
    def from_urdf(
        cls,
        urdf: str,
        joint_limits: Mapping[str, Mapping[str, Any]],
        names: Sequence[str] | None = None,
        velocity_by_position: Mapping[str, Mapping[str, float]] | None = None,
        **parts: Any,
    ) -> MotionLimits:
        """Limits of the revolute joints ``names`` (default: all revolute joints, in file order).

        Args:
            urdf: URDF text.
            joint_limits: joint name to MoveIt-style entry (``max_velocity``, ``max_acceleration``, ``max_jerk``).
            velocity_by_position: joint name to ``offset``, ``gain``, ``lower``, ``upper``, for arms that have such
                limits; then for every joint.
            parts: the other fields of :class:`MotionLimits`.

        Raises:
            ValueError: if a joint is not in the URDF or has no position limits there.
        """
        limits = _urdf_limits(urdf)
        chosen = tuple(names) if names is not None else tuple(limits)
        unknown = [name for name in chosen if name not in limits]
        if unknown:
            raise ValueError(
                f"joints {unknown} are not revolute joints of the URDF, which has {list(limits)}"
            )
        extra = [joint_limits.get(name, {}) for name in chosen]
        rows = np.array([limits[name] for name in chosen])
        velocity = np.fmin(rows[:, 2], [_number(e, "velocity") for e in extra])
        acceleration = np.array([_number(e, "acceleration") for e in extra])
        jerk = np.array([_number(e, "jerk") for e in extra])
        by_position = (
            VelocityByPosition.from_table(velocity_by_position, chosen) if velocity_by_position else None
        )
        joints = JointLimits(chosen, rows[:, 0], rows[:, 1], velocity, acceleration, jerk)
        return cls(joints, velocity_by_position=by_position, **parts)

    def missing(self) -> list[str]:
        """Names of the limits that are not known, such as ``"panda_joint3 jerk"``; empty when complete."""
        return [
            f"{name} {kind}"
            for kind in ("lower", "upper", "velocity", "acceleration", "jerk")
            for name, value in zip(self.joints.names, getattr(self.joints, kind), strict=True)
            if not np.isfinite(value) or (kind not in ("lower", "upper") and value <= 0.0)
        ]

    def require_complete(self) -> None:
        """Raise :class:`IncompleteLimits` naming what is missing."""
        missing = self.missing()
        if missing:
            raise IncompleteLimits(
                f"limits not known: {', '.join(missing)}. Give them in joint_limits.yaml "
                "(has_acceleration_limits: true, max_acceleration: ..., has_jerk_limits: true, max_jerk: ...)"
            )
        if np.any(self.velocity <= 0.0):
            shortest = 1.5 * self.stop_phase
            raise ValueError(
                f"no joint can stop within {self.scaling.stop_time} s; give it more than {shortest:.3f} s"
            )

    @property
    def lower(self) -> Array:
        """Lowest commanded position [rad]."""
        return self.joints.lower + self.scaling.position_margin

    @property
    def upper(self) -> Array:
        """Highest commanded position [rad]."""
        return self.joints.upper - self.scaling.position_margin

    def commandable(self, q: Array) -> Array:
        """Measured positions ``q`` (n,) [rad]; on the border if they are beyond it by a reading's error at most."""
        inside = np.clip(q, self.lower, self.upper)
        return inside if np.all(np.abs(inside - q) <= READING_ERROR) else q

    @property
    def velocity(self) -> Array:
        """Largest commanded speed [rad/s]: the scaled one, or the one that the longest stop may start from."""
        # A ramp lasts one phase plus the time to take away the speed and what the present acceleration still adds.
        stoppable = self.stop_acceleration * (self.scaling.stop_time - 1.5 * self.stop_phase)
        return np.minimum(self.joints.velocity * self.scaling.velocity, stoppable)

    def velocity_at(self, q: Array) -> tuple[Array, Array]:
        """Lowest and highest commanded velocity (n,) [rad/s] at positions ``q`` (n,) [rad]."""
        highest = self.velocity
        if self.velocity_by_position is None:
            return -highest, highest
        down, up = self.velocity_by_position.at(q)
        share = self.scaling.velocity
        return -np.minimum(highest, share * down), np.minimum(highest, share * up)

    @property
    def acceleration(self) -> Array:
        """Largest commanded acceleration while following [rad/s^2]."""
        return self.joints.acceleration * self.scaling.acceleration

    @property
    def jerk(self) -> Array:
        """Largest commanded jerk while following [rad/s^3]."""
        return self.joints.jerk * self.scaling.jerk

    @property
    def stop_acceleration(self) -> Array:
        """Largest acceleration of a stop ramp [rad/s^2]."""
        return self.joints.acceleration * self.scaling.stop_acceleration

    @property
    def stop_jerk(self) -> Array:
        """Largest jerk of a stop ramp [rad/s^3]."""
        return self.joints.jerk * self.scaling.stop_jerk

    @property
    def stop_phase(self) -> float:
        """Duration of the phases of a stop ramp in which the acceleration changes [s].

        Long enough to go from full acceleration to full deceleration within the jerk limit.
        """
        return max(SHORTEST_PHASE, float(np.max(2.0 * self.stop_acceleration / self.stop_jerk)))

    def fingerprint(self) -> str:
        """SHA-256 over all values, to log and to compare."""
        values = asdict(self)
        text = json.dumps(values, sort_keys=True, default=lambda a: np.asarray(a).tolist())
        return hashlib.sha256(text.encode()).hexdigest()


def _urdf_limits(urdf: str) -> dict[str, tuple[float, float, float]]:
    """Joint name -> (lower, upper, velocity) of every revolute joint."""
    result: dict[str, tuple[float, float, float]] = {}
    for joint in ElementTree.fromstring(urdf).findall("joint"):
        if joint.get("type") != "revolute":
            continue
        limit = joint.find("limit")
        if limit is None or limit.get("lower") is None or limit.get("upper") is None:
            raise ValueError(
                f"URDF joint {joint.get('name')} has no position limits; a revolute joint needs them"
            )
        result[str(joint.get("name"))] = (
            float(limit.attrib["lower"]),
            float(limit.attrib["upper"]),
            float(limit.get("velocity", "nan")),
        )
    return result


def _number(entry: Mapping[str, Any], kind: str) -> float:
    """``max_<kind>`` of a MoveIt-style entry; NaN if absent or switched off."""
    if not entry.get(f"has_{kind}_limits", False):
        return float("nan")
    return float(entry.get(f"max_{kind}", "nan"))
