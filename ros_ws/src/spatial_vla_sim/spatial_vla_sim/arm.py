"""The simulated arm behind the real motion stage, without ROS: for recording and for quick closed-loop checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from spatial_vla.actions import ActionChunk
from spatial_vla.motion import MotionController
from spatial_vla.motion.panda import panda_limits, panda_model

from .world import World

PERIOD = 0.01


class SimulatedArm:
    """Carries out chunks with the same gate, reference, limits and inverse kinematics as the robot's motion node.

    Args:
        world: the simulated world.
        latency: time from observation to the arrival of its chunk [s].
    """

    def __init__(self, world: World, latency: float = 0.05) -> None:
        self.world, self.latency = world, latency
        self._model, self._limits = panda_model(), panda_limits()

    def reset(self) -> None:
        """Arm anew after a reset of the world.

        Raises:
            RuntimeError: if the motion stage refuses, e.g. because the arm stands outside its limits.
        """
        q, dq, _ = self.world.joint_state()
        self.controller = MotionController(self._model, self._limits, PERIOD)
        self.controller.on_joint_state(q, dq, self.world.time_ns)
        verdict = self.controller.arm(q, self.world.time_ns)
        if not verdict.accepted:
            raise RuntimeError(f"simulated arm cannot be armed: {verdict.reason}")
        self._chunk_id = 0

    def follow(
        self, deltas: NDArray[np.float64], gripper: NDArray[np.float64], *, dt: float, seconds: float
    ) -> None:
        """Let time pass while a chunk that was decided for now arrives after the latency.

        Args:
            deltas: (T, 6) steps in base axes. gripper: (T,).
            dt: duration of a step [s]. seconds: time to pass [s].
        """
        self._chunk_id += 1
        chunk = ActionChunk(self.world.time_ns, dt, "panda_link0", deltas, gripper, chunk_id=self._chunk_id)
        for tick in range(round(seconds / PERIOD)):
            if tick == round(self.latency / PERIOD):
                self.controller.on_chunk(chunk, self.world.time_ns)
            self._tick()

    def _tick(self) -> None:
        q, dq, _ = self.world.joint_state()
        self.controller.on_joint_state(q, dq, self.world.time_ns)
        command = self.controller.step(self.world.time_ns)
        if command is not None:
            self.world.set_arm_command(
                [(p.time_from_start, p.positions, p.velocities) for p in command.points]
            )
            if command.gripper is not None:
                self.world.set_gripper(command.gripper)
        self.world.step(PERIOD)
