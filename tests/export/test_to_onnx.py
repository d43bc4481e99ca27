"""Every kind of checkpoint becomes ONNX files that say the same as PyTorch on every session here."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from checkpoints import Shape, read_checkpoint
from observations import seeded, torch_session
from parity import THRESHOLDS, compare
from spatial_models.spatialvla.checkpoint import save_released
from spatial_models.spatialvla.depth import ZoeDepth
from spatial_models.spatialvla.generate import ActionDecoder
from spatial_models.spatialvla.model import Sequences
from spatial_models.spatialvla.stages import depth_stage
from spatial_vla.policy import read_manifest
from spatial_vla.policy.manifest import read_fields
from spatial_vla.runtime import OnnxRuntimeSession, OpenVinoSession, TokenLoop
from spatial_vla.runtime.openvino import can_use_bf16
from tiny_models import spatialvla_conftest, zoe_depth
from to_onnx import ExportArgs, export, write_onnx
from to_trt import check_operators

SESSIONS = [OnnxRuntimeSession, OpenVinoSession]
MORE = {"kind": "any", "precision": "fp32"}


@pytest.fixture(params=SESSIONS, ids=["onnxruntime", "openvino"])
def open_file(request):
    if request.param is OpenVinoSession:
        pytest.importorskip("openvino")
    return request.param


@pytest.mark.parametrize("stage", ["encoder", "decoder"])
def test_the_policy_says_the_same_100_times(trained: Path, bundle: Path, open_file, stage: str) -> None:
    checkpoint = read_checkpoint(str(trained), Shape())
    exact = checkpoint.stages("fp32", 0)[stage]
    grid = read_manifest(bundle).action_grid()
    session = open_file(bundle / f"{stage}.onnx")
    found = compare(torch_session(exact), session, seeded(exact, 100), stage=stage, grid=grid, **MORE)
    assert found.ready and found.observations == 100
    assert found.max_error <= 1e-4
    if stage == "decoder":
        assert found.token_agreement == 1.0
        assert found.translation_mm == found.rotation_deg == 0.0


def test_spa_encoder(spa_weights: Path, open_file, tmp_path: Path) -> None:
    shape = Shape(image_size=32, batch=2)
    out = export(ExportArgs(str(spa_weights), tmp_path / "spa", observations=3, shape=shape))
    exact = read_checkpoint(str(spa_weights), shape).stages("fp32", 0)["encoder"]
    found = compare(
        torch_session(exact), open_file(out / "encoder.onnx"), seeded(exact, 20), stage="encoder", **MORE
    )
    assert found.ready and found.max_error <= 1e-4
    fields = read_fields(out)
    assert fields["kind"] == "spa" and fields["architecture"]["width"] == 128
    assert {row["stage"]: row["ready"] for row in fields["parity"]} == {"encoder": True}


def test_positions_stay_in_single_precision_whatever_is_asked_for(bundle: Path) -> None:
    if not can_use_bf16():
        pytest.skip("this processor does not multiply in bfloat16")
    devices = [OpenVinoSession(bundle / f"{n}.onnx", precision="bf16").device for n in ("encoder", "decoder")]
    assert [device.split(",")[0].split()[-1] for device in devices] == ["bf16", "fp32"]


def test_spatialvla_stages_decode_the_tokens_that_pytorch_decodes(spatialvla: Path, open_file) -> None:
    """100 observations, prompts of every length; the padding holds garbage to begin with."""
    tiny = spatialvla_conftest()
    model = tiny.tiny_model()
    reference = ActionDecoder(model, tiny.CELLS, record=False)
    vision, prefill, step = (
        open_file(spatialvla / f"{n}.onnx") for n in ("vision", "prefill", "decode_step")
    )
    loop = TokenLoop(prefill, step)
    patches, g = model.config.image_tokens, torch.Generator().manual_seed(3)
    firsts = np.array([0, tiny.CELLS[0], sum(tiny.CELLS[:2])])
    seen = set()
    for number in range(100):
        length = 1 + number % 6
        ids = torch.full((1, patches + length), model.config.image_token)
        ids[0, patches:] = torch.randint(3, tiny.TEXT - 1, (length,), generator=g)
        image = torch.rand(1, 3, 28, 28, generator=g)
        points = torch.randn(1, patches, 4, 3, generator=g)
        wanted = reference(Sequences(ids, torch.ones_like(ids, dtype=torch.bool)), image, points)
        embeddings = vision.run({"image": image.numpy(), "points": points.numpy()})["image_embeddings"]
        with torch.no_grad():
            text = model.embed(ids[:, patches:]).numpy()
        tokens, chances = loop(embeddings, text)
        np.testing.assert_array_equal(tokens - firsts, wanted.ids[0].numpy())
        np.testing.assert_allclose(chances, wanted.log_probabilities[0].numpy(), atol=1e-4)
        seen.add(tuple(tokens.ravel()))
    assert len(seen) > 5  # not all the same


def test_depth_is_that_of_pytorch_whichever_head_is_chosen(tmp_path: Path, open_file) -> None:
    """The classifier is torn between its heads, so that images choose both."""
    network = zoe_depth()
    images = [torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(n)) for n in range(6)]
    classifier, scores = network.metric_head.mlp_classifier, []
    handle = classifier.register_forward_hook(lambda *given: scores.append(given[-1][0].detach()))
    for image in images:
        ZoeDepth(network).depth(image)
    with torch.no_grad():
        classifier.linear2.bias[0] -= torch.stack([s[0] - s[1] for s in scores]).median() + 1e-4
    scores.clear()
    wanted = [ZoeDepth(network).depth(image).numpy() for image in images]
    handle.remove()
    assert {int(s.argmax()) for s in scores} == {0, 1}
    write_onnx(depth_stage(network, 64), tmp_path / "depth.onnx")
    check_operators(tmp_path / "depth.onnx")
    session = open_file(tmp_path / "depth.onnx")
    for image, metres in zip(images, wanted, strict=True):
        assert metres.std() > 1e-3
        off = np.abs(session.run({"image": image.numpy()})["depth"] / metres - 1)
        # Attractors magnify roundings, at a few pixels of a random network.
        assert np.quantile(off, 0.99) < 1e-4 and off.max() < 0.02


def test_a_checkpoint_with_zoedepth_has_it_as_a_stage(tmp_path: Path) -> None:
    model = spatialvla_conftest().tiny_model(depth=True)
    save_released(model, tmp_path / "released")
    args = ExportArgs(str(tmp_path / "released"), tmp_path / "out", stage="depth", observations=2)
    args.shape = Shape(text=6, cells=(6, 8, 2))
    session = OnnxRuntimeSession(export(args) / "depth.onnx")
    image = torch.rand(1, 3, 28, 28)
    expected = ZoeDepth(model.vision_zoe_model).depth(image)
    np.testing.assert_allclose(session.run({"image": image.numpy()})["depth"], expected, rtol=1e-4)


@pytest.mark.parametrize("precision", ["w8", "w4"])
def test_weights_alone_in_fewer_bits(
    spatialvla: Path, spatialvla_folder: Path, tmp_path: Path, precision
) -> None:
    shape = Shape(text=6, cells=(6, 8, 2))
    args = ExportArgs(str(spatialvla_folder), tmp_path / "w", stage="decode_step", shape=shape)
    args.precision, args.observations = precision, 50
    out = export(args)
    row = read_fields(out)["parity"][0]
    assert row["ready"] and row["precision"] == precision
    graph = onnx.load(out / "decode_step.onnx").graph
    products = [node for node in graph.node if node.op_type == "MatMulNBits"]
    assert len(products) >= 14  # two layers of seven products
    assert {a.i for node in products for a in node.attribute if a.name == "bits"} == {int(precision[1])}
    with pytest.raises(RuntimeError, match="MatMulNBits"):
        check_operators(out / "decode_step.onnx")


def test_prompts_that_do_not_fit_are_refused(spatialvla: Path) -> None:
    loop = TokenLoop(
        OnnxRuntimeSession(spatialvla / "prefill.onnx"), OnnxRuntimeSession(spatialvla / "decode_step.onnx")
    )
    for length in (0, 7):
        with pytest.raises(ValueError, match=f"prompt of {length} tokens; expected 1 to 6"):
            loop(np.zeros((1, 4, 24), np.float32), np.zeros((1, length, 24), np.float32))


def test_files_are_what_every_tensorrt_reads(bundle: Path, spatialvla: Path) -> None:
    for path in (*bundle.glob("*.onnx"), *spatialvla.glob("*.onnx")):
        check_operators(path)
        model = onnx.load(path)
        assert [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")] == [20]
        for value in (*model.graph.input, *model.graph.output):
            assert all(d.HasField("dim_value") for d in value.type.tensor_type.shape.dim)
            assert value.type.tensor_type.elem_type != onnx.TensorProto.DOUBLE


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision(spa_weights: Path, tmp_path: Path, precision: str) -> None:
    shape = Shape(image_size=32)
    args = ExportArgs(str(spa_weights), tmp_path / "half", precision=precision, observations=3, shape=shape)
    out = export(args)
    row = read_fields(out)["parity"][0]
    assert row["ready"] and row["cosine"] >= THRESHOLDS[precision].cosine
    kinds = {t.data_type for t in onnx.load(out / "encoder.onnx").graph.initializer if len(t.dims) == 2}
    assert kinds == {onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.BFLOAT16}


def test_one_stage_alone(spatialvla_folder: Path, tmp_path: Path) -> None:
    shape = Shape(text=6, cells=(6, 8, 2))
    args = ExportArgs(str(spatialvla_folder), tmp_path / "v", stage="vision", observations=2, shape=shape)
    assert [p.name for p in export(args).glob("*.onnx")] == ["vision.onnx"]


def test_files_do_not_tell_where_they_were_made(bundle: Path, spatialvla: Path) -> None:
    for path in (bundle / "encoder.onnx", bundle / "decoder.onnx", spatialvla / "decode_step.onnx"):
        assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()


def test_what_cannot_be_exported_is_named(trained: Path, spatialvla_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no stage 'vision' in a policy; there are all, encoder, decoder"):
        export(ExportArgs(str(trained), tmp_path / "x", stage="vision"))
    with pytest.raises(ValueError, match="int8 is calibrated"):
        export(ExportArgs(str(trained), tmp_path / "x", precision="int8"))
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        export(ExportArgs(str(tmp_path), tmp_path / "x"))
    with pytest.raises(FileNotFoundError, match=r"processor_config\.json.*--shape\.cells"):
        export(ExportArgs(str(spatialvla_folder), tmp_path / "x"))


def test_what_is_too_far_from_pytorch_is_not_put_in_place(trained: Path, tmp_path: Path, monkeypatch) -> None:
    from parity import Threshold

    out = tmp_path / "bundle"
    out.mkdir()
    (out / "kept").write_text("as it was")
    monkeypatch.setitem(THRESHOLDS, "fp32", Threshold(0.0, 2.0, 1.0))
    with pytest.raises(RuntimeError, match="encoder, decoder in fp32 is too far from PyTorch"):
        export(ExportArgs(str(trained), out, observations=2))
    assert (out / "kept").read_text() == "as it was"


def test_the_manifest_tells_where_it_comes_from(trained: Path, bundle: Path) -> None:
    fields = json.loads((bundle / "manifest.json").read_text())
    assert set(fields["source"]) == {"policy.safetensors", "policy.json", "grid.json"}
    assert {row["stage"] for row in fields["parity"]} == {"encoder", "decoder"}
    assert read_manifest(bundle).ready == ("onnxruntime",)
