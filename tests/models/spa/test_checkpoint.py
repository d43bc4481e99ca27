"""Files in the released layout: read, refused with reasons, written."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from spatial_models.policy import PolicyConfig, SpatialPolicy
from spatial_models.spa import (
    CheckpointMismatch,
    MaskedImageBranch,
    SpaEncoder,
    UnreadableCheckpoint,
    checkpoint,
    load_encoder,
    read_released,
    save_released,
    spa_vit_base_patch16,
    spa_vit_large_patch16,
)
from spatial_models.spa.position_table import resample_position_table
from spatial_models.spa.tensor_file import TensorFile, open_tensors
from spatial_vla.policy import default_bundle, read_manifest

PREFIX = "model.img_backbone."
Shapes = dict[str, tuple[int, ...]]


def encoder_table(d: int, blocks: int) -> Shapes:
    """Every tensor of the encoder as published."""
    table: Shapes = {
        "cls_token": (1, 1, d),
        "pos_embed": (1, 197, d),
        "patch_embed.proj.weight": (d, 3, 16, 16),
        "patch_embed.proj.bias": (d,),
        "norm.weight": (d,),
        "norm.bias": (d,),
    }
    for i in range(blocks):
        block: Shapes = {
            "norm1.weight": (d,),
            "norm1.bias": (d,),
            "attn.qkv.weight": (3 * d, d),
            "attn.qkv.bias": (3 * d,),
            "attn.proj.weight": (d, d),
            "attn.proj.bias": (d,),
            "norm2.weight": (d,),
            "norm2.bias": (d,),
            "mlp.fc1.weight": (4 * d, d),
            "mlp.fc1.bias": (4 * d,),
            "mlp.fc2.weight": (d, 4 * d),
            "mlp.fc2.bias": (d,),
        }
        table |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
    return table


def other_table(d: int) -> Shapes:
    """What lies around the encoder: the masked branch's rest, and some of volume, head and teacher."""
    return {
        PREFIX + "mask_token": (1, 1, 512),
        PREFIX + "decoder_embed.weight": (512, d),
        PREFIX + "decoder_embed.bias": (512,),
        PREFIX + "readout_project.0.weight": (512, 1024),
        PREFIX + "readout_project.0.bias": (512,),
        PREFIX + "upsample.0.conv.weight": (1024, 512, 3, 3),
        PREFIX + "upsample.1.conv.weight": (1024, 64, 3, 3),
        "model.view_transform.position_encoding.position_embedding.1.num_batches_tracked": (),
        "model.view_transform.decoder.layers.0.attentions.0.sampling_offsets.weight": (80, 64),
        "model.dense_head.proj_net.sdf_conv3d.3.weight": (33, 64, 1, 1, 1),
        "model.dense_head.renderer.field.deviation_network.variance": (1,),
        "model.dense_head.radio.model.blocks.0.attn.qkv.weight": (384, 128),
        "model.dense_head.radio.model.norm.weight": (128,),
    }


def random_release(d: int, blocks: int, whole: bool = True) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(d)
    table = {PREFIX + name: shape for name, shape in encoder_table(d, blocks).items()}
    table |= other_table(d) if whole else {}
    return {name: torch.randn(shape, generator=g) for name, shape in table.items()}


def write(state: dict[str, torch.Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3, "pytorch-lightning_version": "2.2"}, path)
    return path


@pytest.fixture
def release() -> dict[str, torch.Tensor]:
    return random_release(64, 3, whole=False)


@pytest.mark.parametrize(
    ("d", "blocks", "factory"), [(768, 12, spa_vit_base_patch16), (1024, 24, spa_vit_large_patch16)]
)
def test_names_and_shapes_are_the_published_ones(d: int, blocks: int, factory) -> None:
    with torch.device("meta"):
        state = factory().state_dict()
    assert {name: tuple(t.shape) for name, t in state.items()} == encoder_table(d, blocks)


