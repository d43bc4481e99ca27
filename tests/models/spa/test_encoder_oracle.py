"""Encoder and masked branch against the same mathematics written as loops over numpy arrays in double precision."""

import math

import numpy as np
import pytest
import torch
from spatial_models.spa import MaskedImageBranch, SpaEncoder, VisionTransformer

SIZE, GRID, WIDTH, DEPTH, HEADS = 48, 3, 16, 2, 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
erf = np.vectorize(math.erf)


def randomise(model: VisionTransformer) -> dict[str, np.ndarray]:
    """Random values in every tensor, norms and biases too; returned in double precision by name."""
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=g) * 0.3)
    return {name: t.double().numpy() for name, t in model.state_dict().items()}


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def linear(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    return np.array([w[f"{name}.weight"] @ row + w[f"{name}.bias"] for row in x])


def layer_norm(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    out = [(row - row.mean()) / math.sqrt(((row - row.mean()) ** 2).mean() + 1e-6) for row in x]
    return np.array(out) * w[f"{name}.weight"] + w[f"{name}.bias"]


def attention(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    packed = linear(x, w, f"{name}.qkv")
    head = WIDTH // HEADS
    out = np.zeros_like(x)
    for h in range(HEADS):
        q, k, v = (packed[:, third * WIDTH + h * head :][:, :head] for third in range(3))
        for i in range(len(x)):
            score = np.array([q[i] @ k[j] / math.sqrt(head) for j in range(len(x))])
            chance = np.exp(score - score.max())
            out[i, h * head : (h + 1) * head] = sum(c * row for c, row in zip(chance, v, strict=True))
            out[i, h * head : (h + 1) * head] /= chance.sum()
    return linear(out, w, f"{name}.proj")


def blocks(x: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    for i in range(DEPTH):
        x = x + attention(layer_norm(x, w, f"blocks.{i}.norm1"), w, f"blocks.{i}.attn")
        hidden = gelu(linear(layer_norm(x, w, f"blocks.{i}.norm2"), w, f"blocks.{i}.mlp.fc1"))
        x = x + linear(hidden, w, f"blocks.{i}.mlp.fc2")
    return layer_norm(x, w, "norm")


def patches(image: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    """Normalised, projected and placed; row by row."""
    out = []
    for row in range(GRID):
        for column in range(GRID):
            total = w["patch_embed.proj.bias"].copy()
            for c in range(3):
                window = image[c, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
                window = (window - MEAN[c]) / STD[c]
                total += np.array([(kernel[c] * window).sum() for kernel in w["patch_embed.proj.weight"]])
            out.append(total + w["pos_embed"][0, 1 + row * GRID + column])
    return np.array(out)


def encoder(image: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    first = w["cls_token"][0] + w["pos_embed"][0, :1]
    return blocks(np.concatenate((first, patches(image, w))), w)


def upsample(x: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """(C, h, w): 3 x 3 convolution with zeros around, GELU, and 16 channels each to a square of 4 x 4 pixels."""
    _, height, width = x.shape
    out = np.zeros((len(kernels) // 16, 4 * height, 4 * width))
    for o, kernel in enumerate(kernels):
        channel, place = divmod(o, 16)
        for r in range(height):
            for c in range(width):
                total = 0.0
                for dr in (-1, 0, 1):
                    for dc in (-1, 0, 1):
                        if 0 <= r + dr < height and 0 <= c + dc < width:
                            total += kernel[:, dr + 1, dc + 1] @ x[:, r + dr, c + dc]
                out[channel, 4 * r + place // 4, 4 * c + place % 4] = gelu(np.array(total))
    return out


def masked_branch(image: np.ndarray, noise: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    order = sorted(range(GRID**2), key=lambda i: noise[i])
    seen = order[: GRID**2 // 2]
    embedded = patches(image, w)
    first = w["cls_token"][0] + w["pos_embed"][0, :1]
    tokens = linear(
        blocks(np.concatenate((first, embedded[seen])), w), w, "decoder_embed"
    )  # class token first
    square = np.zeros((tokens.shape[1], GRID, GRID))
    for place in range(GRID**2):
        token = tokens[1 + seen.index(place)] if place in seen else w["mask_token"][0, 0]
        both = np.concatenate((token, tokens[0]))[None]
        square[:, place // GRID, place % GRID] = gelu(linear(both, w, "readout_project.0"))[0]
    return upsample(upsample(square, w["upsample.0.conv.weight"]), w["upsample.1.conv.weight"])


def relative_error(found: torch.Tensor, wanted: np.ndarray) -> float:
    return float(np.abs(found.detach().double().numpy() - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_encoder_is_the_published_one(dtype: torch.dtype, tolerance: float) -> None:
    model = SpaEncoder(SIZE, 16, WIDTH, DEPTH, HEADS)
    w = randomise(model)
    image = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).to(dtype)
    wanted = np.stack([encoder(i, w) for i in image.double().numpy()])
    model = model.to(dtype)
    square = wanted[:, 1:].transpose(0, 2, 1).reshape(2, WIDTH, GRID, GRID)
    repeated = np.broadcast_to(wanted[:, 0, :, None, None], square.shape)
    assert relative_error(model(image), wanted[:, 0]) < tolerance
    assert relative_error(model(image, feature_map=True, cat_cls=False), square) < tolerance
    both = np.concatenate((square, repeated), axis=1)  # the patch's channels first
    assert relative_error(model(image, feature_map=True), both) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_masked_branch_is_the_published_one(dtype: torch.dtype, tolerance: float) -> None:
    model = MaskedImageBranch(SIZE, WIDTH, DEPTH, HEADS, decoder_width=8, channels=2)
    w = randomise(model)
    g = torch.Generator().manual_seed(2)
    images = torch.rand(2, 3, SIZE, SIZE, generator=g).to(dtype)
    noise = torch.rand(2, GRID**2, generator=g)
    wanted = np.stack(
        [masked_branch(i, n, w) for i, n in zip(images.double().numpy(), noise.double().numpy(), strict=True)]
    )
    assert relative_error(model.to(dtype)(images, noise), wanted) < tolerance


def test_gradients_of_the_masked_branch() -> None:
    """By finite differences in double precision, through masking, read-out and up-sampling."""
    model = MaskedImageBranch(16, 8, 1, 1, decoder_width=4, channels=1).double()
    randomise(model)
    names = ["mask_token", "decoder_embed.weight", "readout_project.0.weight", "blocks.0.attn.qkv.bias"]
    images = torch.rand(1, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    chosen = [model.get_parameter(name).detach().clone().requires_grad_() for name in names]

    def output(*parameters: torch.Tensor) -> torch.Tensor:
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(model, named, (images, torch.zeros(1, 1))).mean()

    for ratio in (0.0, 0.5):
        model.mask_ratio = ratio
        assert torch.autograd.gradcheck(output, chosen)
