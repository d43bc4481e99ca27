"""Free places and placements, checked by MuJoCo's rays, exact solids and random search."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spatial_vla.geometry import PinholeCamera
from spatial_vla.spatial import (
    OrientedBox,
    RelationTable,
    SceneObject,
    SpatialScene,
    Verdict,
    compatibility,
    floor_surface,
)
from spatial_vla.spatial.annotate import annotate
from spatial_vla.spatial.boxes import BoxArray
from spatial_vla.spatial.cloud import CloudOccupancy
from spatial_vla.spatial.compatibility import fits
from spatial_vla.spatial.free_space import BoxOccupancy, ContextRules, free_points, supports
from spatial_vla.spatial.placement import fits_turned
from spatial_vla.spatial.visibility import object_views
from spatial_vla_sim.scene import look_at, sample_scene
from spatial_vla_sim.spatial_scenes import SimulatedTables, world_scene
from spatial_vla_sim.world import World

TABLES = SimulatedTables(things=8)
SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
def test_free_points_are_free_seen_and_where_they_are_said_to_be(seed, gap_to_solids):
    arrangement = TABLES.arrangement(seed)
    scene = arrangement.scene
    found = free_points(scene, range(len(scene.objects)), np.random.default_rng(seed))
    assert sum(len(f.points) for f in found.values()) > 50
    inverse = scene.scene_from_camera.inverse()
    rotation, _ = cv2.Rodrigues(inverse.rotation)
    for anchor, free in found.items():
        if not len(free.points):
            continue
        projected, _ = cv2.projectPoints(
            free.points, rotation, inverse.translation, scene.camera.K, np.zeros(4)
        )
        np.testing.assert_allclose(projected[:, 0], free.pixels, atol=1e-6)
        assert (arrangement.first_hit(free.points) < 1e-3).all()
        owner = scene.surfaces[supports(scene)[anchor]].owner
        for point in free.points:
            # On top of a thing, that thing is what the point touches.
            assert owner is not None or gap_to_solids(arrangement, point) >= 0.01 - 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_points_are_on_the_side_that_a_small_box_there_would_be(seed):
    scene = TABLES.scene(seed)
    found = free_points(scene, range(len(scene.objects)), np.random.default_rng(1))
    checked = 0
    for anchor, free in found.items():
        for (frame, direction), rows in free.directions.items():
            for row in rows[:2]:
                dot = SceneObject("dot", "dot", OrientedBox(free.points[row], np.full(3, 1e-6), np.eye(3)))
                with_dot = replace(scene, objects=(*scene.objects, dot))
                margins = RelationTable(with_dot).margins(frame, direction).value
                assert margins[-1, anchor] > -1e-5
                checked += 1
    assert checked > 30


def test_the_same_seed_gives_the_same_points():
    scene = TABLES.scene(0)
    one, two = (free_points(scene, [0, 1, 2], np.random.default_rng(5)) for _ in range(2))
    for anchor in one:
        np.testing.assert_array_equal(one[anchor].points, two[anchor].points)


def test_free_space_from_depth_never_claims_what_boxes_deny():
    arrangement = TABLES.arrangement(3)
    scene, table = arrangement.scene, arrangement.scene.surfaces[0]
    # Depth by casting a ray per pixel of a small picture.
    camera = scene.camera.resized(160, 120)
    rays = camera.rays().reshape(-1, 3)
    ends = scene.scene_from_camera.apply(rays * 3.0)
    eye = scene.scene_from_camera.translation
    depth = 3.0 * (1.0 - arrangement.first_hit(ends) / np.linalg.norm(ends - eye, axis=1))
    depth[depth >= 3.0] = 0.0
    cloud = CloudOccupancy.from_depth(
        table, depth.reshape(120, 160), camera, scene.scene_from_camera, cell=0.02
    )
    boxes = BoxOccupancy(scene, table)
    spots = np.random.default_rng(0).uniform(-0.5, 0.5, (3000, 2))
    free = cloud.clearance(spots) > 0.01
    assert free.sum() > 300
    assert (boxes.clearance(spots)[free] > 0.0).all()


def test_an_observed_grid_is_conservative():
    surface = floor_surface((0, 0), (1, 1), 0.5)
    steps = np.linspace(0.005, 0.995, 100)
    x, y = (g.ravel() for g in np.meshgrid(steps, steps))
    z = np.where((abs(x - 0.5) < 0.1) & (abs(y - 0.5) < 0.1), 0.6, 0.5)
    grid = CloudOccupancy.from_points(surface, np.column_stack((x, y, z)))
    spots = np.random.default_rng(0).uniform(0, 1, (500, 2))
    truth = np.hypot(*(np.abs(spots - 0.5) - 0.1).clip(0.0).T)
    claimed = grid.clearance(spots)
    assert (claimed <= truth + 0.011).all()
    assert claimed.max() > 0.1


def random_fit(scene, limits, subject, reference, direction, rng, tries=1500):
    """A placement that fits, found by trying: left, right, front or behind in the world; None if none is found."""
    a, b = scene.objects[subject].box, scene.objects[reference].box
    axis, sign = {"left": (1, 1), "right": (1, -1), "front": (0, -1), "behind": (0, 1)}[direction]
    flat = b.centre[:2]
    around = np.hypot(*b.size[:2]) / 2 + np.hypot(*a.size[:2]) / 2 + max(a.size[:2])
    corners = np.array([(i, j) for i in (-1, 1) for j in (-1, 1)]) * a.size[:2] / 2
    turn = a.rotation[:2, :2]

    def hull(centre, rotation, size, steps=9):
        s = np.linspace(-1, 1, steps)
        grid = np.stack(np.meshgrid(s, s), -1).reshape(-1, 2)
        return centre + (grid * size[:2] / 2) @ rotation[:2, :2].T

    others = [i for i in range(len(scene.objects)) if i != subject]
    for _ in range(tries):
        at, angle = flat + rng.uniform(-around, around, 2), rng.uniform(0, np.pi)
        rotation = Rotation.from_euler("z", angle).as_matrix()[:2, :2] @ turn
        mine = at + corners @ rotation.T
        if (np.abs(mine) > limits).any():
            continue
        theirs = hull(flat, b.rotation, b.size)
        beyond = sign * (at[axis] - flat[axis])
        if beyond < max(np.abs(mine - at)[:, axis].max(), np.abs(theirs - flat)[:, axis].max()):
            continue
        dense = hull(at, rotation, a.size)
        if np.linalg.norm(dense[:, None] - theirs[None], axis=-1).min() > max(a.size[:2]):
            continue
        for other in others:
            box = scene.objects[other].box
            if box.centre[2] - box.size[2] / 2 > a.size[2]:
                continue
            local = np.abs((dense - box.centre[:2]) @ box.rotation[:2, :2]) - box.size[:2] / 2
            back = np.abs((hull(box.centre[:2], box.rotation, box.size) - at) @ rotation) - a.size[:2] / 2
            if (local < 0.004).all(axis=1).any() or (back < 0.004).all(axis=1).any():
                break
        else:
            return at, angle
    return None


def test_can_comes_with_a_placement():
    can = 0
    for seed in range(6):
        arrangement = SimulatedTables(things=9).arrangement(seed)
        scene = arrangement.scene
        for fit in fits(scene, range(9), range(9)):
            if fit.place is not None:
                place = fit.place
                item = scene.objects[fit.subject]
                turn = Rotation.from_euler("z", fit.yaw).as_matrix()
                box = item.box
                centre = np.array((*place[:2], place[2] + box.centre[2] - scene.boxes.low[fit.subject]))
                moved = replace(item, box=OrientedBox(centre, box.size, turn @ box.rotation))
                objects = tuple(moved if i == fit.subject else o for i, o in enumerate(scene.objects))
                if can % 40 == 0:
                    there = RelationTable(replace(scene, objects=objects))
                    assert there.margins(fit.frame, fit.direction).value[fit.subject, fit.reference] > 0
                    near = there.margins("world", "near").value[fit.subject]
                    limit = 2 * np.minimum(scene.boxes.radius, scene.boxes.radius[fit.subject])
                    gaps = np.delete(limit - near, fit.subject)
                    assert gaps.min() > -1e-9
                    assert (arrangement.first_hit(np.array([place])) < 2e-3).all()
                can += 1
    assert can > 500


def crowded(rng):
    """A big box and four cubes on a small table, seen from above."""
    items = [
        SceneObject(
            "box", "box", OrientedBox(np.array([5.0, 0, 0.05]), np.array([0.2, 0.24, 0.1]), np.eye(3))
        )
    ]
    for number in range(4):
        at, size = rng.uniform(-0.2, 0.2, 2), rng.uniform(0.04, 0.08, 3)
        turn = Rotation.from_euler("z", rng.uniform(0, 3)).as_matrix()
        items.append(
            SceneObject(f"cube {number}", "cube", OrientedBox(np.array([*at, size[2] / 2]), size, turn))
        )
    pose = look_at((0.05, 0.0, 2.5), (0.0, 0.0, 0.0))
    camera = PinholeCamera(640, 480, 300.0, 300.0, 319.5, 239.5)
    return SpatialScene(tuple(items), camera, pose, (floor_surface((-0.25, -0.25), (0.25, 0.25), 0.0),))


def test_cannot_withstands_a_search():
    rng, cannot, found = np.random.default_rng(0), 0, 0
    for _ in range(12):
        scene = crowded(rng)
        for fit in fits(scene, [0], range(1, 5)):
            if fit.frame != "world":
                continue
            place = random_fit(scene, (0.25, 0.25), fit.subject, fit.reference, fit.direction, rng, 400)
            found += place is not None
            if fit.verdict is Verdict.NO:
                assert place is None, fit
                cannot += 1
    assert cannot > 20 and found > 20


def _rectangle(centre, axes, half):
    angle = np.rad2deg(np.arctan2(axes[0, 1], axes[0, 0]))
    return (tuple(100.0 * centre), tuple(200.0 * half), float(angle))


def test_turned_rectangles_meet_where_opencv_says_so():
    rng, count, turns = np.random.default_rng(4), 30, 6
    obstacles = BoxArray.of(
        [
            OrientedBox(
                rng.uniform(-0.5, 0.5, 3), rng.uniform(0.05, 0.3, 3), Rotation.from_euler("z", a).as_matrix()
            )
            for a in rng.uniform(-3.0, 3.0, 3)
        ]
    ).footprints
    surface = floor_surface((-0.6, -0.5), (0.6, 0.5), 0.0)
    normals, offsets = surface.edges
    spots, half = rng.uniform(-0.45, 0.45, (count, 2)), rng.uniform(0.02, 0.12, (count, 2))
    axes = Rotation.from_euler("z", rng.uniform(-3.0, 3.0, (count, 1))).as_matrix()[:, :2, :2].swapaxes(1, 2)
    edges = np.broadcast_to(normals, (count, *normals.shape)), spots @ normals.T - offsets
    every = np.ones((count, 3), bool)
    got = fits_turned(spots, axes, half, turns, obstacles, np.zeros(3), every, edges, np.zeros(count))
    wanted = np.ones((count, turns), bool)
    for p in range(count):
        for t in range(turns):
            turned = axes[p] @ Rotation.from_euler("z", np.pi * t / turns).as_matrix()[:2, :2].T
            mine = _rectangle(spots[p], turned, half[p])
            corners = np.asarray(cv2.boxPoints(mine), np.float64) / 100.0
            wanted[p, t] = (surface.margin(corners) >= 0.0).all()
            for theirs in map(_rectangle, obstacles.centre, obstacles.axes, obstacles.half):
                wanted[p, t] &= cv2.rotatedRectangleIntersection(mine, theirs)[0] == cv2.INTERSECT_NONE
    np.testing.assert_array_equal(got, wanted)
    assert 0.2 < wanted.mean() < 0.8


def test_answers_do_not_depend_on_how_many_are_looked_for_at_once(monkeypatch):
    scene, every = TABLES.scene(2), range(8)
    at_once = fits(scene, every, every)
    monkeypatch.setattr(compatibility, "_AT_ONCE", 1)
    assert fits(scene, every, every) == at_once


def test_a_picture_of_nothing_has_an_empty_record():
    record = annotate(replace(TABLES.scene(0), objects=(), surfaces=()))
    assert not record["objects"] and not record["compatibility"] and not record["context"]


def test_out_of_the_picture_is_no_evidence():
    scene = crowded(np.random.default_rng(1))
    answers = {
        (f.reference, f.direction): f.verdict for f in fits(scene, [0], range(1, 5)) if f.frame == "world"
    }
    assert Verdict.NO in answers.values()
    narrow = replace(scene, camera=PinholeCamera(640, 480, 2500.0, 2500.0, 319.5, 239.5))
    assert {f.verdict for f in fits(narrow, [0], range(1, 5))} == {Verdict.UNKNOWN}


def test_seen_shares_agree_with_rays_to_the_solids():
    arrangement = SimulatedTables(things=10).arrangement(2)
    scene = arrangement.scene
    views = object_views(scene)
    assert (views.share >= 0).all() and (views.share <= 1 + 1e-9).all()
    seen = np.flatnonzero(views.share > 0)
    np.testing.assert_allclose(scene.pixels(views.points[seen]), views.pixels[seen], atol=1e-9)
    low, high = views.bounds[seen, :2], views.bounds[seen, 2:]
    assert ((views.pixels[seen] >= low - 1) & (views.pixels[seen] <= high + 1)).all()
    assert (arrangement.first_hit(views.points[seen]) < 1e-3).all()


def test_places_out_of_sight_are_not_asked_for_visible_ones():
    scene = TABLES.scene(1)
    seen = free_points(scene, [0, 1], np.random.default_rng(0))
    every = free_points(scene, [0, 1], np.random.default_rng(0), ContextRules(visible_only=False))
    assert sum(len(f.points) for f in every.values()) > sum(len(f.points) for f in seen.values())


def test_the_simulated_world_as_a_scene():
    world = World()
    world.reset(sample_scene(3))
    scene = world_scene(world)
    assert [item.name for item in scene.objects] == [item.name for item in world.scene.objects]
    np.testing.assert_allclose(scene.boxes.centre, world.object_positions())
    assert (supports(scene)[:] == 0).all()
