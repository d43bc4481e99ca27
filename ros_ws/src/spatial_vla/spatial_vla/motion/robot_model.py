"""Kinematics of the arm alone: the URDF with every other joint locked, through Pinocchio."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pinocchio as pin
from numpy.typing import ArrayLike, NDArray

from ..geometry import SE3

Array = NDArray[np.float64]


class RobotModel:
    """Forward kinematics and Jacobians of the arm's n joints, in the base frame.

    Not thread-safe: calls share one Pinocchio work space.
    """

    def __init__(self, urdf: str, joints: Sequence[str], base_frame: str, tcp_frame: str) -> None:
        """Build from URDF text.

        Raises:
            ValueError: naming the joint or frame that the URDF does not have.
        """
        self.urdf = urdf
        full = pin.buildModelFromXML(urdf)
        for joint in joints:
            if not full.existJointName(joint):
                raise ValueError(f"URDF has no joint {joint!r}; it has {list(full.names)[1:]}")
        locked = [full.getJointId(name) for name in list(full.names)[1:] if name not in joints]
        self.model: pin.Model = pin.buildReducedModel(full, locked, pin.neutral(full))
        if list(self.model.names)[1:] != list(joints) or self.model.nq != len(joints):
            raise ValueError(
                f"joints {list(joints)} must be revolute and in chain order {list(self.model.names)[1:]}"
            )
        self.joints = tuple(joints)
        self.base_frame = base_frame
        self.tcp_frame = tcp_frame
        self._data: pin.Data = self.model.createData()
        self._tcp = self._frame_id(tcp_frame)
        self._ids: dict[str, int] = {}
        # The base is fixed to the URDF's root, so its placement is a constant.
        pin.framesForwardKinematics(self.model, self._data, pin.neutral(self.model))
        placement = self._data.oMf[self._frame_id(base_frame)]
        self.root_from_base = SE3(placement.rotation.copy(), placement.translation.copy())
        self._base_from_root = self.root_from_base.inverse()

    def _frame_id(self, frame: str) -> int:
        if not self.model.existFrame(frame):
            raise ValueError(f"URDF has no frame {frame!r}; it has {[f.name for f in self.model.frames]}")
        return int(self.model.getFrameId(frame))

    def forward(self, q: ArrayLike) -> SE3:
        """Pose base_from_tcp at joint positions ``q`` (n,) [rad]."""
        pin.framesForwardKinematics(self.model, self._data, np.asarray(q, dtype=np.float64))
        placement = self._data.oMf[self._tcp]
        return self._base_from_root @ SE3(placement.rotation.copy(), placement.translation.copy())

    def jacobian(self, q: ArrayLike) -> Array:
        """(6, n): joint velocities to the twist (linear, angular) of the tool centre point, base axes."""
        q = np.asarray(q, dtype=np.float64)
        pin.framesForwardKinematics(self.model, self._data, q)
        jacobian = pin.computeFrameJacobian(self.model, self._data, q, self._tcp, pin.LOCAL_WORLD_ALIGNED)
        rotation = self._base_from_root.rotation
        return np.vstack((rotation @ jacobian[:3], rotation @ jacobian[3:]))

    def motion(self, q: ArrayLike, dq: ArrayLike) -> tuple[SE3, Array]:
        """Pose base_from_tcp and twist (6,) of the tool centre point, base axes, at ``q``, ``dq`` (n,) [rad, rad/s]."""
        pin.forwardKinematics(self.model, self._data, np.asarray(q, float), np.asarray(dq, float))
        placement = pin.updateFramePlacement(self.model, self._data, self._tcp)
        twist = pin.getFrameVelocity(self.model, self._data, self._tcp, pin.LOCAL_WORLD_ALIGNED)
        rotation = self._base_from_root.rotation
        pose = self._base_from_root @ SE3(placement.rotation.copy(), placement.translation.copy())
        return pose, np.concatenate((rotation @ twist.linear, rotation @ twist.angular))

    def points(self, q: ArrayLike, frames: Sequence[str]) -> Array:
        """Origins (len(frames), 3) of ``frames`` in the base frame [m] at ``q`` (n,)."""
        pin.framesForwardKinematics(self.model, self._data, np.asarray(q, dtype=np.float64))
        for frame in frames:
            if frame not in self._ids:
                self._ids[frame] = self._frame_id(frame)
        origins = [self._data.oMf[self._ids[frame]].translation for frame in frames]
        return self._base_from_root.apply(np.array(origins))
