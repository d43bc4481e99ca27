"""JointTrajectory messages to what the world takes; a message that cannot be followed is an error that says why."""

from __future__ import annotations

from builtin_interfaces.msg import Duration
from spatial_vla.description import ARM_JOINTS, FINGER_JOINTS
from trajectory_msgs.msg import JointTrajectory

from .joint_path import PathPoint


def arm_points(message: JointTrajectory) -> tuple[list[PathPoint], int | None]:
    """Way-points in the order of the arm's joints, and the start [ns] that they count from (None: on receipt).

    Raises:
        ValueError: if the joints are not exactly the arm's.
    """
    names = list(message.joint_names)
    if sorted(names) != sorted(ARM_JOINTS):
        raise ValueError(f"trajectory is for joints {names}; expected {list(ARM_JOINTS)}")
    order = [names.index(name) for name in ARM_JOINTS]
    points: list[PathPoint] = []
    for point in message.points:
        if not len(point.positions) == len(point.velocities) == len(order):
            raise ValueError(
                f"trajectory point has {len(point.positions)} positions and {len(point.velocities)} velocities; "
                f"expected {len(order)} of each"
            )
        positions = [point.positions[i] for i in order]
        velocities = [point.velocities[i] for i in order]
        points.append((_seconds(point.time_from_start), positions, velocities))
    stamp = message.header.stamp
    return points, (stamp.sec * 1_000_000_000 + stamp.nanosec) or None


def finger_position(message: JointTrajectory) -> float:
    """Where the fingers shall go [m]: the last point of the first finger joint. The hand moves at its own speed.

    Raises:
        ValueError: if that joint or a position for it is missing.
    """
    name, names, points = FINGER_JOINTS[0], list(message.joint_names), list(message.points)
    if name not in names or not points:
        raise ValueError(f"hand trajectory for {names} has no point for {name!r}")
    positions, index = list(points[-1].positions), names.index(name)
    if index >= len(positions):
        raise ValueError(f"hand trajectory's last point has {len(positions)} positions, none for {name!r}")
    return float(positions[index])


def _seconds(duration: Duration) -> float:
    return duration.sec + duration.nanosec * 1e-9
