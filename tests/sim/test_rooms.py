"""Rendered rooms: the pictures fit each other and MuJoCo's rays, and a collection can be continued."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from spatial_vla.posed_rgbd import find_scenes, read_scene
from spatial_vla_sim import ray_camera
from spatial_vla_sim.rooms import CLASSES, photo_scene
from spatial_vla_sim.rooms.atlas import Atlas
from spatial_vla_sim.rooms.render import RenderArgs, render_rooms
from spatial_vla_sim.rooms.trajectory import CLEARANCE, clearance
from spatial_vla_sim.scene import Lighting

SIZE = (80, 60)
ROOM, TABLE_TOP = 3, 2  # of seed 7


@pytest.fixture(scope="module", params=[ROOM, TABLE_TOP], ids=["room", "table-top"])
def scene(request):
    return photo_scene(7, request.param, 8, *SIZE)


def frames_of(scene):
    return [scene.renderer.render(scene.camera, pose) for pose in scene.poses]


def test_both_kinds_are_drawn() -> None:
    assert photo_scene(7, ROOM, 2, *SIZE).kind == "room"
    assert photo_scene(7, TABLE_TOP, 2, *SIZE).kind == "table-top"


def test_tiles_hit_what_casting_everything_hits(scene) -> None:
    model, data = scene.renderer.model, scene.renderer.data
    geoms = np.arange(model.ngeom + 1, dtype=np.int32)
    groups = model.geom_group.copy()
    for pose in scene.poses[::3]:
        fast = scene.renderer.render(scene.camera, pose)
        plain = ray_camera.render(model, data, scene.camera, pose, Lighting(1, 0, 0, (0, 0, 1)), geoms)
        np.testing.assert_allclose(fast.depth, plain.depth, atol=1e-6)
        labels = scene.renderer.surfaces.label[plain.segmentation]
        assert (fast.segmentation == labels).mean() > 0.999
    np.testing.assert_array_equal(model.geom_group, groups)


def test_views_agree_in_space_to_millimetres(scene) -> None:
    """A pixel of one view, put into the world and projected into the next, has the depth that is seen there."""
    frames = frames_of(scene)
    shared = []
    for a, b in pairwise(frames):
        points = a.world_from_camera.apply(a.camera.back_project(a.depth)).reshape(-1, 3)
        in_b = b.world_from_camera.inverse().apply(points)
        pixel = b.camera.project(in_b)
        low = np.floor(np.nan_to_num(pixel, nan=-1.0)).astype(int)
        inside = (low >= 0).all(1) & (low < np.array(SIZE) - 1).all(1)
        (c, r), z, at = low[inside].T, in_b[inside, 2], pixel[inside] - low[inside]
        # Over a plane the inverse depth is linear in the picture; only such places are compared.
        inverse = 1.0 / np.maximum(b.depth, 1e-3)
        corners = np.stack((inverse[r, c], inverse[r, c + 1], inverse[r + 1, c], inverse[r + 1, c + 1]))
        smooth = np.abs(corners[0] - corners[1] - corners[2] + corners[3]) < 1e-4 * corners.mean(0)
        u, v = at.T
        seen = 1.0 / (np.stack(((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v)) * corners).sum(0)
        behind = (z - seen)[smooth]
        assert (behind < -0.02).mean() < 0.01  # nothing is seen through a surface, but past something thin
        close = np.abs(behind[np.abs(behind) < 0.02])  # the others are hidden from b
        shared.append(len(close) / len(points))
        assert np.quantile(close, 0.9) < 0.001  # the rest are skirtings, frames and books
    assert min(shared) > 0.25  # neighbouring views overlap


def test_a_point_has_the_same_colour_from_everywhere(scene) -> None:
    """Correlation of colours at corresponding points; what remains is the texture's filtering."""
    a, b = frames_of(scene)[:2]
    points = a.world_from_camera.apply(a.camera.back_project(a.depth)).reshape(-1, 3)
    in_b = b.world_from_camera.inverse().apply(points)
    nearest = np.rint(np.nan_to_num(b.camera.project(in_b), nan=-1.0)).astype(int)
    inside = (nearest >= 0).all(1) & (nearest < SIZE).all(1)
    column, row = nearest[inside].T
    same = np.abs(b.depth[row, column] - in_b[inside, 2]) < 0.02
    first = a.rgb.reshape(-1, 3)[inside][same].astype(float)
    second = b.rgb[row, column][same].astype(float)
    assert same.sum() > 500
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.85


