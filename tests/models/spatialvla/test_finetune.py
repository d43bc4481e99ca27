"""Fine-tuning as a user starts it, on recorded episodes: what is drawn, what is left, and that it goes on."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file
from spatial_models.spatialvla.adapt import Adapt
from spatial_models.spatialvla.adapted import Write
from spatial_models.spatialvla.checkpoint import CheckpointMismatch, load, save_released
from spatial_models.spatialvla.policy import SpatialVlaPolicy
from spatial_models.training.finetune import CONFIGS, train
from spatial_models.training.steps import Draws, Steps
from spatial_vla.actions import ActionStatistics, read_processor_config
from spatial_vla.datasets import LeRobotEpisodes, Moment
from spatial_vla_sim.record_lerobot import RecordLeRobot

from .test_policy import EDGES, HIGH, LOW, RELEASED_K

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
SHORT = ("trainer.max_steps=6", "checkpoint_every=2", "batch=4", "trainer.log_every_n_steps=1", "report=8")
QUIET = ("threads=1", "trainer.enable_progress_bar=false", "trained.lora_rank=2", "depth_network=false")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    root = tmp_path_factory.mktemp("lerobot") / "sim"
    RecordLeRobot(root, episodes=2, size=56, steps=8).run()
    return root


@pytest.fixture(scope="module")
def checkpoint(make_model, make_tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint")
    save_released(make_model(), path)
    make_tokenizer(path)
    fields = {
        "action_chunk_size": 2,
        "bin_policy": EDGES,
        "intrinsic_config": {"default": {"width": 64, "height": 48, "intrinsic": RELEASED_K}},
        "statistics": {"lab/1.0.0": {"action": {"q01": LOW, "q99": HIGH}}},
    }
    (path / "processor_config.json").write_text(json.dumps(fields))
    return path


def settings(checkpoint, recording, out, *more):
    return [f"checkpoint={checkpoint}", f"data.root={recording}", f"out={out}", *SHORT, *QUIET, *more]


def here(checkpoint, recording, out, *more):
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        train(compose("finetune", overrides=settings(checkpoint, recording, out, *more)))
    return out


def by_step(out):
    """Losses; what was done again after a resumption counts once, and must agree."""
    found = {}
    for path in sorted(out.glob("log/version_*/metrics.csv")):
        with path.open() as file:
            for row in csv.DictReader(file):
                if row.get("loss"):
                    step, loss = int(row["step"]), float(row["loss"])
                    assert found.setdefault(step, loss) == pytest.approx(loss, rel=1e-5)
    return found


def losses(out):
    found = by_step(out)
    return [found[step] for step in sorted(found)]


@pytest.fixture(scope="module")
def whole(checkpoint, recording, tmp_path_factory):
    return here(checkpoint, recording, tmp_path_factory.mktemp("whole") / "run")


def started(*arguments):
    program = [sys.executable, "-m", "spatial_models.training.finetune", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "1"}
    return subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def test_the_result_is_a_checkpoint_as_any_other(whole, checkpoint, recording):
    assert len(losses(whole)) == 6
    folder = whole / "checkpoint"
    policy = SpatialVlaPolicy.from_folder(folder, "sim/1.0.0")
    episodes = LeRobotEpisodes(recording)
    moment = episodes.moment(3)
    chunk = policy(moment.image, moment.depth, moment.intrinsics, moment.instruction)
    assert chunk.deltas.shape == (2, 6) and np.isfinite(chunk.deltas).all()
    before, after = load_file(checkpoint / "model.safetensors"), load_file(folder / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert "spatial_embed_tokens.weight" in changed and "language_model.lm_head.weight" not in changed
    assert any(name.endswith("layers.1.self_attn.q_proj.weight") for name in changed)
    text = torch.equal(*(t["language_model.model.embed_tokens.weight"][:40] for t in (before, after)))
    assert text, "the text's embeddings stay"


def test_statistics_are_the_data_s_and_the_others_stay(whole, recording):
    fields = read_processor_config(whole / "checkpoint")
    assert set(fields["statistics"]) == {"lab/1.0.0", "sim/1.0.0"} and fields["bin_policy"] == EDGES
    low, high = np.quantile(LeRobotEpisodes(recording).actions, (0.01, 0.99), axis=0)
    found = ActionStatistics.from_processor_config(fields, "sim/1.0.0")
    np.testing.assert_allclose(found.q01, low)
    np.testing.assert_allclose(found.q99, high)
    entry = fields["intrinsic_config"]["sim/1.0.0"]
    K = LeRobotEpisodes(recording).moment(0).intrinsics
    assert (entry["width"], entry["height"]) == (56, 56)
    assert entry["intrinsic"][0][2] == pytest.approx(K[0, 2] + 0.5)
    report = json.loads((whole / "report.json").read_text())
    assert report["steps"] == 8 and report["grid"]["gripper"] == 1.0


def test_a_training_that_was_killed_goes_on_as_if_it_had_not(whole, checkpoint, recording, tmp_path):
    process = started(*settings(checkpoint, recording, tmp_path))
    while not (tmp_path / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    reached = torch.load(tmp_path / "last.ckpt", weights_only=False)["global_step"]
    assert 0 < reached <= 6
    here(checkpoint, recording, tmp_path)
    expected, found = by_step(whole), by_step(tmp_path)
    # Lightning writes the row of a step after its checkpoint; a kill between the two leaves that row out.
    assert set(expected) - set(found) <= {reached - 1} and max(found) == max(expected)
    assert found == {step: pytest.approx(expected[step], rel=1e-5) for step in found}
    with pytest.raises(ValueError, match="was trained with batch 4, this run has 2"):
        here(checkpoint, recording, tmp_path, "batch=2")


@pytest.mark.parametrize("trainer", ["ddp_sim", pytest.param("fsdp_sim", marks=pytest.mark.slow)])
def test_two_processes_do_what_one_does(trainer, whole, checkpoint, recording, tmp_path):
    process = started(*settings(checkpoint, recording, tmp_path, f"trainer={trainer}", "report=0"))
    said = process.communicate(timeout=200)[0]
    assert process.returncode == 0, said
    np.testing.assert_allclose(losses(tmp_path), losses(whole), rtol=1e-4)
    one, two = (load_file(out / "checkpoint/model.safetensors") for out in (whole, tmp_path))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(
            two[name], tensor, rtol=1e-3, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_accumulated_batches_do_what_one_does(whole, checkpoint, recording, tmp_path):
    here(checkpoint, recording, tmp_path, "trainer.accumulate_grad_batches=2", "gradient_checkpointing=true")
    one, two = (load_file(out / "checkpoint/model.safetensors") for out in (whole, tmp_path))
    name = "spatial_embed_tokens.weight"
    torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-5)
    with pytest.raises(ValueError, match="batch=5 over 1 processes and 2 accumulated"):
        here(checkpoint, recording, tmp_path / "x", "trainer.accumulate_grad_batches=2", "batch=5")


def test_a_new_grid_has_other_tokens(checkpoint, recording, tmp_path):
    out = here(
        checkpoint,
        recording,
        tmp_path,
        "adapt.how=fit",
        "adapt.dead_zone=0.02",
        "trained.head=true",
        "augment=true",
    )
    model = load(out / "checkpoint")
    assert (
        model.config.action_tokens == 6 + 1 + 8 + 1 + 2
        and len(model.language_model.lm_head.weight) == 40 + 18
    )
    policy = SpatialVlaPolicy.from_folder(out / "checkpoint", "sim/1.0.0")
    assert policy.tokenizer.grid.zero_motion
    still = policy.statistics.normalise(np.array([[[0.0] * 6 + [1.0]] * 2]))
    again = policy.tokenizer.decode(policy.tokenizer.encode(still))[0]
    assert (policy.statistics.denormalise(again)[:, :6] == 0).all()
    moment = LeRobotEpisodes(recording).moment(0)
    assert policy(moment.image, moment.depth, None, moment.instruction).steps == 2
    assert set(read_processor_config(out / "checkpoint")["statistics"]) == {"sim/1.0.0"}
    with pytest.raises(CheckpointMismatch, match=r"\[16, 24\], expected \[18, 24\]"):
        (tmp_path / "old").mkdir()
        save_released(load(checkpoint), tmp_path / "old")
        (tmp_path / "old/config.json").write_text((out / "checkpoint/config.json").read_text())
        load(tmp_path / "old")


def test_depth_that_was_not_measured_is_estimated(checkpoint, make_model, recording, tmp_path):
    save_released(make_model(depth=True), tmp_path / "zoe")
    for name in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        (tmp_path / "zoe" / name).write_text((checkpoint / name).read_text())
    more = ("data.sets.0.depth=null", "trainer.max_steps=1", "report=2")
    out = here(tmp_path / "zoe", recording, tmp_path / "run", *more, "depth_network=true")
    assert len(losses(out)) == 1
    with pytest.raises(ValueError, match="depth_network=true"):
        here(checkpoint, recording, tmp_path / "blind", *more)


class Numbered:
    """Episodes whose images tell the step."""

    def __init__(self, name, lengths):
        self.name, self.starts = name, np.concatenate(([0], np.cumsum(lengths)))
        self.actions = np.arange(self.starts[-1] * 7, dtype=float).reshape(-1, 7)

    def moment(self, index):
        return Moment(np.full((4, 4, 3), index, np.uint8), f"{self.name} {index}")


def test_every_step_is_drawn_once_in_a_turn_whatever_the_processes():
    def drawn(processes, batch, count, first=0):
        each = [
            iter(
                Draws(
                    [
                        7,
                    ],
                    batch,
                    seed=3,
                    rank=r,
                    processes=processes,
                    first=first,
                )
            )
            for r in range(processes)
        ]
        return [draw for _ in range(count) for one in each for draw in next(one)]

    alone = drawn(1, 4, 7)
    assert drawn(2, 2, 7) == alone and drawn(1, 4, 3, first=4) == alone[16:]
    assert sorted(step for step, _ in alone[:7]) == list(range(7)) == sorted(step for step, _ in alone[7:14])
    assert [s for s, _ in alone[:7]] != [s for s, _ in alone[7:14]] and [d for _, d in alone] == list(
        range(28)
    )


def test_a_mixture_draws_in_proportion_to_weight_and_size():
    draws = Draws([100, 300], 10, weights=[3.0, 0.5])
    steps = np.array([draws.step(i) for i in range(4000)])
    assert np.mean(steps < 100) == pytest.approx(300 / 450, abs=0.03)
    assert len(np.unique(steps)) > 395
    data = Steps([Numbered("a", [60, 40]), Numbered("b", [300])], chunk=3)
    shown = data[105, 0]
    assert shown.source == "b" and shown.request.instruction == "b 5"
    assert np.array_equal(shown.actions, data.sets[1].actions[5:8])
    last = data[59, 0].actions
    assert not last[1:, :6].any() and (last[1:, 6] == last[0, 6]).all()
    with pytest.raises(ValueError, match="expected different names"):
        Steps([Numbered("a", [2]), Numbered("a", [2])], 3)


def test_an_adaptation_becomes_a_whole_checkpoint(checkpoint, recording, tmp_path, capsys):
    actions, adapted = tmp_path / "actions.npy", tmp_path / "adapted"
    np.save(actions, LeRobotEpisodes(recording).actions)
    assert Adapt(checkpoint, actions, adapted, "sim/1.0.0", dead_zone=0.02).run() == 0
    assert Write(checkpoint, adapted, tmp_path / "out").run() == 2
    assert "18 tokens, the checkpoint 16" in capsys.readouterr().err
    assert Adapt(checkpoint, actions, adapted, "sim/1.0.0", dead_zone=0.02, head=True).run() == 0
    assert Write(checkpoint, adapted, tmp_path / "out").run() == 0
    weights, rows = load_file(tmp_path / "out/model.safetensors"), load_file(adapted / "adapted.safetensors")
    table = "spatial_embed_tokens.weight"
    assert torch.equal(weights[table], rows[table])
    assert torch.equal(weights["language_model.lm_head.weight"][40:], rows["lm_head.action_rows"])
    assert torch.equal(weights["language_model.model.embed_tokens.weight"][40:], rows[table])
    assert SpatialVlaPolicy.from_folder(tmp_path / "out", "sim/1.0.0").tokenizer.tokens == 18
    out = here(checkpoint, recording, tmp_path / "run", "adapt.how=folder", f"adapt.folder={adapted}")
    statistics = read_processor_config(out / "checkpoint")["statistics"]
    assert statistics == json.loads((adapted / "adapted.json").read_text())["statistics"]
    assert Write(checkpoint, tmp_path, tmp_path / "no").run() == 2
    assert "lacks adapted.json" in capsys.readouterr().err
