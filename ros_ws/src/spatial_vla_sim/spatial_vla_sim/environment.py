"""The tabletop as evaluations drive it: episodes of seeds, judged by the referee."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from spatial_vla.actions import ActionChunk
from spatial_vla.evaluation import Observation, Verdict

from . import expert, place_tasks
from .arm import SimulatedArm
from .closed_loop import LONGEST, SETTLED, expert_actor
from .referee import judge
from .scene import sample_scene
from .world import World

Array = NDArray[np.float64]


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

    def expert(self) -> SimulatedExpert:
        """What can be reached here: the scripted expert, who sees ground truth."""
        return SimulatedExpert(self)

    def expert_steps(self) -> tuple[Array, Array]:
        """The expert's next steps: deltas (t, 6) and gripper (t,)."""
        return expert_actor(self.world, self.world.scene)

    @property
    def instruction(self) -> str:
        """The sentence of the episode."""
        return self.world.scene.instruction

    def _observation(self) -> Observation:
        view = self.world.render("external")
        return Observation(
            image=view.rgb,
            instruction=self.instruction,
            stamp_ns=self.world.time_ns,
            depth=view.depth,
            camera=view.camera,
            base_from_camera=view.world_from_camera,
            base_from_tcp=self.world.tcp_pose(),
            gripper_width=2.0 * self.world.joint_state()[2],
        )


class PlaceEnvironment(TabletopEnvironment):
    """Places named by a relation on the same tabletop; the words have to come true. See ``place_tasks``.

    Args:
        verb: put, touch or point.
        latency, size, dt: as of ``TabletopEnvironment``.
    """

    def __init__(
        self, verb: place_tasks.Verb = "put", latency: float = 0.05, size: int = 224, dt: float = 0.2
    ) -> None:
        if verb not in place_tasks.VERBS:
            raise ValueError(f"verb {verb!r} has no place tasks; expected {', '.join(place_tasks.VERBS)}")
        super().__init__("", latency, size, dt)
        self.verb: place_tasks.Verb = verb
        self.most_steps = round(place_tasks.LONGEST / dt)

    def reset(self, seed: int) -> Observation:
        """The scene of a seed, and a place that its instruction names.

        Raises:
            NoPlace: the scene has none.
        """
        self.given = place_tasks.begin(self.world, self.arm, sample_scene(seed), self.verb)
        self._idle = 0
        return self._observation()

    def expert_steps(self) -> tuple[Array, Array]:
        """See ``TabletopEnvironment``."""
        return place_tasks.act(self.world, self.given)

    def verdict(self) -> Verdict:
        """Whether the words are true."""
        outcome = place_tasks.judge(self.world, self.given)
        return Verdict(outcome.success, outcome.failure)

    @property
    def instruction(self) -> str:
        """The sentence that names the place."""
        return self.given.sentence


class SimulatedExpert:
    """The scripted expert of an environment as a policy; it sees ground truth, not the observation."""

    def __init__(self, environment: TabletopEnvironment) -> None:
        self._environment = environment

    def reset(self) -> None:
        """It remembers nothing."""

    def __call__(self, observation: Observation) -> ActionChunk:
        """See :class:`spatial_vla.evaluation.Policy`."""
        deltas, gripper = self._environment.expert_steps()
        return ActionChunk(observation.stamp_ns, expert.DT, "panda_link0", deltas, gripper)
