"""What is trained and what is not, and that a tiny network learns its demonstrations."""

import lightning as L
import numpy as np
import pytest
import torch
from spatial_models.spatialvla.checkpoint import released_table, save_released
from spatial_models.spatialvla.configuration import SpatialVlaConfig
from spatial_models.spatialvla.generate import ActionDecoder
from spatial_models.spatialvla.model import Sequences, SpatialVla
from spatial_models.spatialvla.positions import Positions, Request
from spatial_models.spatialvla.prompt import Prompts
from spatial_models.spatialvla.trainable import Trained, merge_lora, prepare, trainable
from spatial_models.training.spatialvla_module import Batches, Demonstration, SpatialVlaModule
from spatial_vla.actions import ActionStatistics, SpatialActionTokenizer, grid_from_bin_policy
from torch.utils.data import DataLoader

from .test_checkpoint import RELEASED
from .test_policy import EDGES, HIGH, LOW, RELEASED_K, rng_depth, rng_image

pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*log_every_n_steps.*")


def test_lora_of_the_released_network_has_the_published_size():
    """351 layers and 59.2 M weights were published, four layers of them in ZoeDepth, which learn nothing."""
    with torch.device("meta"):
        model = SpatialVla(SpatialVlaConfig.from_fields(RELEASED))
        prepare(model, Trained(action_table=False, ego3d=False, lora_rank=32))
    names = trainable(model)
    assert len(names) == 2 * (351 - 4)
    assert sum(p.numel() for p in names.values()) + 4 * 32 * (128 + 128) == pytest.approx(59.2e6, abs=0.05e6)


def test_adaptation_trains_table_and_position_encoding_alone(make_model):
    model = prepare(make_model(depth=True), Trained())
    head = "position_embedding_3d.position_embedding_head."
    wanted = {"spatial_embed_tokens.weight"} | {
        f"{head}{i}.{n}" for i in (0, 1, 3) for n in ("weight", "bias")
    }
    assert set(trainable(model)) == wanted
    everything = set(trainable(prepare(make_model(depth=True), Trained(everything=True))))
    assert "language_model.lm_head.weight" in everything and wanted < everything
    assert not any("embed_tokens.weight" in n and "spatial" not in n for n in everything)
    assert not any(name.startswith("vision_zoe_model") for name in everything)
    for wrong in ({"everything": True, "lora_rank": 4}, {"action_table": False, "ego3d": False}):
        with pytest.raises(ValueError, match="choose"):
            Trained(**wrong)


def test_merged_corrections_compute_the_same_in_the_released_layout(make_model, make_inputs, tmp_path):
    model, inputs = make_model(), make_inputs(make_model())
    table = released_table(model)
    prepare(model, Trained(lora_rank=3))
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
        wanted = model.hidden(*inputs, "bidirectional")
        found = merge_lora(model).hidden(*inputs, "bidirectional")
    assert torch.allclose(found, wanted, atol=1e-4)
    assert released_table(model) == table
    save_released(model, tmp_path)


@pytest.fixture(scope="module")
def batches(make_model, make_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(folder)
    config = make_model().config
    tokenizer = SpatialActionTokenizer(grid_from_bin_policy(EDGES), config.action_begin, steps=2)
    fields = {"action": {"q01": LOW, "q99": HIGH}}
    statistics = ActionStatistics.from_processor_config({"statistics": {"lab": fields}}, "lab")
    return Batches(Prompts.read(folder, config), tokenizer, statistics, Positions(config, RELEASED_K))


@pytest.fixture(scope="module")
def demonstrations():
    """Twenty moments with an image, an instruction and two steps each."""
    rng = np.random.default_rng(0)
    texts = ("lift the cup", "stop", "open the drawer", "go left", "put it down")
    low, high = np.array(LOW), np.array(HIGH)
    return [
        Demonstration(
            Request(rng_image(i), texts[i % 5], rng_depth(i), RELEASED_K),
            np.where(np.arange(7) < 6, rng.uniform(low, high, (2, 7)), rng.integers(0, 2, (2, 1))),
        )
        for i in range(20)
    ]


def losses_of(module, data, batches, folder, epochs, resume=None):
    seen = []

    class Noting(L.Callback):
        def on_train_batch_end(self, trainer, module, outputs, *_):
            seen.append(float(outputs["loss"].detach()))

    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        gradient_clip_val=1.0,
        callbacks=[Noting()],
        default_root_dir=folder,
    )
    trainer.fit(module, DataLoader(data, batch_size=20, collate_fn=batches), ckpt_path=resume)
    trainer.save_checkpoint(folder / "last.ckpt")
    return seen


def test_lora_learns_twenty_demonstrations(make_wide_model, batches, demonstrations, cells, tmp_path):
    """Every token of every chunk comes back, so that the action error is the grid's alone."""
    model = prepare(make_wide_model(torch.float32), Trained(lora_rank=16))
    module = SpatialVlaModule(model, prompt_attention="bidirectional", learning_rate=5e-3, total_steps=150)
    losses = losses_of(module, demonstrations, batches, tmp_path, epochs=150)
    assert losses[-1] < 0.1 * losses[0]
    merge_lora(model).eval()
    batch = batches(demonstrations)
    prompt = batch["valid"] & ~batch["suffix"]
    longest = int(prompt.sum(1).max())
    ids = batch["ids"].masked_fill(~prompt, 0)[:, :longest]
    sequences = Sequences(ids, prompt[:, :longest])
    said = ActionDecoder(model, cells, steps=2)(sequences, batch["images"], batch["points"]).ids
    tokenizer, statistics = batches.tokenizer, batches.statistics
    wanted = np.stack([d.actions for d in demonstrations])
    ids = said.numpy() + np.array([slot.start for slot in tokenizer.slots])
    found = statistics.denormalise(tokenizer.decode(ids.reshape(20, -1)))
    best = statistics.denormalise(tokenizer.decode(tokenizer.encode(statistics.normalise(wanted))))
    assert (found == best).all(axis=-1).mean() > 0.95
    assert np.abs(found - wanted).mean() < np.abs(best - wanted).mean() + 0.002


def test_training_resumes_where_it_stopped(make_model, batches, demonstrations, tmp_path):
    def fresh():
        torch.manual_seed(0)
        model = prepare(make_model(), Trained(lora_rank=2))
        return SpatialVlaModule(model, learning_rate=1e-2, total_steps=10)

    whole = losses_of(fresh(), demonstrations, batches, tmp_path, epochs=6)
    first = losses_of(fresh(), demonstrations, batches, tmp_path, epochs=3)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=False)["state_dict"]
    assert kept and all("lora_" in n or "spatial_embed" in n or ".position_" in n for n in kept)
    rest = losses_of(fresh(), demonstrations, batches, tmp_path, epochs=6, resume=tmp_path / "last.ckpt")
    np.testing.assert_allclose(first + rest, whole, rtol=1e-5)
