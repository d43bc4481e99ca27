"""From views to a sample: the fixed path against loops over pixels, and what random draws must keep."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from spatial_models.spa.data import RejectedSample, Sampling, build_sample
from spatial_models.spa.data.jitter import ColorJitter
from spatial_models.spa.data.sample import choose_frames, remove_outliers

from .conftest import HEIGHT, WIDTH, K

SMALL = Sampling(crop=32, short_side=(33.0, 40.0), views=(1, 4), interval=1, rays_per_view=50)


def oracle(views, crop, short_side):
    """Float64 loops over pixels: resize, crop, first camera as world, outliers, rays, box, slabs."""
    factor = short_side / HEIGHT
    w, h = int(WIDTH * factor), int(HEIGHT * factor)
    x0, y0 = (w - crop) // 2, (h - crop) // 2
    images, depths, matrices, poses = [], [], [], []
    for view in views:
        image = np.asarray(Image.fromarray(view.color).resize((w, h), Image.Resampling.LANCZOS))
        images.append(image[y0 : y0 + crop, x0 : x0 + crop] / 255.0)
        resized = np.zeros((h, w))
        for y in range(h):
            for x in range(w):
                resized[y, x] = view.depth[int(y * HEIGHT / h), int(x * WIDTH / w)]
        depths.append(resized[y0 : y0 + crop, x0 : x0 + crop])
        matrix = view.intrinsics.copy()
        matrix[0] *= w / WIDTH
        matrix[1] *= h / HEIGHT
        matrix[0, 2] -= x0
        matrix[1, 2] -= y0
        matrices.append(matrix)
        poses.append(np.linalg.inv(views[0].camera_to_world) @ view.camera_to_world)
    valid = sorted(d for depth in depths for d in depth.ravel() if d > 0)
    k = int(0.05 * len(valid))
    low, high = valid[k - 1], valid[len(valid) - k]
    rays = []
    for number, (depth, matrix, pose) in enumerate(zip(depths, matrices, poses, strict=True)):
        for v in range(crop):
            for u in range(crop):
                known = low < depth[v, u] < high
                z = depth[v, u] if known else 1.0
                end = np.array(
                    [(u - matrix[0, 2]) / matrix[0, 0] * z, (v - matrix[1, 2]) / matrix[1, 1] * z, z]
                )
                end = pose[:3, :3] @ end + pose[:3, 3]
                length = np.linalg.norm(end - pose[:3, 3])
                rays.append(
                    (number, u, v, pose[:3, 3], (end - pose[:3, 3]) / length, length if known else 0.0, end)
                )
    points = np.array([ray[6] for ray in rays if ray[5] > 0])
    box = np.array([points.min(0), points.max(0)])
    spans = []
    for _, _, _, origin, direction, _, _ in rays:
        near, far = 0.1, np.inf
        for axis in range(3):
            a, b = (box[:, axis] - origin[axis]) / (direction[axis] + 1e-6)
            near, far = max(near, min(a, b)), min(far, max(a, b))
        spans.append((near, far) if near < far else (0.0, 0.0))
    scale = np.mean([ray[5] for ray in rays if ray[5] > 0])
    return np.array(images), matrices, poses, box, scale, rays, np.array(spans)


def test_the_fixed_path_is_what_loops_over_pixels_give(recording) -> None:
    views = [recording.view(i) for i in range(3)]
    sample = build_sample(views, SMALL)
    images, matrices, poses, box, scale, rays, spans = oracle(views, 32, 33.0)
    assert torch.equal(sample.images, torch.from_numpy(images).permute(0, 3, 1, 2).float())
    for i in range(3):
        np.testing.assert_allclose(sample.intrinsics[i, :3, :3], matrices[i], rtol=1e-6)
        np.testing.assert_allclose(sample.world_to_camera[i], np.linalg.inv(poses[i]), atol=1e-6)
    assert torch.equal(sample.world_to_camera[0], torch.eye(4))
    np.testing.assert_allclose(sample.box, box, atol=1e-6)
    np.testing.assert_allclose(sample.scale, scale, rtol=1e-6)
    assert len(sample.rays) == 3 * 32 * 32
    assert sample.rays.view.tolist() == [ray[0] for ray in rays]
    np.testing.assert_array_equal(sample.rays.pixel, [[ray[1], ray[2]] for ray in rays])
    np.testing.assert_allclose(sample.rays.origin, [ray[3] for ray in rays], atol=1e-6)
    np.testing.assert_allclose(sample.rays.direction, [ray[4] for ray in rays], atol=1e-6)
    np.testing.assert_allclose(sample.rays.depth, [ray[5] for ray in rays], rtol=1e-6)
    # A ray that grazes an edge may hit in one precision and miss in the other; the rest agrees.
    agree = np.isclose(np.stack((sample.rays.near, sample.rays.far), 1), spans, rtol=1e-5, atol=1e-5).all(1)
    assert agree.mean() > 0.999


def test_a_random_sample_is_of_the_same_kind(recording) -> None:
    views = [recording.view(i) for i in range(4)]
    sample = build_sample(views, SMALL, np.random.default_rng(3))
    rays = sample.rays
    assert sample.images.shape == (4, 3, 32, 32) and rays.view.bincount().tolist() == [50] * 4
    assert bool((rays.depth > 0).all()) and bool((rays.far > rays.near).all())
    np.testing.assert_allclose(rays.direction.norm(dim=1), 1.0, atol=1e-6)
    ends = rays.origin + rays.direction * rays.depth[:, None]
    assert bool((ends >= sample.box[0] - 1e-4).all()) and bool((ends <= sample.box[1] + 1e-4).all())
    in_camera = torch.einsum("rij,rj->ri", sample.world_to_camera[rays.view, :3, :3], ends)
    in_camera += sample.world_to_camera[rays.view, :3, 3]
    pixel = torch.einsum("rij,rj->ri", sample.intrinsics[rays.view, :3, :3], in_camera)
    np.testing.assert_allclose(pixel[:, :2] / pixel[:, 2:], rays.pixel, atol=2e-3)
    for view in range(4):
        assert len(set(map(tuple, rays.pixel[rays.view == view].tolist()))) == 50


def test_pixels_lead_back_to_the_original(recording) -> None:
    """The depth of a pixel is that of the original pixel it comes from."""
    views = [recording.view(0)]
    sample = build_sample(views, SMALL, np.random.default_rng(5))
    matrix = sample.pixel_to_original[0]
    at = sample.rays.pixel @ matrix[:2, :2].T + matrix[:2, 2]
    assert sample.originals[0].shape == (3, HEIGHT, WIDTH) and sample.originals[0].dtype == torch.uint8
    column, row = at.floor().long().T
    z = views[0].depth[row, column]
    direction = sample.rays.direction
    np.testing.assert_allclose(sample.rays.depth * direction[:, 2], z, rtol=1e-5)


def test_jitter_is_the_same_for_all_views(recording) -> None:
    views = [recording.view(0)] * 3
    for seed in range(20):
        images = build_sample(views, SMALL, np.random.default_rng(seed)).images
        assert torch.equal(images[0], images[1]) and torch.equal(images[0], images[2])


def test_jitter_changes_training_colours_alone(recording) -> None:
    views = [recording.view(0)]
    plain = replace(SMALL, jitter=False)
    changed = 0
    for seed in range(8):
        jittered = build_sample(views, SMALL, np.random.default_rng(seed))
        same = build_sample(views, plain, np.random.default_rng(seed))
        assert torch.equal(jittered.rays.pixel, same.rays.pixel)
        assert torch.equal(jittered.originals[0], same.originals[0])
        changed += not torch.equal(jittered.images, same.images)
    assert changed >= 6


def test_the_hue_turns_as_opencv_says() -> None:
    rgb = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32)
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + 0.04 * 360.0) % 360.0
    expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    images = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    turned = ColorJitter(hue=0.04).apply(images)[0].permute(1, 2, 0)
    np.testing.assert_allclose(turned, expected, atol=2e-5)
    np.testing.assert_allclose(ColorJitter(hue=0.0).apply(images), images, atol=1e-6)
    grey = torch.full((1, 3, 4, 4), 0.3)
    np.testing.assert_allclose(ColorJitter(hue=0.05).apply(grey), grey, atol=1e-7)


def test_contrast_and_saturation_blend_with_grey() -> None:
    images = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    grey = (images * torch.tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    expected = 1.2 * images - 0.2 * grey
    np.testing.assert_allclose(ColorJitter(saturation=1.2).apply(images), expected, atol=1e-6)
    for i in range(2):
        expected = 0.7 * images[i] + 0.3 * grey[i].mean()
        np.testing.assert_allclose(ColorJitter(contrast=0.7).apply(images)[i], expected, atol=1e-6)
    assert torch.equal(ColorJitter(permutation=(2, 0, 1)).apply(images), images[:, [2, 0, 1]])


def test_outliers_are_counted_over_all_views() -> None:
    depth = np.zeros((2, 10, 10), np.float32)
    depth[0, :5] = np.arange(1, 51).reshape(5, 10)
    depth[1, :5] = np.arange(51, 101).reshape(5, 10)
    kept = remove_outliers(depth)
    assert sorted(kept[kept > 0].tolist()) == list(range(6, 96))


def test_rejections_say_why(recording) -> None:
    view = recording.view(0)
    empty = type(view)(view.color, np.zeros_like(view.depth), K, view.camera_to_world)
    with pytest.raises(RejectedSample, match=r"view 1 has 0\.0% valid depth"):
        build_sample([view, empty], SMALL)
    lost = type(view)(view.color, view.depth, K, np.full((4, 4), np.inf))
    with pytest.raises(RejectedSample, match="pose is not finite"):
        build_sample([view, lost], SMALL)
    wall = np.linspace(2.0, 2.04, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    flat = type(view)(view.color, wall, K, view.camera_to_world)
    with pytest.raises(RejectedSample, match="box"):
        build_sample([flat], SMALL)
    smaller = type(view)(view.color, view.depth[:40], K, view.camera_to_world)
    with pytest.raises(ValueError, match="different sizes"):
        build_sample([view, smaller], SMALL)


def test_frames_are_taken_at_the_interval() -> None:
    sampling = Sampling(views=(1, 8), interval=20)
    assert choose_frames(1000, sampling, None) == list(range(0, 160, 20))
    assert choose_frames(45, sampling, None) == [0, 20, 40]
    rng = np.random.default_rng(0)
    drawn = [choose_frames(200, sampling, rng) for _ in range(500)]
    assert {len(frames) for frames in drawn} == set(range(1, 9))
    assert all(b - a == 20 for frames in drawn for a, b in pairwise(frames))
    assert all(frames[0] >= 0 and frames[-1] < 200 for frames in drawn)
    starts = {frames[0] for frames in drawn}
    assert min(starts) < 10 and max(starts) > 150


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="short_side"):
        Sampling(crop=224, short_side=(200.0, 240.0))
    with pytest.raises(ValueError, match="interval"):
        Sampling(interval=0)
