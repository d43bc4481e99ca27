"""What a planned move may be asked for: joint positions by name, or a pose of the tool in a frame that TF knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.time import Time
from spatial_vla_interfaces.srv import MoveTo

from ..geometry import SE3
from ..motion.planning import PlanBackend, PlanRefused
from ..tf import Buffer, TransformException
from .conversions import se3_from_transform
from .refusal import RefusedInput

Array = NDArray[np.float64]
#: From where the arm is (n,) [rad] to where it shall go (n,) [rad]; raises PlanRefused if it cannot.
Goal = Callable[[Array], Array]
#: By how much the length of a quaternion may be off 1.
UNIT = 1e-3


class MoveGoals:
    """Reads requests of ``~/move_to``."""

    def __init__(
        self, joints: Sequence[str], base_frame: str, transforms: Buffer, backend: PlanBackend
    ) -> None:
        self._joints, self._base = list(joints), base_frame
        self._transforms, self._backend = transforms, backend

    def read(self, request: MoveTo.Request) -> Goal:
        """The goal that is asked for.

        Raises:
            PlanRefused: nonsense was asked for; the error says what would be accepted.
        """
        named, posed = bool(request.joints or request.positions), bool(request.pose.header.frame_id)
        if named == posed:
            given = "both joints and" if named else "neither joints nor"
            raise PlanRefused(
                f"{given} pose.header.frame_id are given; give joints and positions, or a pose in a frame"
            )
        return self._joint_goal(request) if named else self._pose_goal(request.pose)

    def _joint_goal(self, request: MoveTo.Request) -> Goal:
        names, positions = list(request.joints), np.array(request.positions, dtype=np.float64)
        if len(names) != len(positions):
            raise PlanRefused(
                f"{len(names)} joints and {len(positions)} positions; each joint needs one [rad]"
            )
        if unknown := sorted(set(names) - set(self._joints)):
            raise PlanRefused(f"unknown joints {unknown}; there are {self._joints}")
        if len(set(names)) != len(names):
            raise PlanRefused(f"joints {names} name one twice; each may be given once")
        if not np.isfinite(positions).all():
            raise PlanRefused(f"positions {positions.tolist()} are not all finite numbers [rad]")
        indices = [self._joints.index(name) for name in names]

        def goal(measured: Array) -> Array:
            wanted = measured.copy()
            wanted[indices] = positions
            return wanted

        return goal

    def _pose_goal(self, pose: PoseStamped) -> Goal:
        p, q = pose.pose.position, pose.pose.orientation
        position, quaternion = np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])
        if not np.isfinite(position).all():
            raise PlanRefused(f"position {position.tolist()} is not finite; it must be three numbers [m]")
        length = float(np.linalg.norm(quaternion))
        if not abs(length - 1.0) <= UNIT:
            raise PlanRefused(
                f"quaternion {quaternion.tolist()} (x, y, z, w) has length {length:.4g}; it must have length 1, as "
                "(0, 0, 0, 1) has"
            )
        target = self._base_from(pose) @ SE3.from_quaternion(position, quaternion)
        return lambda measured: self._backend.joints_for(target, measured)

    def _base_from(self, pose: PoseStamped) -> SE3:
        """Where the frame of the pose is, at its stamp; at the latest known time if that is 0."""
        frame = pose.header.frame_id
        if frame == self._base:
            return SE3.identity()
        try:
            found = self._transforms.lookup_transform(self._base, frame, Time.from_msg(pose.header.stamp))
            return se3_from_transform(found.transform)
        except (TransformException, RefusedInput) as error:
            raise PlanRefused(
                f"no transform from frame {frame!r} to {self._base!r}: {error}. A pose in {self._base!r} needs none"
            ) from error
