"""Resizing of images and of position tables, against loops; what the encoder takes and refuses."""

import math

import numpy as np
import pytest
import torch
from spatial_models.spa.position_table import resample_position_table, sincos_position_table
from spatial_models.spa.preprocessing import normalise, preprocess, resize, resized_shape


def cubic(x: float, a: float) -> float:
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def antialiased(signal: np.ndarray, size: int) -> np.ndarray:
    """First axis to ``size``: the cubic (a = -0.5) is stretched when shrinking, and its weights sum to one."""
    scale = len(signal) / size
    stretch = max(scale, 1.0)
    out = []
    for i in range(size):
        centre = (i + 0.5) * scale
        near = range(
            max(math.floor(centre - 2 * stretch), 0), min(math.ceil(centre + 2 * stretch), len(signal))
        )
        weight = np.array([cubic((j + 0.5 - centre) / stretch, -0.5) for j in near])
        out.append(np.tensordot(weight / weight.sum(), signal[list(near)], 1))
    return np.array(out)


def plain(signal: np.ndarray, size: int) -> np.ndarray:
    """First axis to ``size``: four neighbours, the border repeated, a = -0.75."""
    out = []
    for i in range(size):
        place = (i + 0.5) * len(signal) / size - 0.5
        total = np.zeros(signal.shape[1:])
        for j in range(math.floor(place) - 1, math.floor(place) + 3):
            total += cubic(place - j, -0.75) * signal[min(max(j, 0), len(signal) - 1)]
        out.append(total)
    return np.array(out)


def both_axes(rule, image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, C) by a rule for one axis."""
    return rule(rule(image, height).swapaxes(0, 1), width).swapaxes(0, 1)


@pytest.mark.parametrize(("height", "width", "size"), [(37, 37, 16), (9, 9, 16), (30, 45, 20), (45, 31, 40)])
def test_images_are_resized_like_torchvision_does(height: int, width: int, size: int) -> None:
    image = torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = both_axes(antialiased, image[0].permute(1, 2, 0).numpy(), *resized_shape(height, width, size))
    found = resize(image, size)[0].permute(1, 2, 0).numpy()
    assert found.shape == wanted.shape and min(found.shape[:2]) == size
    assert np.abs(found - wanted).max() < 1e-6


def test_the_overshoot_of_an_edge_is_kept() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[..., 16:] = 1
    assert resize(image, 48).min() < -0.01 and resize(image, 48).max() > 1.01


def test_an_image_that_fits_is_not_touched() -> None:
    image = torch.rand(2, 3, 16, 16)
    assert resize(image, 16) is image


def test_normalisation_is_imagenets_in_every_precision() -> None:
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
    assert torch.allclose(normalise(image), (image - mean) / std, rtol=1e-14)
    assert preprocess(image.half(), 8).dtype == torch.float32


@pytest.mark.parametrize("shape", [(224, 448), (448, 224), (224, 225)])
def test_images_that_are_not_square_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"{shape[0]} x {shape[1]} is not square.*Crop or pad"):
        preprocess(torch.rand(1, 3, *shape), 224)


def test_a_large_image_that_truncates_to_a_square_is_taken_as_upstream() -> None:
    assert preprocess(torch.rand(1, 3, 449, 450), 224).shape == (1, 3, 224, 224)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), TypeError, r"torch\.uint8.*image\.float\(\) / 255"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.int64), TypeError, "torch.int64"),
        (np.zeros((16, 16, 3), np.float32), TypeError, "ndarray.*from_numpy"),
        (torch.zeros(3, 16, 16), ValueError, r"\(3, 16, 16\).*image\[None\]"),
        (torch.zeros(2, 16, 16, 3), ValueError, r"\(2, 16, 16, 3\).*movedim"),
        (torch.zeros(1, 1, 16, 16), ValueError, r"\(N, 3, H, W\), got \(1, 1, 16, 16\)"),
        (torch.zeros(16), ValueError, r"got \(16,\)"),
    ],
)
def test_what_is_no_image_is_refused_with_the_way_out(image, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        preprocess(image, 16)


@pytest.mark.parametrize("grid", [28, 7, 20])
def test_position_tables_are_resampled_without_antialiasing(grid: int) -> None:
    g = torch.Generator().manual_seed(0)
    table = torch.randn(1, 1 + 14 * 14, 4, dtype=torch.float64, generator=g)
    found = resample_position_table(table, grid)
    wanted = both_axes(plain, table[0, 1:].view(14, 14, 4).numpy(), grid, grid)
    assert torch.equal(found[:, 0], table[:, 0])
    assert np.abs(found[0, 1:].view(grid, grid, 4).numpy() - wanted).max() < 1e-10
    other = both_axes(antialiased, table[0, 1:].view(14, 14, 4).numpy(), grid, grid)
    assert np.abs(other - wanted).max() > 0.05  # the flag would be seen, even when enlarging


def test_a_table_of_the_right_size_stays() -> None:
    table = torch.randn(1, 17, 8)
    assert resample_position_table(table, 4) is table


def test_sincos_table() -> None:
    """MAE's: [sin | cos] of the column, then of the row, at width / 4 frequencies."""
    table = sincos_position_table(16, 3)[0].double().numpy()
    assert not table[0].any()
    for row in range(3):
        for column in range(3):
            for i in range(4):
                omega = 10000 ** (-i / 4)
                wanted = [f(p * omega) for p in (column, row) for f in (math.sin, math.cos)]
                assert table[1 + 3 * row + column, i::4] == pytest.approx(wanted, abs=1e-7)
