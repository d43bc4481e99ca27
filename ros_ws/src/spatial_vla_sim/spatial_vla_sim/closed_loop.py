"""Episodes in closed loop without ROS, for measuring a policy while it trains.

The figures that count are measured through the ROS graph, by ``spatial-vla eval``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from spatial_vla.policy import Decoder, Encoder

from . import expert
from .arm import SimulatedArm
from .referee import Outcome, judge
from .scene import Scene
from .world import World

Array = NDArray[np.float64]
Actor = Callable[[World, Scene], tuple[Array, Array]]
"""(world, scene) to deltas (T, 6) and gripper (T,)."""

DT = expert.DT
SETTLED = 5  # decisions without motion that end an episode
LONGEST = 16.0  # s


@dataclass(frozen=True)
class Episode:
    """How an episode ended: the referee's verdict and the simulated time it took [s]."""

    scene: Scene
    outcome: Outcome
    duration: float


def expert_actor(world: World, scene: Scene) -> tuple[Array, Array]:
    """The scripted expert, which sees ground truth."""
    return expert.answer(expert.State.of(world, scene.task.target), scene.task.verb)


def policy_actor(encoder: Encoder, decoder: Decoder) -> Actor:
    """A trained policy, which sees the external camera."""

    def act(world: World, scene: Scene) -> tuple[Array, Array]:
        view = world.render("external")
        chunk = decoder.decode(
            encoder.encode(view.rgb),
            view.depth,
            view.camera,
            view.world_from_camera,
            world.tcp_pose(),
            2.0 * world.joint_state()[2],
            scene.instruction,
            world.time_ns,
        )
        return chunk.deltas, chunk.gripper

    return act


def run_episode(world: World, arm: SimulatedArm, scene: Scene, act: Actor) -> Episode:
    """Let ``act`` carry out the scene's instruction until it rests or the time is up."""
    world.reset(scene)
    arm.reset()
    start, idle = world.time_ns, 0
    while idle < SETTLED and (world.time_ns - start) * 1e-9 < LONGEST:
        deltas, gripper = act(world, scene)
        idle = 0 if np.any(deltas[0]) else idle + 1
        arm.follow(deltas, gripper, dt=DT, seconds=DT)
    return Episode(scene, judge(world, scene), (world.time_ns - start) * 1e-9)
