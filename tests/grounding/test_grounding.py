"""Answers and goals in scenes of the simulated table, judged by plain loops over corners."""

from dataclasses import replace

import numpy as np
import pytest
from spatial_vla.grounding import NoPlace, answer, ground, reached
from spatial_vla.language.spatial_grammar import parse_question
from spatial_vla.spatial import OrientedBox, SceneObject, Uncertainty, Verdict, top_surfaces
from spatial_vla_sim import spatial_truth
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.spatial_scenes import world_scene
from spatial_vla_sim.world import World

FRONTS = ("cube", "brick")


@pytest.fixture(scope="module")
def world():
    return World(32)


def scene_of(world, seed):
    world.reset(sample_scene(seed))
    scene = world_scene(world)
    things = [
        replace(o, traits=replace(o.known_traits, front=True)) if o.category in FRONTS else o
        for o in scene.objects
    ]
    return replace(scene, objects=tuple(things))


@pytest.mark.parametrize("seed", range(4))
def test_random_questions_are_answered_with_the_truth(world, seed):
    scene, rng = scene_of(world, seed), np.random.default_rng(seed)
    names = [item.name for item in scene.objects]
    for _ in range(25):
        asked = spatial_truth.draw(world, rng, FRONTS)
        question = parse_question(asked.sentence, names)
        found = answer(question, scene)
        assert found.verdict is not None
        assert not spatial_truth.wrong(world, asked, found.verdict.value, found.points.tolist(), FRONTS), (
            asked,
            found.text,
        )
        assert np.allclose(found.pixels, scene.pixels(found.points), equal_nan=True)


def test_margins_within_the_uncertainty_are_not_decided(world):
    scene = scene_of(world, 0)
    names = [item.name for item in scene.objects]
    asked = parse_question(f"is the {names[0]} left of the {names[1]}?", names)
    sure = answer(asked, scene)
    unsure = [replace(o, uncertainty=Uncertainty(abs(sure.margin))) for o in scene.objects]
    found = answer(asked, replace(scene, objects=tuple(unsure)))
    assert found.verdict is Verdict.AMBIGUOUS
    assert found.margin == pytest.approx(sure.margin) and found.band > abs(found.margin)
    assert "within the uncertainty" in found.text


def test_what_is_asked_of_a_thing_without_front_has_no_answer(world):
    scene = world_scene(world)
    a, b = (item.name for item in scene.objects[:2])
    found = answer(parse_question(f"from {b}'s point of view, is the {a} behind the {b}?", [a, b]), scene)
    assert found.verdict is Verdict.UNKNOWN and "no front" in found.text


@pytest.mark.parametrize("relation", ["left of", "behind", "near"])
def test_the_words_are_true_of_a_thing_put_at_any_place_of_the_goal(world, relation):
    scene = scene_of(world, 5)
    a, b = (item.name for item in scene.objects[:2])
    goal = ground(f"put the {a} {relation} the {b}, seen from the robot", scene)
    key = {"left of": "left"}.get(relation, relation)
    asked = spatial_truth.Asked("", "relation", key, goal.placement.frame, a, b)
    for row in np.linspace(0, len(goal.points) - 1, 12).astype(int):
        things = spatial_truth.solids(world)
        old = things[a]
        lift = np.array((0.0, 0.0, float(old.half[2])))
        things[a] = spatial_truth.Solid(type(old.pose)(old.pose.rotation, goal.points[row] + lift), old.half)
        assert spatial_truth.margin(world, asked, things) > 0.0
        for name, other in things.items():
            if name != a:
                away = np.linalg.norm((other.pose.translation - goal.points[row])[:2])
                assert away > np.hypot(*old.half[:2]) + other.half[:2].min()


def test_on_top_of_something(world):
    scene = scene_of(world, 0)
    box = SceneObject(
        "crate", "crate", OrientedBox(np.array((0.5, 0.5, 0.05)), np.array((0.2, 0.2, 0.1)), np.eye(3))
    )
    objects = (*scene.objects, box)
    scene = replace(scene, objects=objects, surfaces=(scene.surfaces[0], *top_surfaces(objects)))
    name = scene.objects[0].name
    goal = ground(f"put the {name} on the crate", scene)
    assert goal.place[2] == pytest.approx(0.1) and np.abs(goal.points[:, :2] - 0.5).max() < 0.1
    inside = ground(f"put the {name} in the crate", scene)
    assert inside.place[2] < 0.05
    assert reached(goal.placement, scene).verdict is Verdict.NO


def test_where_the_hand_has_to_be(world):
    scene = scene_of(world, 2)
    name = scene.objects[0].name
    goal = ground(f"point at the place behind the {name}, seen from the robot", scene)
    assert goal.placement.subject is None
    there = goal.place + np.array((0.0, 0.0, 0.01))
    assert reached(goal.placement, scene, there).verdict is Verdict.YES
    assert reached(goal.placement, scene, scene.objects[0].box.centre).verdict is not Verdict.YES
    with pytest.raises(ValueError, match="give its position"):
        reached(goal.placement, scene)


def test_no_place_is_said_with_the_reason(world):
    scene = scene_of(world, 0)
    a, b = (item.name for item in scene.objects[:2])
    with pytest.raises(NoPlace, match="'above' names no place to stand; expected one of left"):
        ground(f"put the {a} above the {b}", scene)
    bare = replace(scene, surfaces=())
    with pytest.raises(NoPlace, match="stands on no surface that is known"):
        ground(f"put the {a} left of the {b}", bare)
