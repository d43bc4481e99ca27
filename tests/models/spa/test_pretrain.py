"""The pre-training as a user starts it: real processes on pictures of rendered rooms."""

import csv
import os
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from spatial_models.spa import load_encoder

SIZES = (
    "model=tiny",
    "model.branch.depth=2",
    "model.branch.width=64",
    "model.branch.heads=1",
    "model.branch.decoder_width=32",
    "model.volume.grid=[8,8,6]",
    "model.volume.channels=16",
    "data.views=[2,3]",
    "data.rays_per_view=32",
    "threads=1",
    "trainer.enable_progress_bar=false",
    "optimiser.rate=1e-3",
)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """Five rendered scenes of four views each."""
    out = tmp_path_factory.mktemp("rooms")
    program = [sys.executable, "-m", "spatial_vla_sim.rooms.render", "--out", str(out)]
    more = ["--scenes", "5", "--views", "4", "--size", "112x84", "--val-every", "5"]
    done = subprocess.run([*program, *more], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return out


def command(rooms, out):
    program = [sys.executable, "-m", "spatial_models.training.pretrain"]
    return [*program, f"data.root={rooms}", f"out={out}", *SIZES]


def pretrain(rooms, out, *overrides, ok=True):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(
        [*command(rooms, out), *overrides], capture_output=True, text=True, timeout=280, env=environment
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def logged(out, column):
    values = []
    for path in sorted(out.glob("log/version_*/metrics.csv")):
        with path.open() as file:
            values += [float(row[column]) for row in csv.DictReader(file) if row.get(column)]
    return values


def test_trains_validates_and_exports(rooms, tmp_path):
    pretrain(rooms, tmp_path, "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "teacher=segmentation")
    assert logged(tmp_path, "train/semantic") and len(logged(tmp_path, "val/psnr")) == 2
    encoder = load_encoder(tmp_path / "spa.safetensors", image_size=128)
    assert encoder(torch.rand(1, 3, 128, 128)).shape == (1, 64)
    said = pretrain(rooms, tmp_path, "trainer.max_epochs=3", "teacher=segmentation", ok=False)
    assert "has steps 4, this run 6" in said


def test_a_training_that_was_killed_goes_on(rooms, tmp_path):
    process = subprocess.Popen(
        [*command(rooms, tmp_path), "trainer.max_epochs=12"], stdout=subprocess.DEVNULL
    )
    while not (tmp_path / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    reached = torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"]
    assert 0 < reached < 24
    pretrain(rooms, tmp_path, "trainer.max_epochs=12", "trainer.log_every_n_steps=1")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 24
    resumed = (tmp_path / "log" / "version_1" / "metrics.csv").read_text().splitlines()
    first = next(csv.DictReader(resumed))
    assert int(first["step"]) >= reached


def test_two_processes_do_what_one_does(rooms, tmp_path):
    common = ("trainer.max_epochs=2", "ema=0", "seed=7")
    pretrain(rooms, tmp_path / "one", "trainer=cpu", "batch=2", *common)
    pretrain(rooms, tmp_path / "two", "trainer=ddp_sim", "batch=1", *common)
    one, two = (load_file(tmp_path / name / "spa.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    # The gradient of a bias in front of a batch norm is nothing but rounding, which Adam turns into steps.
    moved = ("position_embedding.0.bias", "running_mean")
    for name, tensor in ((n, t) for n, t in one.items() if not n.endswith(moved)):
        torch.testing.assert_close(
            two[name], tensor, rtol=1e-3, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_the_loss_of_one_batch_falls(rooms, tmp_path):
    pretrain(rooms, tmp_path, "debug=overfit", "trainer.log_every_n_steps=1", "trainer.max_epochs=30")
    loss = logged(tmp_path, "train/loss")
    assert sum(loss[-5:]) < 0.8 * sum(loss[:5])


def test_the_comparison_without_geometry_gives_an_encoder_too(rooms, tmp_path):
    pretrain(rooms, tmp_path, "objective=pixels", "trainer.max_epochs=1")
    assert load_encoder(tmp_path / "spa.safetensors", image_size=128).width == 64


def test_a_missing_folder_is_named(tmp_path):
    said = pretrain(tmp_path / "nowhere", tmp_path / "out", ok=False)
    assert "nowhere" in said