def test_pictures_show_something(scene) -> None:
    for frame in frames_of(scene):
        assert (frame.depth > 0).mean() > 0.999
        assert frame.rgb.std() > 15 and 40 < frame.rgb.mean() < 225
        assert len(np.unique(frame.segmentation)) >= 3
        assert frame.segmentation.max() < len(CLASSES)


def test_cameras_keep_clear(scene) -> None:
    for pose in scene.poses:
        assert clearance(scene.renderer.model, scene.renderer.data, pose.translation) > 0.8 * CLEARANCE


def test_seeds_decide_everything() -> None:
    first, again = (photo_scene(7, ROOM, 3, *SIZE) for _ in range(2))
    a, b = frames_of(first)[1], frames_of(again)[1]
    np.testing.assert_array_equal(a.rgb, b.rgb)
    np.testing.assert_array_equal(a.depth, b.depth)
    other = frames_of(photo_scene(8, ROOM, 3, *SIZE))[1]
    assert not np.array_equal(a.depth, other.depth)


def test_an_atlas_is_periodic_bilinear_and_reduces() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.float32) / 255.0
    atlas = Atlas([np.zeros((16, 16, 3), np.float32), picture])
    one = np.ones(4, np.int64)
    uv = np.array(
        [[0.5 / 16, 0.5 / 16], [5.5 / 16, 2.5 / 16], [6.0 / 16, 2.5 / 16], [1 + 5.5 / 16, -1 + 2.5 / 16]]
    )
    colours = atlas.look_up(one, uv.astype(np.float32), np.zeros(4, np.float32))
    expected = [picture[0, 0], picture[2, 5], (picture[2, 5] + picture[2, 6]) / 2, picture[2, 5]]
    np.testing.assert_allclose(colours, expected, atol=2e-3)
    far = atlas.look_up(one, uv.astype(np.float32), np.ones(4, np.float32))
    blocks = picture.reshape(4, 4, 4, 4, 3).mean((1, 3))
    assert far.std() < picture.std() / 2 and np.abs(far.mean(0) - blocks.mean((0, 1))).max() < 0.25


def args(folder, **more):
    return RenderArgs(**{"out": folder, "scenes": 2, "views": 3, "size": "48x36", "val_every": 2, **more})


def test_a_collection_is_written_split_and_continued(tmp_path, monkeypatch) -> None:
    render_rooms(args(tmp_path, scenes=1))
    first = tmp_path / "scene-00000/scene.json"
    written = first.stat().st_mtime_ns
    left = tmp_path / "scene-00001.partial"  # what an interrupted run leaves
    left.mkdir()
    (left / "rubbish").touch()
    render_rooms(args(tmp_path))
    assert first.stat().st_mtime_ns == written
    scenes = [read_scene(folder) for folder in find_scenes(tmp_path)]
    assert [scene.split for scene in scenes] == ["train", "val"]
    assert not left.exists() and not (tmp_path / "scene-00001/rubbish").exists()
    photographed = photo_scene(0, 1, 3, 48, 36)
    for index, frame in enumerate(frames_of(photographed)):
        np.testing.assert_array_equal(scenes[1].color(index), frame.rgb)
        np.testing.assert_array_equal(scenes[1].segmentation(index), frame.segmentation)
        np.testing.assert_allclose(scenes[1].depth(index), frame.depth, atol=1.01e-4)
        np.testing.assert_allclose(scenes[1].frames[index].camera_to_world, frame.world_from_camera.matrix())
    assert scenes[1].classes == CLASSES


def test_an_interrupted_scene_is_not_there(tmp_path, monkeypatch) -> None:
    def fail(scene):
        raise KeyboardInterrupt

    monkeypatch.setattr("spatial_vla_sim.rooms.render.write_scene", fail)
    with pytest.raises(KeyboardInterrupt):
        render_rooms(args(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["scene-00000.partial"]


@pytest.mark.parametrize("bad", [{"size": "320"}, {"size": "8x8"}, {"views": 0}])
def test_arguments_that_make_no_sense_are_refused(tmp_path, bad) -> None:
    with pytest.raises(ValueError, match="expected"):
        render_rooms(args(tmp_path, **bad))
