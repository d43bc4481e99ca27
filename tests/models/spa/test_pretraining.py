"""The joined model: names and shapes of the release, what trains, what is reproducible."""

import pytest
import torch
from spatial_models.spa.losses import LossWeights
from spatial_models.spa.masked import MaskedImageBranch
from spatial_models.spa.pretraining import SpaPretraining

BN = {"weight": (64,), "bias": (64,), "running_mean": (64,), "running_var": (64,), "num_batches_tracked": ()}


def released(width: int) -> dict[str, tuple[int, ...]]:
    """All names beside encoder and teacher, written out from the published files' table."""
    table: dict[str, tuple[int, ...]] = {
        "img_backbone.mask_token": (1, 1, 512),
        "img_backbone.decoder_embed.weight": (512, width),
        "img_backbone.decoder_embed.bias": (512,),
        "img_backbone.readout_project.0.weight": (512, 1024),
        "img_backbone.readout_project.0.bias": (512,),
        "img_backbone.upsample.0.conv.weight": (1024, 512, 3, 3),
        "img_backbone.upsample.1.conv.weight": (1024, 64, 3, 3),
        "view_transform.voxels": (32, 128, 128, 3),
        "dense_head.renderer.field.deviation_network.variance": (1,),
    }
    encoding = "view_transform.position_encoding.position_embedding"
    table |= {f"{encoding}.0.weight": (64, 3), f"{encoding}.0.bias": (64,)}
    table |= {f"{encoding}.1.{name}": shape for name, shape in BN.items()}
    table |= {f"{encoding}.3.weight": (64, 64), f"{encoding}.3.bias": (64,)}

    layer, weights = "view_transform.decoder.layers.0", {}
    weights[f"{layer}.attentions.0.sampling_offsets"] = (80, 64)
    weights[f"{layer}.attentions.0.attention_weights"] = (40, 64)
    weights[f"{layer}.attentions.0.value_proj"] = (64, 64)
    weights[f"{layer}.attentions.0.out_proj"] = (64, 64)
    weights[f"{layer}.attentions.1.conv_layer.0.0"] = (64, 64, 3, 3, 3)
    weights[f"{layer}.ffns.0.layers.0.0"] = (256, 64)
    weights[f"{layer}.ffns.0.layers.1"] = (64, 256)
    net = "dense_head.proj_net"
    for head, inputs, outputs in (("sdf", 64, 33), ("rgb", 96, 27), ("semantic", 96, 1280)):
        weights[f"{net}.{head}_conv3d.0"] = (64, inputs, 3, 3, 3)
        weights[f"{net}.{head}_conv3d.1"] = (64,)
        weights[f"{net}.{head}_conv3d.3"] = (outputs, 64, 1, 1, 1)
    for i in range(3):
        weights[f"{layer}.norms.{i}"] = (64,)
    for name in ("bn1", "bn2", "downsample_layer.1"):
        weights[f"{net}.shared_conv3d.{name}"] = (64,)
    for name, shape in weights.items():
        table |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    table |= {f"{net}.shared_conv3d.conv{i}.weight": (64, 64, 3, 3, 3) for i in (1, 2)}
    table[f"{net}.shared_conv3d.downsample_layer.0.weight"] = (64, 64, 1, 1, 1)
    assert len(table) == 65
    return table


@pytest.mark.parametrize(
    ("width", "depth", "heads", "trainable", "encoder"),
    [(768, 12, 12, 92_946_613, 150), (1024, 24, 16, 310_580_661, 294)],
    ids=["base", "large"],
)
def test_names_and_shapes_are_those_of_the_release(width, depth, heads, trainable, encoder) -> None:
    with torch.device("meta"):
        model = SpaPretraining(MaskedImageBranch(224, width, depth, heads))
    state = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    table = released(width)
    assert {name: state.get(name) for name in table} == table
    rest = set(state) - set(table)
    assert len(rest) == encoder and all(name.startswith("img_backbone.") for name in rest)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trainable


@pytest.fixture
def model() -> SpaPretraining:
    torch.manual_seed(0)
    branch = MaskedImageBranch(32, width=32, depth=1, heads=2, decoder_width=16, channels=8)
    return SpaPretraining(branch, grid=(5, 4, 6), channels=16, semantic_channels=7)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def targets(samples) -> list[torch.Tensor]:
    return [torch.randn(len(sample.rays), 7, generator=seeded(9)) for sample in samples]


