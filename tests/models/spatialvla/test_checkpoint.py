"""Files in the released layout: all names and shapes, in, out, and refused with reasons."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from spatial_models.spatialvla import checkpoint
from spatial_models.spatialvla.checkpoint import CheckpointMismatch, load, released_table, save_released
from spatial_models.spatialvla.configuration import SpatialVlaConfig, UnusableConfiguration
from spatial_models.spatialvla.model import SpatialVla
from spatial_models.spatialvla.naming import from_released, to_released

Shapes = dict[str, tuple[int, ...]]

# The released config.json, but for fields that say nothing about the network.
RELEASED = {
    "model_type": "spatialvla",
    "action_token_begin_idx": 257153,
    "ego3d_patch_reso": 2,
    "hidden_size": 2048,
    "image_token_index": 257152,
    "n_freqs": 8,
    "projection_dim": 2304,
    "spatial_token_num": 8194,
    "text_config": {
        "architectures": ["Gemma2ForCausalLM"],
        "eos_token_id": [1, 107],
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "model_type": "gemma2",
        "num_hidden_layers": 26,
        "num_image_tokens": 256,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": 265347,
    },
    "torch_dtype": "bfloat16",
    "use_spatial_token": True,
    "use_vision_zoe": True,
    "vision_config": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "model_type": "siglip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "num_image_tokens": 256,
        "num_positions": 256,
        "patch_size": 14,
        "projection_dim": 2304,
        "torch_dtype": "bfloat16",
        "vision_use_head": False,
    },
    "vision_zoe_config": {
        "model_type": "zoedepth",
        "_name_or_path": "Intel/zoedepth-nyu-kitti",
        "add_projection": False,
        "attractor_kind": "mean",
        "backbone": None,
        "backbone_config": {
            "model_type": "beit",
            "hidden_size": 1024,
            "image_size": 384,
            "intermediate_size": 4096,
            "layer_norm_eps": 1e-12,
            "layer_scale_init_value": 0.1,
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "out_features": ["stage6", "stage12", "stage18", "stage24"],
            "out_indices": [6, 12, 18, 24],
            "patch_size": 16,
            "reshape_hidden_states": False,
            "use_relative_position_bias": True,
        },
        "backbone_hidden_size": 1024,
        "bin_configurations": [
            {"max_depth": 10.0, "min_depth": 0.001, "n_bins": 64, "name": "nyu"},
            {"max_depth": 80.0, "min_depth": 0.001, "n_bins": 64, "name": "kitti"},
        ],
        "bin_embedding_dim": 128,
        "bottleneck_features": 256,
        "fusion_hidden_size": 256,
        "neck_hidden_sizes": [256, 512, 1024, 1024],
        "num_attractors": [16, 8, 4, 1],
        "num_patch_transformer_layers": 4,
        "num_relative_features": 32,
        "patch_transformer_hidden_size": 128,
        "patch_transformer_intermediate_size": 1024,
        "patch_transformer_num_attention_heads": 4,
        "readout_type": "project",
        "reassemble_factors": [4, 2, 1, 0.5],
        "use_bias_in_fusion_residual": None,
    },
}


def both(name: str, weight: tuple[int, ...], bias: int | None = None) -> Shapes:
    """A layer's weight and bias, the bias as long as the weight's first axis unless said otherwise."""
    return {f"{name}.weight": weight, f"{name}.bias": (bias or weight[0],)}


def siglip_table() -> Shapes:
    top = "vision_tower.vision_model."
    table = both(top + "embeddings.patch_embedding", (1152, 3, 14, 14)) | {
        top + "embeddings.position_embedding.weight": (256, 1152)
    }
    for i in range(27):
        layer = f"{top}encoder.layers.{i}."
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            table |= both(f"{layer}self_attn.{part}", (1152, 1152))
        table |= both(layer + "layer_norm1", (1152,)) | both(layer + "layer_norm2", (1152,))
        table |= both(layer + "mlp.fc1", (4304, 1152)) | both(layer + "mlp.fc2", (1152, 4304))
    return table | both(top + "post_layernorm", (1152,)) | both("multi_modal_projector.linear", (2304, 1152))


def gemma_table() -> Shapes:
    top = "language_model."
    table: Shapes = {
        top + "model.embed_tokens.weight": (265347, 2304),
        top + "model.norm.weight": (2304,),
        top + "lm_head.weight": (265347, 2304),
        "spatial_embed_tokens.weight": (8194, 2304),
    }
    parts: Shapes = {
        "self_attn.q_proj": (2048, 2304),
        "self_attn.k_proj": (1024, 2304),
        "self_attn.v_proj": (1024, 2304),
        "self_attn.o_proj": (2304, 2048),
        "mlp.gate_proj": (9216, 2304),
        "mlp.up_proj": (9216, 2304),
        "mlp.down_proj": (2304, 9216),
        "input_layernorm": (2304,),
        "post_attention_layernorm": (2304,),
        "pre_feedforward_layernorm": (2304,),
        "post_feedforward_layernorm": (2304,),
    }
    for i in range(26):
        table |= {f"{top}model.layers.{i}.{part}.weight": shape for part, shape in parts.items()}
    head = "position_embedding_3d.position_embedding_head."
    return table | both(head + "0", (1152, 204)) | both(head + "1", (1152,)) | both(head + "3", (1152, 1152))


def beit_table() -> Shapes:
    top = "vision_zoe_model.backbone."
    table: Shapes = {top + "embeddings.cls_token": (1, 1, 1024)}
    table |= both(top + "embeddings.patch_embeddings.projection", (1024, 3, 16, 16))
    for i in range(24):
        layer = f"{top}encoder.layer.{i}."
        attention = layer + "attention.attention."
        table |= both(attention + "query", (1024, 1024)) | both(attention + "value", (1024, 1024))
        table |= {
            attention + "key.weight": (1024, 1024),
            attention + "relative_position_bias.relative_position_bias_table": (2212, 16),
            layer + "lambda_1": (1024,),
            layer + "lambda_2": (1024,),
        }
        table |= both(layer + "attention.output.dense", (1024, 1024))
        table |= both(layer + "intermediate.dense", (4096, 1024)) | both(layer + "output.dense", (1024, 4096))
        table |= both(layer + "layernorm_before", (1024,)) | both(layer + "layernorm_after", (1024,))
    return table


def depth_head_table() -> Shapes:
    top = "vision_zoe_model."
    neck, metric = top + "neck.", top + "metric_head."
    table: Shapes = {}
    for k, width in enumerate((256, 512, 1024, 1024)):
        table |= both(f"{neck}reassemble_stage.readout_projects.{k}.0", (1024, 2048))
        table |= both(f"{neck}reassemble_stage.layers.{k}.projection", (width, 1024, 1, 1))
        table |= {f"{neck}convs.{k}.weight": (256, width, 3, 3)}
        fusion = f"{neck}fusion_stage.layers.{k}."
        table |= both(fusion + "projection", (256, 256, 1, 1))
        for j in (1, 2):
            for c in (1, 2):
                table |= both(f"{fusion}residual_layer{j}.convolution{c}", (256, 256, 3, 3))
        encoder = f"{metric}patch_transformer.transformer_encoder.{k}."
        for part in ("query", "key", "value", "out_proj"):
            table |= both(f"{encoder}self_attn.{part}", (128, 128))
        table |= both(encoder + "linear1", (1024, 128)) | both(encoder + "linear2", (128, 1024))
        table |= both(encoder + "norm1", (128,)) | both(encoder + "norm2", (128,))
        projector = f"{metric}projectors.{k}."
        table |= both(projector + "conv1", (64, 256, 1, 1)) | both(projector + "conv2", (128, 64, 1, 1))
    for k, shape in ((0, (256, 256, 4, 4)), (1, (512, 512, 2, 2)), (3, (1024, 1024, 3, 3))):
        table |= both(f"{neck}reassemble_stage.layers.{k}.resize", shape)
    relative = top + "relative_head."
    table |= both(relative + "conv1", (128, 256, 3, 3)) | both(relative + "conv2", (32, 128, 3, 3))
    table |= both(relative + "conv3", (1, 32, 1, 1)) | both(metric + "conv2", (256, 256, 1, 1))
    table |= both(metric + "patch_transformer.embedding_convPxP", (128, 256, 1, 1))
    table |= both(metric + "mlp_classifier.linear1", (128, 128))
    table |= both(metric + "mlp_classifier.linear2", (2, 128))
    table |= both(metric + "seed_projector.conv1", (64, 256, 1, 1))
    table |= both(metric + "seed_projector.conv2", (128, 64, 1, 1))
    for head in ("nyu", "kitti"):
        table |= both(f"{metric}seed_bin_regressors.{head}.conv1", (64, 256, 1, 1))
        table |= both(f"{metric}seed_bin_regressors.{head}.conv2", (64, 64, 1, 1))
        for k in range(4):
            table |= both(f"{metric}attractors.{head}.{k}.conv1", (128, 128, 1, 1))
            table |= both(f"{metric}attractors.{head}.{k}.conv2", (16, 128, 1, 1))
        table |= both(f"{metric}conditional_log_binomial.{head}.mlp.0", (40, 160, 1, 1))
        table |= both(f"{metric}conditional_log_binomial.{head}.mlp.2", (4, 40, 1, 1))
    return table


@pytest.fixture(scope="module")
def released_model():
    config = SpatialVlaConfig.from_fields(RELEASED)
    with torch.device("meta"):
        return SpatialVla(config)


def test_released_configuration_builds_the_released_tensors_to_the_last_one(released_model):
    wanted = siglip_table() | gemma_table() | beit_table() | depth_head_table()
    assert released_table(released_model) == wanted
    assert len(wanted) == 1382
    assert sum(p.numel() for p in released_model.parameters()) == 4_027_854_731


def test_released_configuration_is_read_as_meant(released_model):
    config = released_model.config
    text = config.text
    assert (config.width, config.image_size, config.image_tokens) == (2304, 224, 256)
    assert (text.num_attention_heads, text.head_dim, text.query_pre_attn_scalar) == (8, 256, 256)
    assert (text.attn_logit_softcapping, text.final_logit_softcapping, text.sliding_window) == (50, 30, 4096)
    assert text.rope_parameters["rope_theta"] == 10_000 and text.rms_norm_eps == 1e-6
    assert config.vision.layer_norm_eps == 1e-6 and config.dtype == torch.bfloat16
    assert config.depth.backbone_config.layer_norm_eps == 1e-12
    again = SpatialVlaConfig.from_fields(json.loads(json.dumps(config.fields(), default=list)))
    assert json.dumps(again.fields(), default=list) == json.dumps(config.fields(), default=list)


def test_names_go_both_ways(released_model):
    ours = list(released_model.state_dict())
    theirs = [to_released(name) for name in ours]
    assert [from_released(name) for name in theirs] == ours
    assert len(set(theirs)) == len(ours)


@pytest.mark.parametrize("shard_size", ["5GB", "40KB"])
def test_round_trip(shard_size, make_model, tmp_path):
    model = make_model(depth=True)
    save_released(model, tmp_path, shard_size)
    assert (tmp_path / checkpoint.INDEX).exists() == (shard_size == "40KB")
    again = load(tmp_path)
    state = model.state_dict()
    assert list(again.state_dict()) == list(state)
    assert all(torch.equal(t, state[name]) for name, t in again.state_dict().items())
    stored = {}
    for path in tmp_path.glob("*.safetensors"):
        stored |= load_file(path)
    assert {name: tuple(t.shape) for name, t in stored.items()} == released_table(model)
    begin = model.config.action_begin
    mirrored = stored["language_model.model.embed_tokens.weight"][begin:]
    assert torch.equal(mirrored, stored["spatial_embed_tokens.weight"])


def test_what_no_file_holds_is_there_after_loading(make_model, tmp_path):
    model = make_model(depth=True)
    save_released(model, tmp_path)
    again = load(tmp_path, dtype=torch.bfloat16)
    buffers = dict(again.named_buffers())
    for name, wanted in model.named_buffers():
        assert torch.equal(buffers[name], wanted) and buffers[name].dtype == wanted.dtype, name
    assert not any(t.is_meta for t in again.state_dict().values())
    assert {p.dtype for p in again.parameters()} == {torch.bfloat16}


def test_loaded_model_computes_the_same(make_model, make_inputs, tmp_path):
    model = make_model(depth=True)
    save_released(model, tmp_path)
    again = load(tmp_path, depth_network=False)
    assert again.vision_zoe_model is None
    inputs = make_inputs(model)
    with torch.no_grad():
        assert torch.equal(
            again.logits(again.hidden(*inputs, "bidirectional")),
            model.logits(model.hidden(*inputs, "bidirectional")),
        )


def test_a_loaded_weight_is_the_memory_that_was_read(make_model, tmp_path, monkeypatch):
    """No copy: what the file gave is what the model has."""
    model = make_model()
    save_released(model, tmp_path)
    read = {}

    class Noting:
        def __init__(self, path):
            self.file = safe_open(path, framework="pt")
            self.shapes = {n: tuple(self.file.get_slice(n).get_shape()) for n in self.file.keys()}  # noqa: SIM118

        def read(self, name):
            read[name] = tensor = self.file.get_tensor(name)
            return tensor

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(checkpoint, "open_tensors", Noting)
    again = load(tmp_path)
    places = {to_released(name): t.data_ptr() for name, t in again.state_dict().items()}
    assert places == {name: t.data_ptr() for name, t in read.items()}


@pytest.mark.parametrize("shard_size", ["5GB", "40KB"])
def test_a_model_can_be_written_over_the_files_it_was_read_from(shard_size, make_model, tmp_path):
    """Weights may still be read from the file when it is replaced."""
    model = make_model()
    save_released(model, tmp_path, shard_size)
    again = load(tmp_path)
    with torch.no_grad():
        again.spatial_embed_tokens.weight += 1
    save_released(again, tmp_path, shard_size)
    last = load(tmp_path).state_dict()
    for name, tensor in model.state_dict().items():
        if name == "spatial_embed_tokens.weight":
            assert torch.equal(last[name], tensor + 1)
        elif name != "language_model.model.embed_tokens.weight":
            assert torch.equal(last[name], tensor), name


def test_mismatch_lists_what_is_missing_unexpected_and_misshaped(make_model, tmp_path):
    model = make_model()
    save_released(model, tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    state["language_model.model.stranger"] = state.pop("language_model.model.norm.weight")
    state["spatial_embed_tokens.weight"] = torch.zeros(3, 24)
    save_file(state, file)
    with pytest.raises(CheckpointMismatch) as raised:
        load(tmp_path)
    assert raised.value.missing == ["language_model.model.norm.weight"]
    assert raised.value.unexpected == ["language_model.model.stranger"]
    assert raised.value.misshaped == [("spatial_embed_tokens.weight", (3, 24), (16, 24))]
    assert "spatial_embed_tokens.weight [3, 24], expected [16, 24]" in str(raised.value)


def test_absent_files_are_named(make_model, tmp_path):
    model = make_model()
    save_released(model, tmp_path, "40KB")
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=shard.name):
        load(tmp_path)
    (tmp_path / checkpoint.INDEX).unlink()
    with pytest.raises(FileNotFoundError, match="neither"):
        load(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spatial_token_num": 15}, "40..54"),
        ({"ego3d_patch_reso": 4}, "does not divide the patch of 14 px"),
        ({"model_type": "paligemma"}, "'paligemma'"),
        ({"text_config": {"tie_word_embeddings": True, "vocab_size": 56}}, "tie_word_embeddings"),
    ],
)
def test_contradictory_configurations_are_refused(change, said, make_fields):
    with pytest.raises(UnusableConfiguration, match=said):
        SpatialVlaConfig.from_fields(make_fields(**change))
