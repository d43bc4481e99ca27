"""Tiny models of all three kinds, and the programs of export/ as modules."""

import sys
from pathlib import Path

import pytest
import torch
from spatial_models.policy import SpatialPolicy
from spatial_models.spa.encoder import SpaEncoder
from spatial_models.training.bundle import write_policy
from spatial_vla.policy import default_bundle, read_manifest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "export")]

from tiny_models import CONFIG, spatialvla_conftest  # noqa: E402


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder as training writes it."""
    manifest = read_manifest(default_bundle())
    torch.manual_seed(0)
    policy = SpatialPolicy(CONFIG, manifest.action_grid(), len(manifest.vocabulary()))
    # Sure of its tokens: an untrained one hardly prefers any, and rounding decides.
    with torch.no_grad():
        policy.decoder.translation.own.normal_(std=2.0)
        policy.decoder.rotation.own.normal_(std=2.0)
    folder = tmp_path_factory.mktemp("trained")
    write_policy(policy, CONFIG, manifest.action_grid(), manifest.vocabulary(), folder)
    return folder


@pytest.fixture(scope="session")
def bundle(trained: Path, tmp_path_factory) -> Path:
    import to_onnx

    out = tmp_path_factory.mktemp("bundle") / "fp32"
    return to_onnx.export(to_onnx.ExportArgs(str(trained), out, observations=5))


@pytest.fixture(scope="session")
def spa_weights(tmp_path_factory) -> Path:
    """SPA's weights as released, with a head width of 64."""
    from spatial_models.spa.checkpoint import save_released

    torch.manual_seed(1)
    encoder = SpaEncoder(32, 16, 128, 2, 2)
    path = tmp_path_factory.mktemp("spa") / "spa-tiny.safetensors"
    save_released(encoder, path)
    return path


@pytest.fixture(scope="session")
def spatialvla_folder(tmp_path_factory) -> Path:
    from spatial_models.spatialvla.checkpoint import save_released

    folder = tmp_path_factory.mktemp("spatialvla")
    save_released(spatialvla_conftest().tiny_model(), folder)
    return folder


@pytest.fixture(scope="session")
def spatialvla(spatialvla_folder: Path, tmp_path_factory) -> Path:
    """Its three stages."""
    import to_onnx
    from checkpoints import Shape

    out = tmp_path_factory.mktemp("stages") / "fp32"
    shape = Shape(text=6, cells=(6, 8, 2))
    return to_onnx.export(to_onnx.ExportArgs(str(spatialvla_folder), out, observations=5, shape=shape))
