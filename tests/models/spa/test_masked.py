"""The masked image branch: what it may see, what it is called, and how it starts. Its numbers: test_encoder_oracle."""

import pytest
import torch
from spatial_models.spa import MaskedImageBranch, SpaEncoder


def small_branch(mask_ratio: float = 0.5) -> MaskedImageBranch:
    torch.manual_seed(0)
    return MaskedImageBranch(64, 32, 2, 2, mask_ratio, decoder_width=16, channels=8)


@pytest.fixture
def branch() -> MaskedImageBranch:
    return small_branch()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("width", [768, 1024])
def test_parameters_are_named_and_shaped_as_released(width: int) -> None:
    depth = {768: 12, 1024: 24}[width]
    with torch.device("meta"):
        state = MaskedImageBranch(224, width, depth, width // 64).state_dict()
        encoder = SpaEncoder(224, 16, width, depth, width // 64).state_dict()
    extra = {name: tuple(t.shape) for name, t in state.items() if name not in encoder}
    assert {n: t.shape for n, t in encoder.items()} == {n: t.shape for n, t in state.items() if n in encoder}
    assert extra == {
        "mask_token": (1, 1, 512),
        "decoder_embed.weight": (512, width),
        "decoder_embed.bias": (512,),
        "readout_project.0.weight": (512, 1024),
        "readout_project.0.bias": (512,),
        "upsample.0.conv.weight": (1024, 512, 3, 3),
        "upsample.1.conv.weight": (1024, 64, 3, 3),
    }


def test_the_result_is_64_channels_for_every_pixel() -> None:
    with torch.device("meta"):
        model = MaskedImageBranch()
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 64, 224, 224)


@pytest.mark.parametrize("training", [True, False])
def test_half_of_the_patches_are_hidden_in_training_and_in_evaluation(
    branch: MaskedImageBranch, images: torch.Tensor, training: bool
) -> None:
    """What is drawn over hidden patches changes nothing; over a seen one, it does."""
    branch.train(training)
    noise = torch.rand(2, 16, generator=torch.Generator().manual_seed(3))
    hidden = noise.argsort(1)[0, 8:].tolist()
    plain = branch(images, noise)
    painted = images.clone()
    for patch in hidden:
        row, column = divmod(patch, 4)
        painted[0, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 0.9
    assert torch.equal(branch(painted, noise), plain)
    row, column = divmod(int(noise[0].argmin()), 4)
    painted[0, :, 16 * row, 16 * column] = 0
    assert not torch.equal(branch(painted, noise)[0], plain[0])


def test_the_order_in_which_patches_are_seen_does_not_matter(images: torch.Tensor) -> None:
    everything = small_branch(mask_ratio=0.0)
    noise = torch.rand(2, 16)
    assert torch.allclose(everything(images, noise), everything(images, 1 - noise), atol=1e-5)


def test_the_mask_is_drawn_anew_and_follows_the_seed(branch: MaskedImageBranch, images: torch.Tensor) -> None:
    torch.manual_seed(5)
    first, second = branch(images), branch(images)
    torch.manual_seed(5)
    assert torch.equal(branch(images), first) and not torch.equal(first, second)


def test_mixed_precision_gives_back_the_type_of_the_images(
    branch: MaskedImageBranch, images: torch.Tensor
) -> None:
    noise = torch.rand(2, 16)
    wanted = branch(images, noise)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            found = branch(images, noise)
        assert found.dtype == torch.float32
        assert (found - wanted).norm() / wanted.norm() < 0.03
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in branch.parameters())


def test_starts_as_mae_does() -> None:
    torch.manual_seed(0)
    model = MaskedImageBranch(64, 128, 1, 2, decoder_width=256)
    assert model.mask_token.std().item() == pytest.approx(0.02, rel=0.2)
    assert model.cls_token.std().item() == pytest.approx(0.02, rel=0.2)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            bound = (6 / (module.in_features + module.out_features)) ** 0.5
            assert not module.bias.any(), name
            assert 0.95 * bound < module.weight.abs().max() <= bound, name
    kernel = model.patch_embed.proj.weight
    assert kernel.abs().max() <= (6 / (3 * 16 * 16 + 128)) ** 0.5  # as the matrix 128 x 768


def test_compiles_into_one_graph(branch: MaskedImageBranch, images: torch.Tensor) -> None:
    torch._dynamo.reset()
    noise = torch.rand(2, 16)
    found = torch.compile(branch, fullgraph=True, backend="aot_eager")(images, noise)
    assert torch.allclose(found, branch(images, noise), atol=1e-6)


def test_checkpointing_gives_the_same_gradients(images: torch.Tensor) -> None:
    gradients = []
    for on in (False, True):
        model = small_branch()
        model.gradient_checkpointing = on
        model(images, torch.linspace(0, 1, 16).expand(2, 16)).square().sum().backward()
        gradients.append(model.patch_embed.proj.weight.grad)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_is_refused(branch: MaskedImageBranch, images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"built for 64 x 64 px, got images \(1, 3, 32, 32\)"):
        branch(torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"noise must be \(2, 16\).*got \(2, 8\)"):
        branch(images, torch.rand(2, 8))
    with pytest.raises(TypeError, match=r"torch\.uint8"):
        branch(images.to(torch.uint8))
    with pytest.raises(ValueError, match=r"mask_ratio 1\.0"):
        MaskedImageBranch(mask_ratio=1.0)
