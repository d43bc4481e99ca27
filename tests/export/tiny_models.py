"""Sizes of tiny models."""

import importlib.util
from pathlib import Path

from spatial_models.policy import PolicyConfig

ROOT = Path(__file__).resolve().parents[2]

CONFIG = PolicyConfig(
    image_size=64, width=32, depth=2, heads=2, decoder_width=32, decoder_depth=1, decoder_heads=2, steps=4
)


def spatialvla_conftest():
    """The tiny SpatialVLA of its own tests."""
    return _module("conftest")


def zoe_depth():
    """The tiny ZoeDepth of its own tests; it has two heads."""
    return _module("test_depth").zoe()


def _module(name):
    path = ROOT / "tests" / "models" / "spatialvla" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"tiny_spatialvla_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
