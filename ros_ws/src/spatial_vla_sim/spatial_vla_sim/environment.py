"""The tabletop as evaluations drive it: episodes of seeds, judged by the referee."""

from __future__ import annotations

import numpy as np
from spatial_vla.actions import ActionChunk
from spatial_vla.evaluation import Observation, Verdict

from .arm import SimulatedArm
from .closed_loop import LONGEST, SETTLED
from .referee import judge
from .scene import sample_scene
from .world import World


class TabletopEnvironment:
    """See :class:`spatial_vla.evaluation.Environment`. An episode ends when the policy has rested for a second.

    Args:
        task: touch, point or pick; "" has it drawn from the seed.
        latency: time from observation to the arrival of its chunk [s].
        size: side of the image [px].
        dt: duration of a step [s], to tell how many an episode may take.
    """

    def __init__(self, task: str = "", latency: float = 0.05, size: int = 224, dt: float = 0.2) -> None:
        self.task, self.world = task, World(camera_size=size)
        self.arm = SimulatedArm(self.world, latency)
        self.most_steps = round(LONGEST / dt)
        self._idle = 0

    def reset(self, seed: int) -> Observation:
        """The scene and the instruction of a seed."""
        self.world.reset(sample_scene(seed, self.task))
        self.arm.reset()
        self._idle = 0
        return self._observation()

    def step(self, chunk: ActionChunk, steps: int) -> Observation:
        """Let time pass while the chunk is carried out behind gate, limits and inverse kinematics."""
        moves = np.any(chunk.deltas[:steps])
        self._idle = 0 if moves else self._idle + steps
        self.arm.follow(chunk.deltas, chunk.gripper, dt=chunk.dt, seconds=steps * chunk.dt)
        return self._observation()

    @property
    def ended(self) -> bool:
        """True once the policy has rested."""
        return self._idle >= SETTLED

    def verdict(self) -> Verdict:
        """The referee's."""
        outcome = judge(self.world, self.world.scene)
        return Verdict(outcome.success, outcome.failure)

    def close(self) -> None:
        """Nothing is held."""

    def _observation(self) -> Observation:
        view = self.world.render("external")
        return Observation(
            image=view.rgb,
            instruction=self.world.scene.instruction,
            stamp_ns=self.world.time_ns,
            depth=view.depth,
            camera=view.camera,
            base_from_camera=view.world_from_camera,
            base_from_tcp=self.world.tcp_pose(),
            gripper_width=2.0 * self.world.joint_state()[2],
        )