@pytest.mark.parametrize(
    ("d", "blocks", "suffix"), [(768, 12, ".safetensors"), (768, 12, ".ckpt"), (1024, 24, ".safetensors")]
)
def test_a_release_loads_and_only_the_encoder_is_read(
    d: int, blocks: int, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = random_release(d, blocks)
    path = write(state, tmp_path / f"spa{suffix}")
    read: list[str] = []

    @contextmanager
    def watched(path: Path) -> Iterator[TensorFile]:
        with open_tensors(path) as file:
            yield TensorFile(file.path, file.shapes, lambda name: read.append(name) or file.read(name))

    monkeypatch.setattr(checkpoint, "open_tensors", watched)
    encoder = load_encoder(path)
    assert (encoder.width, len(encoder.blocks), encoder.heads, encoder.training) == (
        d,
        blocks,
        d // 64,
        False,
    )
    loaded = encoder.state_dict()
    assert set(read) == {PREFIX + name for name in encoder_table(d, blocks)} == {PREFIX + n for n in loaded}
    assert all(torch.equal(tensor, state[PREFIX + name]) for name, tensor in loaded.items())
    assert all(p.requires_grad and not p.is_meta for p in encoder.parameters())


@pytest.mark.parametrize("prefix", ["model.img_backbone.", "img_backbone.", ""])
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_prefixes(prefix: str, suffix: str, release, tmp_path: Path) -> None:
    state = {prefix + name.removeprefix(PREFIX): tensor for name, tensor in release.items()}
    state |= {prefix + "decoder_embed.weight": torch.zeros(2, 2), prefix + "mask_token": torch.zeros(1)}
    encoder = load_encoder(write(state, tmp_path / f"a{suffix}"))
    assert torch.equal(encoder.blocks[2].mlp.fc2.weight, release[PREFIX + "blocks.2.mlp.fc2.weight"])


def test_half_precision_files_become_float32(release, tmp_path: Path) -> None:
    path = write({name: t.half() for name, t in release.items()}, tmp_path / "a.safetensors")
    encoder = load_encoder(path)
    assert encoder.cls_token.dtype == torch.float32
    assert torch.equal(encoder.cls_token, release[PREFIX + "cls_token"].half().float())


def test_loaded_weights_do_not_hang_on_the_file(release, tmp_path: Path) -> None:
    for suffix in (".safetensors", ".ckpt"):
        path = write(release, tmp_path / f"a{suffix}")
        encoder = load_encoder(path)
        path.write_bytes(b"")
        assert torch.equal(encoder.norm.weight, release[PREFIX + "norm.weight"])


def test_another_size_resamples_the_position_table(release, tmp_path: Path) -> None:
    encoder = load_encoder(write(release, tmp_path / "a.safetensors"), image_size=448)
    assert encoder.pos_embed.shape == (1, 785, 64)
    assert torch.equal(encoder.pos_embed, resample_position_table(release[PREFIX + "pos_embed"], 28))
    assert encoder(torch.rand(1, 3, 448, 448), feature_map=True).shape == (1, 128, 28, 28)


def test_preprocessing_can_be_left_outside(release, tmp_path: Path) -> None:
    path = write(release, tmp_path / "a.safetensors")
    assert load_encoder(path).preprocess and not load_encoder(path, preprocess=False).preprocess


def test_every_difference_is_listed(tmp_path: Path) -> None:
    with torch.device("meta"):
        state = {PREFIX + name: torch.empty(shape) for name, shape in encoder_table(768, 12).items()}
    state = {name: torch.empty(tensor.shape, dtype=torch.uint8) for name, tensor in state.items()}
    del state[PREFIX + "norm.bias"], state[PREFIX + "blocks.3.mlp.fc1.weight"]
    state[PREFIX + "blocks.12.norm1.weight"] = torch.zeros(768)
    state[PREFIX + "blocks.0.attn.qkv.weight"] = torch.zeros(768, 768)
    state[PREFIX + "pos_embed"] = torch.zeros(1, 200, 768)
    path = write(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointMismatch) as found:
        load_encoder(path)
    error, text = found.value, str(found.value)
    assert error.missing == ["blocks.3.mlp.fc1.weight", "norm.bias"]
    assert error.unexpected == ["blocks.12.norm1.weight"]
    assert [name for name, *_ in error.misshaped] == ["pos_embed", "blocks.0.attn.qkv.weight"]
    assert str(path) in text and "missing (2): blocks.3.mlp.fc1.weight, norm.bias" in text
    assert "unexpected (1): blocks.12.norm1.weight" in text
    assert "blocks.0.attn.qkv.weight [768, 768], expected [2304, 768]" in text
    assert "pos_embed [1, 200, 768], expected [1, 1 + a square number, 768]" in text


def test_a_missing_block_is_told_by_the_released_depth(tmp_path: Path) -> None:
    table = encoder_table(768, 11)
    path = write({n: torch.empty(s, dtype=torch.uint8) for n, s in table.items()}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"missing \(12\): blocks\.11\.norm1\.weight"):
        load_encoder(path)


def test_a_factory_refuses_weights_of_another_variant(release, tmp_path: Path) -> None:
    path = write(release, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"cls_token \[1, 1, 64\], expected \[1, 1, 768\]"):
        spa_vit_base_patch16(pretrained=path)


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (
            {"model.dense_head.x": torch.zeros(2)},
            CheckpointMismatch,
            r"tensors: model\.dense_head\.x.*missing",
        ),
        ({"cls_token": torch.zeros(1, 1, 100)}, ValueError, "width 100 is not a multiple of 64"),
    ],
)
def test_a_file_of_something_else(state, error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match="(?s)" + message):
        load_encoder(write(state, tmp_path / "a.safetensors"))


