"""What the encoder promises to its callers, and that it compiles, exports and runs in half precision."""

import shutil

import pytest
import torch
from spatial_models.spa import (
    SpaEncoder,
    spa_vit_base_patch16,
    spa_vit_large_patch16,
    spa_vit_small_patch16,
    spa_vit_tiny_patch16,
)
from spatial_models.spa.preprocessing import preprocess


def small_encoder(size: int = 32, preprocess: bool = True) -> SpaEncoder:
    torch.manual_seed(0)
    return SpaEncoder(size, 16, 64, 2, 2, preprocess)


@pytest.fixture
def encoder() -> SpaEncoder:
    return small_encoder()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("factory", "width", "tensors", "parameters"),
    [
        (spa_vit_tiny_patch16, 192, 150, 5_524_416),
        (spa_vit_small_patch16, 384, 150, 21_665_664),
        (spa_vit_base_patch16, 768, 150, 85_798_656),
        (spa_vit_large_patch16, 1024, 294, 303_301_632),
    ],
)
def test_variants(factory, width: int, tensors: int, parameters: int) -> None:
    with torch.device("meta"):
        model = factory()
    state = model.state_dict()
    assert len(state) == tensors and sum(t.numel() for t in state.values()) == parameters
    assert (model.width, model.image_size, model.patch) == (width, 224, 16)
    assert model.width // model.heads == 64
    assert model(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, width)
    assert model(torch.empty(2, 3, 300, 300, device="meta"), feature_map=True).shape == (2, 2 * width, 14, 14)


def test_other_sizes_have_other_maps() -> None:
    with torch.device("meta"):
        model = spa_vit_tiny_patch16(image_size=448)
    features = model(torch.empty(1, 3, 448, 448, device="meta"), feature_map=True, cat_cls=False)
    assert features.shape == (1, 192, 28, 28)


def test_images_are_resized_and_normalised_inside_alone_or_outside_alone(encoder: SpaEncoder) -> None:
    external = small_encoder(preprocess=False)
    large = torch.rand(2, 3, 50, 50, generator=torch.Generator().manual_seed(2))
    assert torch.equal(encoder(large), external(preprocess(large, 32)))
    assert not torch.allclose(
        encoder(preprocess(large, 32)), encoder(large), atol=1e-2
    )  # twice is another thing


@pytest.mark.parametrize(
    ("shape", "dtype", "error", "message"),
    [
        ((1, 3, 50, 50), torch.float32, ValueError, r"32 x 32, got 50 x 50; use preprocess=True"),
        ((1, 3, 32, 32), torch.uint8, TypeError, "torch.uint8"),
        ((3, 32, 32), torch.float32, ValueError, r"image\[None\]"),
    ],
)
def test_without_preprocessing_the_input_has_to_fit(shape, dtype, error, message: str) -> None:
    with pytest.raises(error, match=message):
        small_encoder(preprocess=False)(torch.zeros(shape, dtype=dtype))


def test_the_encoder_refuses_what_it_cannot_use(encoder: SpaEncoder) -> None:
    with pytest.raises(TypeError, match=r"torch\.uint8"):
        encoder(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="32 x 40 is not square"):
        encoder(torch.zeros(1, 3, 32, 40))
    with pytest.raises(ValueError, match="image_size 100 is not a multiple of the patch side 16"):
        SpaEncoder(100)
    with pytest.raises(ValueError, match="width 100 must be a multiple of heads"):
        SpaEncoder(32, width=100, heads=3)


def test_nobody_released_small_weights() -> None:
    with pytest.raises(ValueError, match="no released weights of width 384; pass pretrained='path"):
        spa_vit_small_patch16(pretrained=True)


def test_freezing_stops_gradients_and_keeps_the_mode(encoder: SpaEncoder, image: torch.Tensor) -> None:
    in_training = encoder.train()(image)
    assert encoder.freeze() is encoder and encoder.training
    frozen = encoder(image)
    assert not frozen.requires_grad and torch.equal(frozen, in_training)
    assert torch.equal(encoder.eval()(image), frozen)


def test_checkpointing_gives_the_same_gradients_with_less_kept(image: torch.Tensor) -> None:
    found = {}
    for on in (False, True):
        model = small_encoder()
        model.gradient_checkpointing = on
        kept = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = model(image).square().sum()
        loss.backward()
        found[on] = kept, {name: p.grad for name, p in model.named_parameters()}
    assert found[True][0] < found[False][0] / 2
    for name, gradient in found[False][1].items():
        assert gradient is not None and torch.allclose(
            gradient, found[True][1][name], rtol=1e-5, atol=1e-6
        ), name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.04), (torch.float16, 0.005)])
def test_half_precision(
    encoder: SpaEncoder, image: torch.Tensor, dtype: torch.dtype, tolerance: float
) -> None:
    with torch.no_grad():
        wanted = encoder(image, feature_map=True)
        with torch.autocast("cpu", dtype):
            mixed = encoder(image, feature_map=True)
        encoder = encoder.to(dtype)
        found = encoder(image, feature_map=True)
        assert torch.equal(
            encoder(torch.full((1, 3, 32, 32), 0.5)), encoder(torch.full((1, 3, 32, 32), 0.5).to(dtype))
        )
    assert found.dtype == dtype
    for half in (found, mixed):
        assert (half.float() - wanted).norm() / wanted.norm() < tolerance


@pytest.mark.parametrize("size", [32, 50])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_compiles_into_one_graph_with_gradients(encoder: SpaEncoder, size: int, checkpointing: bool) -> None:
    """``aot_eager`` traces forward and backward as every compiler backend does, and needs no C++ compiler."""
    torch._dynamo.reset()
    encoder.gradient_checkpointing = checkpointing
    image = torch.rand(2, 3, size, size)
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    found, wanted = compiled(image, feature_map=True), encoder(image, feature_map=True)
    assert torch.allclose(found, wanted, atol=1e-6)
    weights = encoder.blocks[0].attn.qkv.weight
    (found,) = torch.autograd.grad(found.square().sum(), weights)
    (wanted,) = torch.autograd.grad(wanted.square().sum(), weights)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiles_to_machine_code(encoder: SpaEncoder, image: torch.Tensor) -> None:
    torch._dynamo.reset()
    with torch.no_grad():
        found = torch.compile(encoder, fullgraph=True)(image, feature_map=True)
        assert torch.allclose(found, encoder(image, feature_map=True), atol=1e-5)


def test_exports_for_any_batch(image: torch.Tensor) -> None:
    model = small_encoder(preprocess=False).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (image,), dynamic_shapes=({0: batch},))
    five = torch.randn(5, 3, 32, 32)
    assert torch.allclose(program.module()(five), model(five), atol=1e-6)
    assert set(program.state_dict) == set(model.state_dict())
