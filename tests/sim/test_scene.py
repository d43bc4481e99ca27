"""Scenes are reproducible, solvable in principle, and hard enough that the sentence matters."""

import itertools

import numpy as np
import pytest
from spatial_vla.language import grammar
from spatial_vla_sim.scene import SPACING, WORKSPACE, Scene, sample_scene

SEEDS = range(200)


def _numbers(scene: Scene) -> list:
    camera = scene.world_from_camera.matrix().tolist()
    return [scene.objects, scene.task, scene.instruction, camera, scene.lighting, scene.joint_positions]


@pytest.mark.parametrize("task", [None, "touch"])
def test_equal_seeds_give_equal_scenes(task) -> None:
    for seed in range(20):
        assert _numbers(sample_scene(seed, task)) == _numbers(sample_scene(seed, task))
    assert _numbers(sample_scene(1, task)) != _numbers(sample_scene(2, task))


def test_the_task_changes_what_is_asked_and_nothing_else() -> None:
    for seed in range(20):
        scenes = [sample_scene(seed, verb) for verb in grammar.VERBS]
        assert [s.task.verb for s in scenes] == list(grammar.VERBS)
        assert len({s.task.target for s in scenes}) == 1
        assert all(s.objects == scenes[0].objects for s in scenes)


def test_objects_are_distinct_apart_and_in_reach() -> None:
    (low_x, high_x), (low_y, high_y) = WORKSPACE
    for scene in map(sample_scene, SEEDS):
        assert 3 <= len(scene.objects) <= 5
        assert len({item.name for item in scene.objects}) == len(scene.objects)
        for item in scene.objects:
            assert low_x <= item.position[0] <= high_x and low_y <= item.position[1] <= high_y
        for a, b in itertools.combinations(scene.objects, 2):
            assert np.linalg.norm(np.subtract(a.position, b.position)[:2]) >= SPACING


def test_the_sentence_names_exactly_the_target() -> None:
    for scene in map(sample_scene, SEEDS):
        command = grammar.parse(scene.instruction)
        assert command.verb == scene.task.verb
        named = [
            i
            for i, o in enumerate(scene.objects)
            if command.object == grammar.ObjectPhrase(o.colour, o.shape)
        ]
        assert named == [scene.task.target]


def test_colour_alone_or_shape_alone_often_does_not_decide() -> None:
    scenes = [sample_scene(seed) for seed in SEEDS]
    for attribute in ("colour", "shape"):
        shared = [
            sum(getattr(o, attribute) == getattr(s.target, attribute) for o in s.objects) > 1 for s in scenes
        ]
        assert np.mean(shared) > 0.5


def test_every_verb_colour_shape_and_target_index_occurs() -> None:
    scenes = [sample_scene(seed) for seed in SEEDS]
    assert {s.task.verb for s in scenes} == set(grammar.VERBS)
    assert {s.target.colour for s in scenes} == set(grammar.COLOURS)
    assert {s.target.shape for s in scenes} == set(grammar.SHAPES)
    assert {s.task.target for s in scenes} == set(range(5))


def test_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'dance'.*touch, point, pick"):
        sample_scene(0, "dance")


def test_render_and_parse_are_inverse() -> None:
    rng = np.random.default_rng(0)
    for verb, colour, shape in itertools.product(grammar.VERBS, grammar.COLOURS, grammar.SHAPES):
        command = grammar.Command(verb, grammar.ObjectPhrase(colour, shape))
        assert grammar.parse(grammar.render(command)) == command
        sentence = grammar.render(command, rng)
        assert grammar.parse(f"  Please, {sentence.upper()}! ") == command
        assert set(sentence.split()) <= set(grammar.words())


@pytest.mark.parametrize("sentence", ["", "dance", "touch the cube", "touch red cube", "lick the red cube"])
def test_other_sentences_are_refused_with_an_example(sentence) -> None:
    with pytest.raises(ValueError, match="touch the red cube"):
        grammar.parse(sentence)
