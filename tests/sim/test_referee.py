"""The referee's verdicts, by putting the arm where the verdict is known."""

import numpy as np
import pytest
from spatial_vla_sim.referee import LIFT, REACH, clearance, judge, tcp_distances
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.shapes import distance, half_extents, reach_along, volume

SIZES = {"cube": (0.02, 0.02, 0.02), "brick": (0.02, 0.03, 0.01), "cylinder": (0.02, 0.03), "ball": (0.03,)}


def _above(world, index: int, gap: float) -> list[float]:
    """A TCP position this far above an object's top [m]."""
    item = world.scene.objects[index]
    x, y, z = world.object_positions()[index]
    return [x, y, z + float(half_extents(item.shape, item.size)[2]) + gap]


@pytest.mark.parametrize("verb", ["touch", "point"])
def test_close_to_the_target_is_success_and_further_is_not(world, arm, verb) -> None:
    for seed in range(3):
        scene = sample_scene(seed, verb)
        world.reset(scene)
        assert judge(world, scene).failure == "missed"
        arm.move(_above(world, scene.task.target, REACH + 0.02))
        outcome = judge(world, scene)
        assert (outcome.success, outcome.failure) == (False, "missed")
        assert abs(outcome.distance - REACH - 0.02) < 2e-3
        arm.move(_above(world, scene.task.target, REACH - 0.006), seconds=0.5)
        outcome = judge(world, scene)
        assert (outcome.success, outcome.failure) == (True, "")
        assert outcome.distractor_displacement < 1e-3


def test_another_object_is_the_wrong_object(world, arm) -> None:
    scene = sample_scene(5, "touch")
    world.reset(scene)
    other = (scene.task.target + 1) % len(scene.objects)
    arm.move(_above(world, other, 0.012))
    assert judge(world, scene).failure == "wrong_object"


def test_touching_a_distractor_on_the_way_fails(world, arm) -> None:
    scene = sample_scene(5, "touch")
    world.reset(scene)
    world.set_gripper(0.0)
    world.step(0.5)
    other = (scene.task.target + 1) % len(scene.objects)
    arm.move(_above(world, other, 0.1))
    arm.move(_above(world, other, 0.0), seconds=0.7)
    assert other in world.record.touched
    arm.move(_above(world, other, 0.1), seconds=0.7)
    arm.move(_above(world, scene.task.target, 0.1))
    arm.move(_above(world, scene.task.target, 0.012), seconds=0.7)
    outcome = judge(world, scene)
    assert not outcome.success and outcome.failure in ("distractor_touched", "distractor_moved")


def test_pick_needs_the_object_up_and_in_the_hand(world, arm) -> None:
    scene = next(s for s in (sample_scene(seed, "pick") for seed in range(50)) if s.target.shape == "cube")
    world.reset(scene)
    assert judge(world, scene).failure == "not_lifted"
    x, y, z = world.object_positions()[scene.task.target]
    yaw = (scene.target.yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4
    arm.move([x, y, 0.15], yaw)
    arm.move([x, y, max(z, 0.027)], yaw, seconds=1.0)
    arm.grip(0.0)
    assert judge(world, scene).failure == "not_lifted"
    arm.move([x, y, 0.2], yaw)
    outcome = judge(world, scene)
    assert outcome.success and outcome.distance == 0.0
    assert clearance(world, scene, scene.task.target) > LIFT
    arm.grip(0.04)
    assert judge(world, scene).failure == "dropped"


def test_distance_is_that_of_the_nearest_surface_point() -> None:
    """Against a dense sampling of each solid's surface."""
    rng = np.random.default_rng(0)
    for shape, size in SIZES.items():
        box = half_extents(shape, size)
        points = rng.uniform(-box, box, (40_000, 3))
        inside = points[[distance(shape, size, p) == 0.0 for p in points]]
        np.testing.assert_allclose(len(inside) / len(points) * 8 * box.prod(), volume(shape, size), rtol=0.03)
        for query in rng.uniform(-0.08, 0.08, (20, 3)):
            nearest = np.linalg.norm(inside - query, axis=1).min()
            assert distance(shape, size, query) <= nearest + 1e-9
            assert nearest - distance(shape, size, query) < 4e-3
        for direction in rng.normal(size=(10, 3)):
            direction /= np.linalg.norm(direction)
            assert 0.0 <= reach_along(shape, size, direction) - (inside @ direction).max() < 4e-3


def test_distances_cover_every_object(world) -> None:
    scene = sample_scene(0)
    world.reset(scene)
    gaps = tcp_distances(world, scene)
    assert len(gaps) == len(scene.objects) and min(gaps) > 0.1
