"""Depth providers: the networks are tiny and random, and their own forward is what ours is compared with."""

import copy
import json

import numpy as np
import pytest
import torch
from spatial_models.spatialvla.depth import (
    DepthProvider,
    GivenDepth,
    TransformersDepth,
    ZoeDepth,
    zoe_depth,
    zoe_padding,
)
from torch.nn import functional
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
)

BACKBONE = {
    **{"model_type": "beit", "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2},
    **{"num_hidden_layers": 4, "image_size": 64, "patch_size": 16},
    **{"out_features": ["stage1", "stage2", "stage3", "stage4"], "reshape_hidden_states": False},
}
HEADS = [
    {"name": "nyu", "n_bins": 8, "min_depth": 0.001, "max_depth": 10.0},
    {"name": "kitti", "n_bins": 8, "min_depth": 0.001, "max_depth": 80.0},
]


def zoe(heads=HEADS, bin_centers="softplus", seed=0):
    torch.manual_seed(seed)
    network = ZoeDepthForDepthEstimation(
        ZoeDepthConfig(
            backbone_config=BACKBONE,
            bin_configurations=heads,
            bin_centers_type=bin_centers,
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=16,
            bottleneck_features=16,
            bin_embedding_dim=16 if len(heads) > 1 else 128,
            # One number for all scales, of which transformers takes the bins of two heads.
            num_attractors=[8, 8, 8, 8],
            num_relative_features=8,
            num_patch_transformer_layers=4,
            patch_transformer_hidden_size=128,
            patch_transformer_intermediate_size=32,
            patch_transformer_num_attention_heads=2,
            initializer_range=0.3,
        )
    )
    return network.eval()


def balanced(network, pixels):
    """The same network, its classifier torn between its heads on these images."""
    classifier = network.metric_head.mlp_classifier.linear2
    found = {}
    handle = classifier.register_forward_hook(lambda _, __, output: found.update(scores=output))
    with torch.no_grad():
        network(pixel_values=pixels)
        margin = found["scores"][:, 0] - found["scores"][:, 1]
        classifier.bias[0] -= margin.sort().values[:2].mean()
    handle.remove()
    return network


PIXELS = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
# One of three prefers the other head.
NETWORK = balanced(zoe(), PIXELS)


def test_every_image_has_the_head_it_has_alone():
    # In double precision: attractors magnify roundings, which differ by the size of a batch.
    network, pixels = copy.deepcopy(NETWORK).double(), PIXELS.double()
    with torch.no_grad():
        alone = torch.cat([network(pixel_values=image[None]).predicted_depth for image in pixels])
        together = network(pixel_values=pixels).predicted_depth
        found = zoe_depth(network, pixels)
    assert torch.allclose(found, alone, atol=1e-9)
    # The network itself lets two neighbours overrule an image.
    assert sum(not torch.allclose(a, b, atol=1e-3) for a, b in zip(together, alone, strict=True)) == 1


def test_the_vote_is_that_of_the_network():
    with torch.no_grad():
        assert torch.equal(
            zoe_depth(NETWORK, PIXELS, vote=True), NETWORK(pixel_values=PIXELS).predicted_depth
        )


@pytest.mark.parametrize("bin_centers", ["softplus", "normed"])
def test_one_image_is_that_of_the_network(bin_centers):
    for heads in (HEADS, HEADS[:1]):
        network = zoe(heads, bin_centers)
        with torch.no_grad():
            found = zoe_depth(network, PIXELS[:1])
            assert torch.equal(found, network(pixel_values=PIXELS[:1]).predicted_depth)


def test_released_padding():
    assert zoe_padding(224) == 31


def published(network, images):
    """Pad by reflection, resize with aligned corners, and all the way back."""
    padded = functional.pad(images, (15, 15, 15, 15), mode="reflect")
    assert padded.shape[-1] == 86
    pixels = functional.interpolate(padded, size=(64, 64), mode="bicubic", align_corners=True)
    depth = network(pixel_values=(pixels - 0.5) / 0.5).predicted_depth
    back = functional.interpolate(depth[:, None], size=(86, 86), mode="bicubic", align_corners=True)
    return back[:, 0, 15:71, 15:71]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compat_is_the_published_path(dtype):
    network = zoe().to(dtype)
    images = torch.rand(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    found = ZoeDepth(network, compat=True, size=64).depth(images)
    with torch.no_grad():
        assert torch.equal(found, published(network, images.to(dtype)))
    assert found.shape == (2, 56, 56)


def test_depth_of_an_image_does_not_depend_on_its_neighbours():
    provider: DepthProvider = ZoeDepth(NETWORK, size=64)
    images = torch.rand(3, 3, 56, 56, generator=torch.Generator().manual_seed(5))
    alone = torch.cat([provider.depth(image[None]) for image in images])
    together = provider.depth(images)
    assert torch.allclose(together, alone, atol=1e-2) and together.dtype == torch.float32
    assert not together.requires_grad


def depth_anything(kind):
    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone,
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            head_hidden_size=8,
            reassemble_hidden_size=16,
            depth_estimation_type=kind,
            max_depth=20 if kind == "metric" else None,
        )
    )


def test_depth_anything_in_metres_and_loaded_from_a_folder(tmp_path):
    network = depth_anything("metric")
    network.save_pretrained(tmp_path)
    fields = {
        "size": {"height": 28, "width": 28},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.3, 0.1],
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(fields))
    images = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(2))
    loaded = TransformersDepth.from_pretrained(tmp_path)
    mean, std = (torch.tensor(fields[f"image_{n}"])[:, None, None] for n in ("mean", "std"))
    with torch.no_grad():
        expected = network.eval()(pixel_values=(images - mean) / std).predicted_depth
    assert loaded.depth(images) == pytest.approx(expected, abs=1e-5)
    assert loaded.depth(images).shape == (2, 28, 28)


def test_a_zoe_folder_is_loaded_as_zoe(tmp_path):
    NETWORK.save_pretrained(tmp_path)
    assert isinstance(TransformersDepth.from_pretrained(tmp_path), ZoeDepth)


def test_relative_depth_is_refused():
    with pytest.raises(ValueError, match="no metres"):
        TransformersDepth(depth_anything("relative"))
    with pytest.raises(ValueError, match="no metres"):
        TransformersDepth(depth_anything("relative"), metric=True)


def test_given_depth_is_resized_and_filled():
    metres = np.full((2, 48, 64), 1.5, dtype=np.float32)
    metres[1, :, 32:] = 3.0
    metres[1, 10, 10] = np.nan
    metres[0, 5, 5] = 0.0
    found = GivenDepth(metres).depth(torch.zeros(2, 3, 28, 28))
    assert (found[0] == 1.5).all() and set(found[1].unique().tolist()) == {1.5, 3.0}
    with pytest.raises(ValueError, match="2 depth images for 1"):
        GivenDepth(metres).depth(torch.zeros(1, 3, 28, 28))
    with pytest.raises(ValueError, match="covered"):
        GivenDepth(np.zeros((4, 4)))
