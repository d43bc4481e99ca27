"""Semantic teachers: what they are shown, what they give, and how it is read at the rays."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from spatial_models.spa.data import RgbdView, Sampling, build_sample
from spatial_models.spa.teacher import (
    RadioTeacher,
    SegmentationTeacher,
    SemanticTeacher,
    TeacherUnavailable,
    TransformersTeacher,
    sample_teacher,
)

WIDTH, HEIGHT = 64, 48


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    K = np.array([[55.0, 0.0, 31.0], [0.0, 53.0, 24.5], [0.0, 0.0, 1.0]])
    views = []
    for i in range(2):
        depth = rng.uniform(1.0, 3.0, (HEIGHT, WIDTH)).astype(np.float32)
        color = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        pose = np.eye(4)
        pose[0, 3] = 0.1 * i
        views.append(RgbdView(color, depth, K, pose, rng.integers(0, 3, (HEIGHT, WIDTH), dtype=np.uint8)))
    sampling = Sampling(crop=32, short_side=(33.0, 40.0), rays_per_view=30, originals="segmentation")
    return build_sample(views, sampling, np.random.default_rng(1))


def test_features_are_read_where_the_ray_was_in_the_original(sample) -> None:
    """Float64 loop: back through crop and resize, corners on corners, bilinear."""
    g = torch.Generator().manual_seed(0)
    maps = [torch.rand(5, 7, 9, generator=g) for _ in range(2)]
    read = sample_teacher(maps, sample)
    for ray in range(len(sample.rays)):
        view = int(sample.rays.view[ray])
        u, v = sample.rays.pixel[ray].double().numpy()
        to_crop = np.linalg.inv(sample.pixel_to_original[view].double().numpy())
        x, y = (u - to_crop[0, 2]) / to_crop[0, 0], (v - to_crop[1, 2]) / to_crop[1, 1]
        column, row = x / (WIDTH - 1) * 8, y / (HEIGHT - 1) * 6
        c, r = min(math.floor(column), 7), min(math.floor(row), 5)
        a, b = column - c, row - r
        m = maps[view].double().numpy()
        expected = (1 - b) * ((1 - a) * m[:, r, c] + a * m[:, r, c + 1])
        expected += b * ((1 - a) * m[:, r + 1, c] + a * m[:, r + 1, c + 1])
        np.testing.assert_allclose(read[ray], expected, atol=1e-5)


def test_a_sample_without_originals_is_refused(sample) -> None:
    with pytest.raises(ValueError, match="originals='color'"):
        sample_teacher([torch.zeros(3, 4, 4)] * 2, replace(sample, originals=()))


def test_classes_are_orthogonal_directions_and_found_at_the_rays(sample) -> None:
    teacher: SemanticTeacher = SegmentationTeacher(classes=3, channels=16, size=48)
    table = SegmentationTeacher(classes=3, channels=16).embedding
    np.testing.assert_allclose(table @ table.T, torch.eye(3), atol=1e-6)
    flat = [torch.full((3, HEIGHT, WIDTH), k, dtype=torch.uint8) for k in (2, 1)]
    sample = replace(sample, originals=tuple(flat))
    read = sample_teacher(teacher.features(sample.originals), sample)
    np.testing.assert_allclose(read, table[torch.tensor([2, 1])[sample.rays.view]], atol=1e-6)
    with pytest.raises(ValueError, match="class 9"):
        teacher.features([torch.full((3, 4, 4), 9, dtype=torch.uint8)])
    with pytest.raises(ValueError, match="at least as many channels"):
        SegmentationTeacher(classes=20, channels=8)


def test_targets_can_be_used_in_a_loss(sample) -> None:
    teacher = SegmentationTeacher(classes=3, channels=16, size=24)
    targets = sample_teacher(teacher.features(sample.originals), sample)
    rendered = torch.rand_like(targets).requires_grad_()
    (1.0 - torch.nn.functional.cosine_similarity(rendered, targets).mean()).backward()
    assert rendered.grad is not None


@pytest.fixture(params=["ViT", "Dinov2", "Dinov2WithRegisters"])
def vit_folder(request, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{request.param}Config")(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    model = getattr(transformers, f"{request.param}Model")(config)
    model.save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


@pytest.mark.parametrize("size", [32, 48])
def test_any_vit_of_transformers_teaches(vit_folder, sample, size) -> None:
    teacher = TransformersTeacher(str(vit_folder), image_size=size)
    assert teacher.channels == 24
    maps = teacher.features(sample.originals)
    assert [m.shape for m in maps] == [(24, size // 8, size // 8)] * 2
    assert not maps[0].requires_grad and not torch.equal(*maps)
    assert sample_teacher(maps, sample).shape == (len(sample.rays), 24)


def test_tokens_keep_their_places(vit_folder) -> None:
    """The map changes most where the picture does."""
    teacher = TransformersTeacher(str(vit_folder), image_size=32)
    plain = torch.full((3, 32, 32), 128, dtype=torch.uint8)
    changed = plain.clone()
    changed[:, 8:16, 16:24] = torch.randint(0, 256, (3, 8, 8), generator=torch.Generator().manual_seed(0))
    a, b = teacher.features([plain, changed])
    moved = (a - b).norm(dim=0)
    assert int(moved.argmax()) == 1 * 4 + 2


def test_what_is_not_there_is_said_with_the_way_out(tmp_path) -> None:
    with pytest.raises(TeacherUnavailable, match=r"model\.safetensors"):
        TransformersTeacher(str(tmp_path / "nothing"))
    (tmp_path / "radio").mkdir()
    with pytest.raises(TeacherUnavailable, match="non-commercial"):
        RadioTeacher(repository=str(tmp_path / "radio"))


HUBCONF = """
import torch
dependencies = ["torch"]

class Radio(torch.nn.Module):
    def __init__(self, version):
        super().__init__()
        self.version = version
        self.patch = torch.nn.AvgPool2d(16)
    def forward(self, x):
        assert x.shape[2:] == (64, 64) and 0 <= x.min() and x.max() <= 1 and torch.is_autocast_enabled("cpu")
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        return tokens.mean(1), tokens

def radio_model(version, progress):
    assert version == "radio_v2"
    return Radio(version)
"""


def test_radio_is_loaded_through_torch_hub_and_shown_the_whole_picture(tmp_path) -> None:
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    teacher = RadioTeacher(repository=str(tmp_path), size=64, channels=3)
    picture = torch.randint(
        0, 256, (3, 60, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    picture[:, :, 40:] = 255
    (features,) = teacher.features([picture])
    assert features.shape == (3, 4, 4) and features.dtype == torch.float32
    assert bool((features[:, :, 3] > 0.95).all()) and bool((features[:, :, 0] < 0.7).all())
