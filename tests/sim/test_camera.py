"""The ray camera: where a pixel says something is, there it is."""

import numpy as np
import pytest
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.shapes import distance
from spatial_vla_sim.world import World


def _world_points(frame) -> np.ndarray:
    return frame.world_from_camera.apply(frame.camera.back_project(frame.depth))


@pytest.mark.parametrize("camera", ["external", "wrist"])
def test_object_pixels_lie_on_the_object(world, camera) -> None:
    seen = 0
    for seed in range(5):
        scene = sample_scene(seed)
        world.reset(scene)
        frame = world.render(camera)
        points, poses = _world_points(frame), world.object_poses()
        for index, (item, pose) in enumerate(zip(scene.objects, poses, strict=True)):
            on_object = pose.inverse().apply(points[frame.segmentation == index])
            seen += len(on_object)
            shrunk = tuple(s - 1e-4 for s in item.size)
            for point in on_object[::25]:
                assert distance(item.shape, item.size, point) < 1e-5
                assert distance(item.shape, shrunk, point) > 0.0
    assert seen > 1000


def test_the_table_is_flat_at_zero(world) -> None:
    world.reset(sample_scene(3))
    frame = world.render("external")
    lower = (frame.segmentation == -1) & (np.arange(224)[:, None] > 190)
    np.testing.assert_allclose(_world_points(frame)[lower][:, 2], 0.0, atol=1e-6)


def test_objects_project_to_where_they_are_seen(world) -> None:
    """A half-pixel shift of the pixel grid would show: the mean over many balls is sharp."""
    errors = []
    for seed in range(60):
        scene = sample_scene(seed)
        balls = [i for i, item in enumerate(scene.objects) if item.shape == "ball"]
        if not balls:
            continue
        world.reset(scene)
        frame = world.render("external")
        for i in balls:
            v, u = np.nonzero(frame.segmentation == i)
            centre = frame.world_from_camera.inverse().apply(world.object_positions()[i])
            if len(u) > 100:
                errors.append(np.array([u.mean(), v.mean()]) - frame.camera.project(centre))
    assert len(errors) > 30
    assert np.abs(np.mean(errors, axis=0)).max() < 0.15


def test_every_object_is_in_the_picture_at_home(world) -> None:
    """Whole and, but for what stands in front of it, visible: the picture decides the task."""
    for seed in range(40):
        world.reset(sample_scene(seed))
        frame = world.render("external")
        border = np.concatenate((frame.segmentation[[0, -1]].ravel(), frame.segmentation[:, [0, -1]].ravel()))
        assert (border == -1).all()
        counts = [int((frame.segmentation == i).sum()) for i in range(len(world.scene.objects))]
        assert min(counts) > 40, (seed, counts)


def test_same_seed_same_pixels() -> None:
    frames = []
    for _ in range(2):
        world = World()
        world.reset(sample_scene(7))
        world.step(0.1)
        frames.append((world.render("external"), world.render("wrist")))
    for one, other in zip(*frames, strict=True):
        assert np.array_equal(one.rgb, other.rgb)
        assert np.array_equal(one.depth, other.depth)
        assert np.array_equal(one.segmentation, other.segmentation)


def test_a_frozen_view_does_not_change(world, arm) -> None:
    world.reset(sample_scene(2))
    before = world.render("external").rgb
    frozen = world.view().frozen()
    arm.move([0.5, 0.1, 0.2], seconds=1.0)
    assert np.array_equal(frozen.render("external").rgb, before)
    assert not np.array_equal(world.render("external").rgb, before)


def test_wrist_camera_sits_where_the_urdf_says(world) -> None:
    world.reset(sample_scene(0))
    frame = world.render("wrist")
    expected = world.link_pose("wrist_camera_optical_frame")
    np.testing.assert_allclose(frame.world_from_camera.matrix(), expected.matrix())
    tcp_pixel = frame.camera.project(expected.inverse().apply(world.tcp_pose().translation))
    assert (tcp_pixel > 0).all() and (tcp_pixel < 224).all()


def test_unknown_camera_is_refused(world) -> None:
    world.reset(sample_scene(0))
    with pytest.raises(ValueError, match=r"'ceiling'.*external, wrist"):
        world.render("ceiling")