def test_every_parameter_trains(model, make_sample) -> None:
    samples = [make_sample((32, 32), seed=1), make_sample((32, 32), seed=2, rays=7)]
    renderings = model(samples, [seeded()] * len(samples))
    assert [len(r.rgb) for r in renderings] == [20, 7]
    terms = model.losses(renderings, samples, targets(samples))
    assert set(terms) == {"colour", "depth", "sdf", "free_space", "eikonal", "semantic"}
    LossWeights().total(terms).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not without
    # Offsets matter only as far as the map varies; all else must move at once.
    still = [name for name, p in model.named_parameters() if p.grad is not None and not p.grad.any()]
    assert not still


def test_a_few_steps_on_one_sample_lower_the_loss(model, make_sample) -> None:
    sample = make_sample((32, 32), rays=64)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    totals = []
    for _ in range(20):
        terms = model.losses(model([sample], [seeded()]), [sample], targets([sample]))
        total = LossWeights().total(terms)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert totals[-1] < 0.8 * totals[0]


def test_the_generator_decides_masks_and_samples(model, make_sample) -> None:
    sample = make_sample((32, 32))
    a, b, c = (model([sample], [seeded(s)])[0] for s in (5, 5, 6))
    assert torch.equal(a.rgb, b.rgb) and not torch.equal(a.start, c.start)
    model.eval()
    a, c = (model([sample], [seeded(s)])[0] for s in (5, 6))
    assert not torch.equal(a.rgb, c.rgb)  # masked in evaluation too


def test_scenes_of_a_batch_do_not_touch_each_other(model, make_sample) -> None:
    samples = [make_sample((32, 32), seed=s) for s in (1, 2)]
    model.eval()
    together = model(samples, [seeded()] * len(samples))  # the masks of the first views are the same
    alone = model([samples[0]], [seeded()])
    torch.testing.assert_close(together[0].rgb, alone[0].rgb, rtol=1e-4, atol=1e-5)


def test_recomputing_changes_nothing_but_memory(model, make_sample) -> None:
    sample = make_sample((32, 32))

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        terms = model.losses(model([sample], [seeded()]), [sample], targets([sample]))
        LossWeights().total(terms).backward()
        return [p.grad.clone() for p in model.parameters()]

    kept = gradients()
    model.recompute = model.view_transform.decoder.layers[0].attentions[0].recompute = True
    torch.testing.assert_close(gradients(), kept)


def test_autocast_reaches_the_image_branch_alone(model, make_sample) -> None:
    sample = make_sample((32, 32))
    with torch.autocast("cpu", torch.bfloat16):
        rendering = model([sample], [seeded()])[0]
        terms = model.losses([rendering], [sample])
    assert {rendering.rgb.dtype, rendering.sdf.dtype, rendering.semantic.dtype} == {torch.float32}
    assert all(term.dtype == torch.float32 for term in terms.values())


def test_images_of_views_and_of_other_cameras(model, make_sample) -> None:
    sample = make_sample((32, 32))
    whole = model.render_image(sample, 1)
    parts = model.render_image(sample, 1, chunk=100)
    assert whole.rgb.shape == whole.normal.shape == (3, 32, 32) and whole.semantic.shape == (7, 32, 32)
    assert whole.depth.shape == whole.opacity.shape == (32, 32)
    torch.testing.assert_close(whole.rgb, parts.rgb)  # deterministic, however it is cut
    assert model.training and whole.rgb.min() >= 0 and whole.rgb.max() <= 1
    volumes = model.eval().volumes([sample], [seeded()])[0]
    small = model.render_camera(
        sample, sample.intrinsics[0], sample.world_to_camera[0], (5, 9), volumes=volumes
    )
    torch.testing.assert_close(small.rgb, model.render_image(sample, 0).rgb[:, :5, :9], rtol=1e-4, atol=1e-5)
    with pytest.raises(IndexError, match="view 2 of sample 'made up': give one of 0 to 1"):
        model.render_image(sample, 2)


def test_a_pixel_of_an_image_is_its_ray(model, make_sample) -> None:
    sample = make_sample((32, 32))
    model.eval()
    image = model.render_image(sample, 0)
    (rendering,) = model([sample], [seeded()])
    first = sample.rays.view == 0
    u, v = sample.rays.pixel[first].long().T
    torch.testing.assert_close(image.rgb[:, v, u].T, rendering.rgb[first], rtol=1e-4, atol=1e-5)
    inside = rendering.opacity[first] > 0.1  # elsewhere depth is clipped to the rays that happen to be there
    torch.testing.assert_close(
        image.depth[v, u][inside], (rendering.depth[first] * sample.scale)[inside], rtol=1e-3, atol=1e-4
    )


def test_no_samples_are_refused(model) -> None:
    with pytest.raises(ValueError, match="at least one"):
        model([])
