"""The scripted expert, which labels every demonstration, must itself be able to do the tasks.

This is also the guard against physics that changes between MuJoCo versions.
"""

import numpy as np
import pytest
from spatial_vla_sim import expert
from spatial_vla_sim.arm import SimulatedArm
from spatial_vla_sim.closed_loop import expert_actor, run_episode
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def arm(world: World) -> SimulatedArm:
    return SimulatedArm(world)


@pytest.mark.parametrize("verb", ["touch", "point", "pick"])
def test_expert_succeeds_through_the_real_motion_stage(world: World, arm: SimulatedArm, verb: str) -> None:
    outcomes = [run_episode(world, arm, sample_scene(seed, verb), expert_actor).outcome for seed in range(8)]
    assert sum(o.success for o in outcomes) >= 7, [o.failure for o in outcomes]


def test_expert_is_a_function_of_the_state(world: World) -> None:
    world.reset(sample_scene(3))
    state = expert.State.of(world, 0)
    first, again = expert.answer(state, "pick"), expert.answer(state, "pick")
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])


def test_steps_stay_within_the_longest_step(world: World) -> None:
    for seed in range(20):
        world.reset(sample_scene(seed))
        for verb in ("touch", "point", "pick"):
            deltas, gripper = expert.answer(expert.State.of(world, 0), verb)
            assert np.linalg.norm(deltas[:, :3], axis=1).max() <= expert.MAX_STEP + 1e-9
            assert np.linalg.norm(deltas[:, 3:], axis=1).max() <= expert.MAX_TURN + 1e-9
            assert set(gripper) <= {0.0, 1.0}


def test_expert_rests_above_the_object_it_was_told_to_touch(world: World, arm: SimulatedArm) -> None:
    run_episode(world, arm, sample_scene(5, "touch"), expert_actor)
    deltas, _ = expert.answer(expert.State.of(world, world.scene.task.target), "touch")
    assert not deltas.any()
