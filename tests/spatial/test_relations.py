"""Relations: their symmetries, what moves do not change, and the written definitions against a loop over corners."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spatial_vla.geometry import SE3
from spatial_vla.spatial import (
    OPPOSITE,
    Frame,
    OrientedBox,
    Relation,
    RelationTable,
    SceneObject,
    SpatialScene,
    Uncertainty,
    Verdict,
    judge,
)
from spatial_vla_sim.spatial_scenes import SimulatedTables, with_errors

SCENES = [SimulatedTables(things=n).scene(i) for i, n in enumerate((5, 6, 7, 9, 8, 6))]


def turned(angle, shift=(0.0, 0.0, 0.0)):
    return SE3(Rotation.from_euler("z", angle).as_matrix(), np.array(shift))


def thing(name, centre, size, yaw=0.0, category="cube"):
    rotation = Rotation.from_euler("z", yaw).as_matrix()
    return SceneObject(name, category, OrientedBox(np.array(centre, float), np.array(size, float), rotation))


def scene_of(*items):
    # A camera at x = -2 that looks along +x: what it sees on its left is at +y.
    pose = SE3(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([-2.0, 0.0, 0.3]))
    return SpatialScene(tuple(items), SCENES[0].camera, pose)


@pytest.mark.parametrize("scene", SCENES)
def test_a_relation_and_its_opposite_exclude_each_other(scene):
    table = RelationTable(scene)
    for frame, relation in table.kinds():
        if relation not in OPPOSITE:
            continue
        here, there = table.verdicts(frame, relation), table.verdicts(frame, OPPOSITE[relation])
        assert not ((here == 1) & (there == 1)).any()
        if frame != "object":
            np.testing.assert_array_equal(here, there.T)


@pytest.mark.parametrize("scene", SCENES)
def test_moving_everything_changes_nothing_of_objects_and_the_viewer(scene):
    moved = scene.moved(turned(1.1, (0.4, -2.0, 0.7)))
    before, after = RelationTable(scene), RelationTable(moved)
    for frame, relation in before.kinds():
        if frame == "world" and relation in ("left", "right", "front", "behind"):
            continue
        a, b = before.margins(frame, relation).value, after.margins(frame, relation).value
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_the_world_frame_is_the_worlds_and_not_the_cameras():
    scene = SCENES[1]
    around = replace(scene, scene_from_camera=turned(2.0) @ scene.scene_from_camera)
    one, two = RelationTable(scene), RelationTable(around)
    for relation in ("left", "front"):
        np.testing.assert_array_equal(one.verdicts("world", relation), two.verdicts("world", relation))
        assert (one.verdicts("ego", relation) != two.verdicts("ego", relation)).any()
    half_turn = replace(scene, world_from_scene=turned(np.pi))
    np.testing.assert_array_equal(
        RelationTable(half_turn).verdicts("world", "left"), one.verdicts("world", "right")
    )


def interval(box, axis):
    corners = [
        box.centre + box.rotation @ (np.array([a, b, c]) * box.size / 2)
        for a in (-1, 1)
        for b in (-1, 1)
        for c in (-1, 1)
    ]
    values = [float(corner @ axis) for corner in corners]
    return min(values), float(box.centre @ axis), max(values)


@pytest.mark.parametrize("scene", SCENES[:3])
def test_directions_are_as_defined(scene):
    """Loops over corners, one pair at a time."""
    table = RelationTable(scene)
    world_from_camera = scene.scene_from_camera
    gaze = world_from_camera.rotation[:, 2] * (1, 1, 0)
    gaze /= np.linalg.norm(gaze)
    checked = 0
    for i, a in enumerate(scene.objects):
        for j, b in enumerate(scene.objects):
            if i == j:
                continue
            front = b.box.rotation[:, 0]
            axes: dict[tuple[Frame, Relation], np.ndarray] = {
                ("world", "left"): np.array([0.0, 1, 0]),
                ("world", "front"): np.array([-1.0, 0, 0]),
                ("world", "above"): np.array([0.0, 0, 1]),
                ("ego", "front"): -gaze,
                ("object", "front"): front,
                ("object", "left"): np.cross([0, 0, 1], front),
            }
            for (frame, relation), axis in axes.items():
                got = table.margins(frame, relation).value[i, j]
                if frame == "object" and b.category not in ("clock", "speaker"):
                    assert np.isnan(got)
                    continue
                (low, middle, _), (_, b_middle, b_high) = interval(a.box, axis), interval(b.box, axis)
                expected = min(middle - b_high, low - b_middle)
                if relation == "above" and low > b_high - 1e-6 and "tray" not in (a.category, b.category):
                    # Stacked things: the height between their middles. Things apart on the ground: as defined.
                    assert got == pytest.approx(expected, abs=1e-9) or got == pytest.approx(middle - b_middle)
                    continue
                assert got == pytest.approx(expected, abs=1e-9)
                checked += 1
    assert checked > 60


@pytest.mark.parametrize("seed", range(4))
def test_outside_the_ambiguous_band_wrong_boxes_give_right_answers(seed):
    scene = SCENES[seed]
    truth = RelationTable(scene)
    seen = RelationTable(with_errors(scene, np.random.default_rng(seed), 0.004, 0.03))
    said = 0
    for frame, relation in truth.kinds():
        claim, fact = seen.verdicts(frame, relation), truth.margins(frame, relation).value
        assert not ((claim == 1) & (fact < 0)).any(), (frame, relation)
        assert not ((claim == -1) & (fact > 0)).any(), (frame, relation)
        said += int((claim != 0).sum())
    assert said > 200


def test_left_is_left_of_the_viewer_and_in_front_is_nearer():
    scene = scene_of(thing("a", (0, 0.3, 0.05), (0.1,) * 3), thing("b", (0.3, 0, 0.05), (0.1,) * 3))
    for frame in ("ego", "world"):
        assert judge(scene, "a", "left", "b", frame).verdict is Verdict.YES
        assert judge(scene, "a", "front", "b", frame).verdict is Verdict.YES
        assert judge(scene, "b", "front", "a", frame).verdict is Verdict.NO
    assert judge(scene, "a", "left", "b", "object").verdict is Verdict.UNKNOWN


def test_an_object_that_faces_the_viewer_has_its_left_on_the_right_of_the_picture():
    chair = thing("chair", (0.5, 0, 0.25), (0.4, 0.4, 0.5), np.pi, "chair")
    scene = scene_of(chair, thing("cup", (0.5, -0.5, 0.05), (0.1,) * 3, category="cup"))
    assert judge(scene, "cup", "right", "chair", "ego").verdict is Verdict.YES
    assert judge(scene, "cup", "left", "chair", "object").verdict is Verdict.YES


def test_stacked_things_are_above_below_and_on_at_any_height():
    for height in (-1.0, 0.0, 0.7):
        scene = scene_of(
            thing("book", (0, 0, height + 0.02), (0.2, 0.15, 0.04), category="book"),
            thing("cube", (0.02, 0, height + 0.07), (0.06,) * 3),
        )
        for frame in ("ego", "world"):
            assert judge(scene, "cube", "above", "book", frame).verdict is Verdict.YES
            assert judge(scene, "book", "below", "cube", frame).verdict is Verdict.YES
        assert judge(scene, "cube", "on", "book").verdict is Verdict.YES
        assert judge(scene, "book", "under", "cube").verdict is Verdict.YES
        assert judge(scene, "cube", "front", "book").verdict is Verdict.NO


def test_a_taller_thing_on_the_same_floor_is_not_above():
    scene = scene_of(thing("tall", (0, 0, 0.5), (0.2, 0.2, 1.0)), thing("low", (0, 0.5, 0.05), (0.1,) * 3))
    assert judge(scene, "tall", "above", "low").verdict is Verdict.NO


@pytest.mark.parametrize(
    ("category", "inside", "under"),
    [("bowl", "yes", "no"), ("table", "no", "yes"), ("thing", "unknown", "unknown")],
)
def test_what_is_within_a_box_is_inside_a_bowl_and_under_a_table(category, inside, under):
    scene = scene_of(
        thing("outer", (0, 0, 0.35), (1.0, 0.8, 0.7), category=category),
        thing("cube", (0.1, 0, 0.1), (0.2,) * 3),
    )
    assert judge(scene, "cube", "inside", "outer").verdict.value == inside
    assert judge(scene, "cube", "under", "outer").verdict.value == under


def test_between_needs_both_ends_and_the_line():
    ends = (thing("b", (0, -0.3, 0.05), (0.1,) * 3), thing("c", (0, 0.3, 0.05), (0.1,) * 3))
    inside = scene_of(*ends, thing("a", (0.02, 0, 0.05), (0.1,) * 3))
    aside = scene_of(*ends, thing("a", (0.3, 0, 0.05), (0.1,) * 3))
    beyond = scene_of(*ends, thing("a", (0, 0.5, 0.05), (0.1,) * 3))
    assert judge(inside, "a", "between", "b", other="c").verdict is Verdict.YES
    assert judge(aside, "a", "between", "b", other="c").verdict is Verdict.NO
    assert judge(beyond, "a", "between", "b", other="c").verdict is Verdict.NO


def test_what_could_be_either_is_ambiguous():
    a, b = thing("a", (0, 0.06, 0.05), (0.1,) * 3), thing("b", (0, 0, 0.05), (0.1,) * 3)
    assert judge(scene_of(a, b), "a", "left", "b", "world").verdict is Verdict.YES
    unsure = replace(a, uncertainty=Uncertainty(position=0.02))
    answer = judge(scene_of(unsure, b), "a", "left", "b", "world")
    assert answer.verdict is Verdict.AMBIGUOUS and answer.band >= 0.02


def test_gaps_are_distances():
    from scipy.optimize import minimize

    rng = np.random.default_rng(3)
    items = [
        replace(
            thing(f"t{i}", rng.uniform(-0.5, 0.5, 3), rng.uniform(0.1, 0.4, 3)),
            box=OrientedBox(
                rng.uniform(-0.6, 0.6, 3),
                rng.uniform(0.1, 0.4, 3),
                Rotation.random(rng=rng).as_matrix(),
            ),
        )
        for i in range(6)
    ]
    scene = scene_of(*items)
    near = RelationTable(scene).margins("world", "near").value
    for i, a in enumerate(items):
        for j, b in enumerate(items[:i]):
            limit = min(np.linalg.norm(a.box.size), np.linalg.norm(b.box.size))
            bounds = [(-s / 2, s / 2) for s in (*a.box.size, *b.box.size)]

            def squared(x, a=a, b=b):
                gap = a.box.centre + a.box.rotation @ x[:3] - b.box.centre - b.box.rotation @ x[3:]
                return float(gap @ gap)

            gap = np.sqrt(minimize(squared, np.zeros(6), bounds=bounds, tol=1e-14).fun)
            if 1e-3 < gap < limit:
                assert near[i, j] == pytest.approx(limit - gap, abs=1e-5)


def test_questions_about_what_is_not_there_say_what_is():
    scene = scene_of(thing("a", (0, 0, 0), (0.1,) * 3), thing("b", (1, 0, 0), (0.1,) * 3))
    with pytest.raises(KeyError, match="'a', 'b'"):
        judge(scene, "a", "left", "cup")
    with pytest.raises(ValueError, match="expected one of left"):
        judge(scene, "a", "beside", "b")  # type: ignore[arg-type]
