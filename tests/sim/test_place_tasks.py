"""Places named by words: the expert gets there, and the referee tells right from wrong."""

from dataclasses import replace

import numpy as np
import pytest
from spatial_vla.grounding import NoPlace
from spatial_vla_sim import place_tasks
from spatial_vla_sim.arm import SimulatedArm
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.spatial_scenes import world_scene
from spatial_vla_sim.world import World


@pytest.fixture(scope="module")
def bench():
    world = World(32)
    return world, SimulatedArm(world)


@pytest.mark.parametrize(("verb", "seed"), [("touch", 3), ("point", 4), ("put", 3)])
def test_the_expert_makes_the_words_true(bench, verb, seed):
    world, arm = bench
    scene = sample_scene(seed)
    world.reset(scene)
    before = place_tasks.judge(world, place_tasks.draw(world, np.random.default_rng((seed, 2)), verb))
    given, outcome = place_tasks.run_place_task(world, arm, scene, verb)
    assert not before.success
    assert outcome.success, (given.sentence, outcome)
    assert outcome.margin > 0.0


def test_the_same_words_in_another_view_are_another_place(bench):
    world, _ = bench
    world.reset(sample_scene(3))
    scene, name = world_scene(world), world.scene.objects[0].name
    far = place_tasks.task(scene, f"touch the place behind the {name}, seen from the robot").goal.place
    near = place_tasks.task(scene, f"touch the place behind the {name}, seen from the camera").goal.place
    at = world.object_positions()[0]
    # The camera looks back at the robot.
    assert near[0] < at[0] < far[0]


def test_a_crowded_table_is_said(bench):
    world, _ = bench
    world.reset(sample_scene(3))
    scene = replace(world_scene(world), surfaces=())
    with pytest.raises(NoPlace, match="no surface that is known"):
        place_tasks.task(scene, f"touch the place behind the {world.scene.objects[0].name}")
