"""Colours of feature maps: exact, repeatable, the same in all pictures."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from spatial_models.spa.evaluation.feature_maps import draw_maps, fit_palette, page, read_pictures, squeezed


def maps(n: int = 3, channels: int = 9, side: int = 5, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    spread = torch.linspace(3.0, 0.3, channels)[:, None, None]
    return torch.randn(n, channels, side, side, generator=g) * spread + 7.0


def test_components_are_those_of_the_enlarged_maps() -> None:
    """Independent way: enlarge every channel, stack all pixels, singular values."""
    x = maps()
    enlarged = np.concatenate(
        [
            cv2.resize(m.permute(1, 2, 0).double().numpy(), (20, 20), interpolation=cv2.INTER_LINEAR).reshape(
                -1, 9
            )
            for m in x
        ]
    )
    _, _, expected = np.linalg.svd(enlarged - enlarged.mean(axis=0), full_matrices=False)
    found = fit_palette(x, 20).components
    assert np.allclose(np.abs((found * expected[:3]).sum(axis=1)), 1.0, atol=1e-9)


def test_colours_are_those_of_the_published_recipe_and_centring_changes_nothing() -> None:
    x = maps()
    palette = fit_palette(x, 20)
    for shift in (0.0, 1.0):  # the release projects the uncentred features; with 1.0 the centred ones
        shown = []
        for m in x:
            enlarged = cv2.resize(
                m.permute(1, 2, 0).double().numpy(), (20, 20), interpolation=cv2.INTER_LINEAR
            )
            shown.append(enlarged.reshape(-1, 9))
        stacked = np.concatenate(shown)
        projected = (stacked - shift * stacked.mean(axis=0)) @ palette.components.T
        colours = np.empty_like(projected)
        for k in range(3):
            distance = np.abs(projected[:, k] - np.median(projected[:, k]))
            inliers = projected[distance / np.median(distance) < 2.0, k]
            colours[:, k] = ((projected[:, k] - inliers.min()) / (inliers.max() - inliers.min())).clip(0, 1)
        ours = np.stack(draw_maps(x, 20)).reshape(-1, 3)
        assert np.abs(ours - colours * 255.0).max() <= 0.51


def test_equal_features_have_equal_colours_in_different_pictures() -> None:
    x = maps(2)
    x[1] = x[0].roll((1, 2), dims=(1, 2))
    first, second = draw_maps(x, 5)
    assert np.array_equal(second, np.roll(first, (1, 2), axis=(0, 1)))


def test_colours_repeat_and_do_not_depend_on_the_sign_of_the_solver() -> None:
    x = maps()
    assert all(np.array_equal(a, b) for a, b in zip(draw_maps(x, 12), draw_maps(x.clone(), 12), strict=True))
    components = fit_palette(x, 12).components
    assert all(row[np.abs(row).argmax()] > 0 for row in components)


def test_bad_maps_are_refused() -> None:
    with pytest.raises(ValueError, match="three channels"):
        fit_palette(torch.zeros(1, 2, 4, 4), 8)
    x = maps()
    x[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="1 numbers that are not finite"):
        fit_palette(x, 8)


def test_folders_are_read_in_order_and_errors_name_the_file(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no pictures"):
        read_pictures(tmp_path)
    for name in ("b.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), np.full((6, 8, 3), (255, 0, 0), np.uint8))
    pictures = read_pictures(tmp_path)
    assert list(pictures) == ["a.jpg", "b.png"] and pictures["b.png"][0, 0].tolist() == [0, 0, 255]
    assert squeezed(pictures["b.png"], 4).shape == (4, 4, 3)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="suffix alone"):
        read_pictures(tmp_path)
    (tmp_path / "a.png").unlink()
    (tmp_path / "c.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"c\.png cannot be read"):
        read_pictures(tmp_path)


def test_the_page_needs_no_network() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    html = page(["<a>.png"], [picture], [picture], "Maps")
    assert "http" not in html and "<a>" not in html and html.count("data:image/png;base64,") == 2


def test_command_line(rooms, tiny_checkpoint, tmp_path) -> None:
    command = [sys.executable, "-m", "spatial_models.spa.evaluation.feature_maps", str(tiny_checkpoint)]
    command += [str(rooms / "scene-0/color"), "--image-size", "96", "--out"]
    for out in ("one", "two"):
        subprocess.run([*command, str(tmp_path / out)], check=True, capture_output=True)
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == [
        "0.png",
        "1.png",
        "2.png",
        "3.png",
        "index.html",
    ]
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
