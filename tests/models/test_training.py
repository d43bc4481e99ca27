"""The whole recipe on a small scale: record, train, resume, export, run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from spatial_models.training.demonstrations import Demonstrations, mirrored
from spatial_models.training.instructions import sentence_drawer, vocabulary
from spatial_vla.geometry import SE3, PinholeCamera
from spatial_vla.policy import Decoder, Encoder, ManifestError, read_manifest
from spatial_vla_sim.record import RecordArgs, record

ROOT = Path(__file__).resolve().parents[2]
TINY = ["model.width=64", "model.heads=1", "model.depth=1", "model.decoder_width=64", "model.decoder_depth=1"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recording")
    record(RecordArgs(out, shards=2, scenes=1, frames=8))
    return out


@pytest.fixture(scope="module")
def trained(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    for epochs in (1, 2):  # the second call resumes the first
        command = [sys.executable, "-m", "spatial_models.training.train", f"data={recording}", f"out={out}"]
        command += [
            *TINY,
            f"trainer.max_epochs={epochs}",
            "batch_size=4",
            "trainer.enable_progress_bar=false",
        ]
        subprocess.run(
            [*command, f"hydra.run.dir={out}/hydra"], check=True, cwd=ROOT, capture_output=True, timeout=240
        )
    return out


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "bundle"
    command = [sys.executable, "export/to_onnx.py", str(trained), "--out", str(out)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, timeout=240)
    return out


def test_recording_goes_on_where_it_stopped(recording: Path) -> None:
    before = (recording / "shard-00000" / "image.npy").stat().st_mtime_ns
    record(RecordArgs(recording, shards=2, scenes=1, frames=8))
    assert (recording / "shard-00000" / "image.npy").stat().st_mtime_ns == before


def test_owned_cells_lie_on_the_named_object(recording: Path) -> None:
    words = vocabulary()
    data = Demonstrations(recording, sentence_drawer(words), per_frame=4, absent=0.0, augment=False)
    item = data[0]
    cloud = item["points"].reshape(-1, 3)
    for owned, target in zip(item["owned"], item["target"], strict=True):
        if owned.any():
            assert (cloud[owned] - target).norm(dim=-1).max() < 0.06


def test_a_mirrored_frame_is_consistent_and_mirroring_twice_changes_nothing(recording: Path) -> None:
    data = Demonstrations(recording, sentence_drawer(vocabulary()), per_frame=1, absent=0.0, augment=False)
    row = {k: np.asarray(v[0]) for k, v in data.shards[0].items()}
    once = mirrored(row)
    for obj in range(int((row["colour"] >= 0).sum())):
        cells = once["points"].reshape(-1, 3)[once["owner"].reshape(-1) == obj].astype(np.float32)
        if len(cells):
            assert np.linalg.norm(cells - once["centre"][obj], axis=-1).max() < 0.06
    twice = mirrored(once)
    assert all(np.array_equal(twice[k], row[k], equal_nan=row[k].dtype.kind == "f") for k in row)


def test_absent_objects_are_labelled_as_not_in_view(recording: Path) -> None:
    data = Demonstrations(recording, sentence_drawer(vocabulary()), per_frame=6, absent=1.0, augment=False)
    item = data[1]
    assert item["present"].tolist() == [True] + [False] * 5
    assert not item["owned"][1:].any()


def test_training_resumes(trained: Path) -> None:
    rows = [p.read_text().splitlines()[-1] for p in sorted((trained / "log").glob("*/metrics.csv"))]
    assert len(rows) == 2, "each call logs"
    assert int(rows[1].split(",")[0]) == 1, "the second call starts in epoch 1"


def test_bundle_runs_without_torch(bundle: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spatial_vla.policy import Encoder, Decoder;"
        f"p = Path({str(bundle)!r}); Encoder(p); Decoder(p); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_bundle_decodes_to_a_chunk(bundle: Path) -> None:
    encoder, decoder = Encoder(bundle), Decoder(bundle)
    camera = PinholeCamera(320, 240, 300.0, 300.0, 159.5, 119.5)
    features = encoder.encode(np.full((240, 320, 3), 127, np.uint8))
    tool = SE3(np.diag([1.0, -1.0, -1.0]), np.array([0.4, 0.0, 0.3]))
    depth = np.ones((240, 320), np.float32)
    chunk = decoder.decode(features, depth, camera, SE3.identity(), tool, 0.08, "touch the red cube", 123)
    assert chunk.stamp_ns == 123 and chunk.steps == 4 and chunk.frame == "panda_link0"
    assert np.isfinite(chunk.deltas).all()


def test_an_altered_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    for file in bundle.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "decoder.onnx").open("ab") as f:
        f.write(b"x")
    with pytest.raises(ManifestError, match=r"decoder.onnx has SHA-256"):
        read_manifest(tmp_path)
