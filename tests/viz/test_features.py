"""Feature-map pictures: what the colours mean, and that they mean the same every time."""

import numpy as np
import pytest
from spatial_vla.viz import FeaturePalette, overlay


def feature_map(seed: int = 0, rows: int = 12, cols: int = 16, channels: int = 24) -> np.ndarray:
    """Three smooth patterns of falling strength, mixed into all channels, plus noise."""
    rng = np.random.default_rng(seed)
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, cols), indexing="ij")
    patterns = np.stack((3.0 * u, 2.0 * np.sin(6 * v), np.cos(9 * u * v)), axis=-1)
    mixing = np.linalg.qr(rng.normal(size=(channels, 3)))[0].T
    return patterns @ mixing + 0.01 * rng.normal(size=(rows, cols, channels))


def test_components_are_those_of_the_covariance_by_falling_variance():
    features = feature_map().reshape(-1, 24)
    palette = FeaturePalette.fit(features)
    values, vectors = np.linalg.eigh(np.cov(features.T))
    for component, vector in zip(palette.components, vectors.T[::-1][:3], strict=True):
        assert abs(component @ vector) == pytest.approx(1.0, abs=1e-9)
    assert np.all(np.diff((features @ palette.components.T).var(axis=0)) < 0)
    assert np.all(np.diff(values) >= 0)


def test_the_sign_of_a_component_is_fixed():
    features = feature_map()
    shuffled = np.random.default_rng(1).permutation(features.reshape(-1, 24))
    np.testing.assert_allclose(
        FeaturePalette.fit(features).components, FeaturePalette.fit(shuffled).components, atol=1e-9
    )


def test_outliers_do_not_flatten_the_colours_of_the_rest():
    features = feature_map().reshape(-1, 24)
    calm = FeaturePalette.fit(features)
    wild = features.copy()
    wild[0] += 100.0 * calm.components[0]
    spread = FeaturePalette.fit(wild).colours(features).std(axis=0) / calm.colours(features).std(axis=0)
    assert np.all(spread > 0.9)


def test_picture_shows_patch_colours_at_patch_centres_and_nothing_new_between():
    features = feature_map()
    palette = FeaturePalette.fit(features)
    picture = palette.picture(features, width=16 * 9, height=12 * 9)
    assert picture.shape == (108, 144, 3) and picture.dtype == np.uint8
    centres = picture[4::9, 4::9].astype(float) / 255.0
    np.testing.assert_allclose(centres, palette.colours(features), atol=0.5 / 255 + 1e-6)


def test_constant_features_make_a_picture_without_nan():
    features = np.ones((4, 4, 8))
    picture = FeaturePalette.fit(features).picture(features, 8, 8)
    assert np.ptp(picture.reshape(-1, 3), axis=0).max() == 0


@pytest.mark.parametrize("features", [np.zeros((4, 4, 2)), np.zeros((2, 8)), np.full((4, 4, 8), np.nan)])
def test_palette_refuses_what_has_no_three_components(features):
    with pytest.raises(ValueError, match="3 or more finite vectors"):
        FeaturePalette.fit(features)


def test_overlay_takes_hue_from_the_features_and_light_from_the_image():
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[:2] = (200, 40, 40)
    colours = np.full((4, 4, 3), 100, np.uint8)
    out = overlay(rgb, colours)
    assert np.ptp(out.astype(int), axis=-1).max() == 0
    assert out[0, 0, 0] > out[3, 3, 0]