def test_pickled_objects_are_refused_with_the_way_out(release, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": release, "hyper_parameters": argparse.Namespace(rate=1e-3)}, path)
    with pytest.raises(
        UnreadableCheckpoint, match=r"pickled objects.*safetensors.*convert it once.*weights_only=False"
    ):
        load_encoder(path)


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
def test_damaged_files_are_named(name: str, release, tmp_path: Path) -> None:
    path = write(release, tmp_path / name)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UnreadableCheckpoint, match=rf"{name} .*damaged"):
        load_encoder(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file: .*nowhere\.safetensors.*owner/name:file"):
        load_encoder("runs/nowhere.safetensors")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_encoder(tmp_path / "nowhere.ckpt")
    (tmp_path / "a.onnx").touch()
    with pytest.raises(UnreadableCheckpoint, match=r"expected a file that ends in \.safetensors or \.ckpt"):
        load_encoder(tmp_path / "a.onnx")
    torch.save({"model": {"cls_token": torch.zeros(1)}, "epoch": 1}, tmp_path / "a.pth")
    with pytest.raises(UnreadableCheckpoint, match="under top-level 'state_dict', found model, epoch"):
        load_encoder(tmp_path / "a.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_what_is_exported_is_in_the_released_layout_and_loads(suffix: str, tmp_path: Path) -> None:
    encoder = SpaEncoder(64, 16, 128, 2, 2)
    path = tmp_path / "runs" / f"a{suffix}"
    save_released(encoder, path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with open_tensors(path) as file:
        assert set(file.shapes) == {PREFIX + name for name in encoder.state_dict()}
    loaded = load_encoder(path, image_size=64)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded(image), encoder(image))


def test_a_whole_pre_training_model_is_exported_and_read_back(tmp_path: Path) -> None:
    branch = MaskedImageBranch(64, 64, 2, 1, decoder_width=16, channels=4)
    state = {f"img_backbone.{name}": tensor for name, tensor in branch.state_dict().items()}
    state["view_transform.norm.num_batches_tracked"] = torch.tensor(7)
    state["dense_head.renderer.field.deviation_network.variance"] = torch.tensor([0.3])
    save_released(state, tmp_path / "a.safetensors", dtype=torch.float16)
    save_released({f"model.{name}": tensor for name, tensor in state.items()}, tmp_path / "b.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as a, safe_open(tmp_path / "b.safetensors", "pt") as b:
        assert set(a.keys()) == set(b.keys()) == {f"model.{name}" for name in state}
        assert a.get_tensor(PREFIX + "norm.weight").dtype == torch.float16
        assert a.get_tensor("model.view_transform.norm.num_batches_tracked") == 7
    again = read_released(tmp_path / "b.safetensors")
    assert again.keys() == state.keys() and all(torch.equal(again[name], state[name]) for name in state)
    encoder = load_encoder(tmp_path / "b.safetensors", image_size=64)
    assert torch.equal(encoder.blocks[1].norm2.bias, branch.blocks[1].norm2.bias)


def test_reading_a_release_leaves_the_teacher_out(release, tmp_path: Path) -> None:
    release["model.dense_head.radio.norm.weight"] = torch.zeros(3)
    names = read_released(write(release, tmp_path / "a.safetensors"))
    assert "img_backbone.norm.weight" in names and not any("radio" in name for name in names)


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="width 64 with 2 heads has no released layout"):
        save_released(SpaEncoder(32, 16, 64, 1, 2), tmp_path / "a.safetensors")
    state = {f"img_backbone.{n}": t for n, t in SpaEncoder(32, 16, 64, 1, 1).state_dict().items()}
    del state["img_backbone.norm.weight"]
    with pytest.raises(CheckpointMismatch, match=r"(?s)to be written.*missing \(1\): norm\.weight"):
        save_released(state, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"ends in \.safetensors or \.ckpt"):
        save_released(SpaEncoder(32, 16, 64, 1, 1), tmp_path / "a.bin")
    assert not list(tmp_path.iterdir())


def test_the_policy_that_ships_still_loads() -> None:
    manifest = read_manifest(default_bundle())
    config = PolicyConfig(**manifest.architecture)
    policy = SpatialPolicy(config, manifest.action_grid(), len(manifest.vocabulary()))
    policy.load_state_dict(load_file(default_bundle() / "policy.safetensors"))
