"""A world per test, and a scripted arm to move things in it."""

from __future__ import annotations

import numpy as np
import pinocchio as pin
import pytest
from spatial_vla.description import TCP_FRAME, panda_urdf
from spatial_vla_sim.world import World


class ScriptedArm:
    """Top-down poses by inverse kinematics, reached by one rest-to-rest way-point."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._model = pin.buildModelFromXML(panda_urdf())
        self._data = self._model.createData()
        self._frame = self._model.getFrameId(TCP_FRAME)

    def move(self, position, yaw: float = 0.0, seconds: float = 1.5) -> float:
        """Go there with the hand pointing down; the largest joint tracking error on the way [rad]."""
        pose = pin.SE3(pin.rpy.rpyToMatrix(np.pi, 0.0, yaw), np.asarray(position, dtype=np.float64))
        joints = self._inverse(self._world.desired_joint_positions(), pose)
        self._world.set_arm_command([(seconds, joints, np.zeros(7))])
        error = 0.0
        for _ in range(round(seconds / 0.01)):
            self._world.step(0.01)
            lag = self._world.joint_state()[0] - self._world.desired_joint_positions()
            error = max(error, float(np.abs(lag).max()))
        return error

    def grip(self, finger_position: float, seconds: float = 0.6) -> None:
        self._world.set_gripper(finger_position)
        for _ in range(round(seconds / 0.01)):
            self._world.step(0.01)

    def _inverse(self, joints, pose: pin.SE3):
        q = np.concatenate((joints, np.zeros(2)))
        for _ in range(200):
            pin.framesForwardKinematics(self._model, self._data, q)
            error = pin.log(self._data.oMf[self._frame].actInv(pose)).vector
            if np.linalg.norm(error) < 1e-6:
                return q[:7]
            jacobian = pin.computeFrameJacobian(self._model, self._data, q, self._frame)[:, :7]
            step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-5 * np.eye(6), error)
            q[:7] += np.clip(0.7 * step, -0.3, 0.3)
        raise AssertionError(f"no joint positions for {pose}")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def arm(world) -> ScriptedArm:
    return ScriptedArm(world)
