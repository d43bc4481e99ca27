"""LeRobot data sets: what is written is what is read, pictures and all, and what is wrong is said."""

import importlib
import json
import pickle

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.spatial.transform import Rotation
from spatial_vla.datasets import LeRobotEpisodes, LeRobotWriter, MissingPart, chunk_at, lerobot_writer
from spatial_vla.datasets.lerobot_layout import UnreadableDataset
from spatial_vla_sim.arm import SimulatedArm
from spatial_vla_sim.record_lerobot import RecordLeRobot, demonstrate
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World

from .conftest import SEED, SIZE


@pytest.fixture(scope="module")
def shown():
    """The first episode anew, from the simulator itself."""
    world = World(SIZE)
    return demonstrate(world, SimulatedArm(world), sample_scene(SEED), 9)


def test_a_recorded_episode_is_read_as_it_was_seen(recording, shown):
    episodes = LeRobotEpisodes(recording)
    assert len(episodes.starts) == 3 and episodes.starts[-1] == len(episodes.actions)
    assert episodes.starts[1] == len(shown["images"]) and episodes.name == "sim/1.0.0"
    np.testing.assert_allclose(episodes.actions[: episodes.starts[1]], shown["actions"], atol=1e-7)
    for step, image in enumerate(shown["images"]):
        moment = episodes.moment(step)
        assert moment.instruction == sample_scene(SEED).instruction
        off = np.abs(moment.image.astype(int) - shown["images"]).mean((1, 2, 3))
        assert (
            off[step] == off.min() and np.abs(moment.image.astype(int) - image).mean() < 6
        )  # video loses a little
        assert np.abs(moment.depth - shown["depth"][step]).max() < 0.00051  # a millimetre, rounded
        np.testing.assert_allclose(moment.intrinsics, shown["intrinsics"], rtol=1e-6)


def test_steps_move_the_tool_as_they_say(recording):
    """The recorded state is the tool's pose: over an episode the steps add up to the way it went."""
    table = pq.read_table(recording / "data/chunk-000/file-000.parquet")
    state = np.array(table.column("observation.state").to_pylist())
    actions = LeRobotEpisodes(recording).actions
    first = slice(0, 8)
    went, said = state[8, :3] - state[0, :3], actions[first, :3].sum(0)
    assert np.linalg.norm(went - said) < 0.3 * np.linalg.norm(said) and np.linalg.norm(said) > 0.05


def test_a_chunk_ends_with_its_episode(recording):
    episodes = LeRobotEpisodes(recording)
    end = int(episodes.starts[1])
    chunk = chunk_at(episodes, end - 2, 4)
    assert np.array_equal(chunk[:2], episodes.actions[end - 2 : end])
    assert not chunk[2:, :6].any() and (chunk[2:, 6] == episodes.actions[end - 1, 6]).all()
    assert np.array_equal(chunk_at(episodes, 0, 4), episodes.actions[:4])


def written(root, lengths=(3, 5, 2), size=(20, 32), seed=0, **options):
    rng = np.random.default_rng(seed)
    shown = []
    with LeRobotWriter(root, 10, **options) as writer:
        for number, steps in enumerate(lengths):
            flat = rng.integers(0, 256, (steps, 1, 1, 3), dtype=np.uint8)
            images = np.broadcast_to(flat, (steps, *size, 3))
            actions = rng.normal(size=(steps, 7))
            actions[:, 6] = rng.integers(0, 2, steps)
            writer.add(f"task {number % 2}", images, actions, depth=rng.uniform(0, 9, (steps, *size)))
            shown.append((images, actions))
    return shown


def test_many_files_are_read_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(lerobot_writer, "DATA_MB", 0)
    monkeypatch.setattr(lerobot_writer, "VIDEO_MB", -1)
    shown = written(tmp_path / "d", codec="libx264")
    assert len(list((tmp_path / "d/data").rglob("*.parquet"))) == 3
    assert len(list((tmp_path / "d/videos").rglob("*.mp4"))) == 3
    episodes = pickle.loads(pickle.dumps(LeRobotEpisodes(tmp_path / "d")))
    assert episodes.starts.tolist() == [0, 3, 8, 10]
    np.testing.assert_allclose(
        episodes.actions[:, :6], np.concatenate([a for _, a in shown])[:, :6], rtol=1e-6
    )
    images = np.concatenate([images for images, _ in shown])
    for step in (9, 0, 4, 7):
        assert np.abs(episodes.moment(step).image.astype(int) - images[step]).max() < 8
    some = LeRobotEpisodes(tmp_path / "d", episodes=[2, 1])
    assert some.starts.tolist() == [0, 5, 7]
    assert np.array_equal(some.moment(5).image, episodes.moment(8).image)
    assert np.array_equal(some.moment(6).depth, episodes.moment(9).depth)
    assert [some.moment(i).instruction for i in (0, 5)] == ["task 1", "task 0"]
    with pytest.raises(UnreadableDataset, match=r"no episodes \[7\]"):
        LeRobotEpisodes(tmp_path / "d", episodes=[7])


def test_statistics_are_those_of_the_steps(tmp_path):
    shown = written(tmp_path / "d")
    found = json.loads((tmp_path / "d/meta/stats.json").read_text())
    rows = np.concatenate([a for _, a in shown]).astype(np.float32).astype(float)
    for at, name in ((0.01, "q01"), (0.99, "q99"), (0.5, "q50")):
        for column in range(7):
            ordered = sorted(rows[:, column])
            place = at * (len(ordered) - 1)
            low = int(place)
            wanted = ordered[low] + (place - low) * (ordered[min(low + 1, 9)] - ordered[low])
            assert found["action"][name][column] == pytest.approx(wanted, abs=1e-9)
    pixels = np.concatenate([i for i, _ in shown]).reshape(-1, 3) / 255
    pictures = found["observation.images.external"]
    np.testing.assert_allclose(np.ravel(pictures["mean"]), pixels.mean(0), atol=1e-9)
    np.testing.assert_allclose(np.ravel(pictures["std"]), pixels.std(0), atol=1e-9)
    assert np.ravel(pictures["max"]).tolist() == pixels.max(0).tolist() and pictures["count"] == [10]
    episode = pq.read_table(tmp_path / "d/meta/episodes/chunk-000/file-000.parquet").to_pylist()[1]
    np.testing.assert_allclose(episode["stats/action/max"], shown[1][1].max(0), rtol=1e-6)


def test_other_conventions_are_turned_into_ours(tmp_path):
    """A rotation vector and a gripper from -1, open, to 1, closed."""
    rows = np.array([[0.1, 0, 0, 0.3, -0.2, 0.5, -1.0], [0, 0, 0, 0, 0, 0, 1.0]])
    with LeRobotWriter(tmp_path / "d", 5, codec="libx264") as writer:
        writer.add("go", np.zeros((2, 16, 16, 3), np.uint8), rows)
    found = LeRobotEpisodes(tmp_path / "d", rotation="rotvec", gripper=(1.0, -1.0)).actions
    x, y, z = (Rotation.from_rotvec(angle * np.eye(3)[i]) for i, angle in enumerate(found[0, 3:6]))
    np.testing.assert_allclose((z * y * x).as_rotvec(), rows[0, 3:6], atol=1e-6)
    assert found[:, 6].tolist() == [1.0, 0.0]


def test_pictures_kept_in_the_table_are_read(tmp_path):
    written(tmp_path / "d", lengths=(2,))
    info = json.loads((tmp_path / "d/meta/info.json").read_text())
    image = np.random.default_rng(0).integers(0, 256, (20, 32, 3), dtype=np.uint8)
    data = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    info["features"]["still"] = {"dtype": "image", "shape": [20, 32, 3], "names": None}
    (tmp_path / "d/meta/info.json").write_text(json.dumps(info))
    path = tmp_path / "d/data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    cells = pa.array([{"bytes": data, "path": None}] * 2)
    pq.write_table(table.append_column("still", cells), path)
    assert np.array_equal(LeRobotEpisodes(tmp_path / "d", image="still").moment(1).image, image)


def test_what_is_wrong_is_said(recording, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"nowhere/meta/info\.json"):
        LeRobotEpisodes(tmp_path / "nowhere")
    with pytest.raises(UnreadableDataset, match="it has observation"):
        LeRobotEpisodes(recording, image="wrist")
    with pytest.raises(UnreadableDataset, match="joint positions cannot be taken"):
        LeRobotEpisodes(recording, action="observation.state")
    with pytest.raises(FileExistsError):
        LeRobotWriter(recording, 5)
    with pytest.raises(ValueError, match="expected as many rows"):
        LeRobotWriter(tmp_path / "e", 5).add("go", np.zeros((2, 8, 8, 3), np.uint8), np.zeros((3, 7)))
    (tmp_path / "old/meta").mkdir(parents=True)
    (tmp_path / "old/meta/info.json").write_text(json.dumps({"codebase_version": "v2.1"}))
    with pytest.raises(UnreadableDataset, match="convert_dataset_v21_to_v30"):
        LeRobotEpisodes(tmp_path / "old")
    monkeypatch.setattr(importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(MissingPart, match=r"pyarrow.*pip install 'spatial_vla\[datasets\]'"):
        LeRobotEpisodes(recording)


def test_an_interrupted_recording_leaves_no_data_set(tmp_path):
    with pytest.raises(KeyboardInterrupt), LeRobotWriter(tmp_path / "d", 5) as writer:
        writer.add("go", np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 7)))
        raise KeyboardInterrupt
    assert not (tmp_path / "d").exists()
    written(tmp_path / "d", lengths=(2,))
    assert len(LeRobotEpisodes(tmp_path / "d").actions) == 2


def test_episodes_that_name_a_place_are_recorded_if_the_words_came_true(tmp_path, capsys):
    RecordLeRobot(tmp_path / "places", episodes=2, size=56, seed=2_000_003, places=("put", "touch")).run()
    episodes = LeRobotEpisodes(tmp_path / "places")
    said = [episodes.moment(int(start)).instruction for start in episodes.starts[:-1]]
    assert said and len(said) + capsys.readouterr().err.count("left out") == 2
    assert {sentence.split()[0] for sentence in said} <= {"put", "touch"}
    # What was put somewhere was held on the way, and let go.
    for first, last, sentence in zip(episodes.starts[:-1], episodes.starts[1:], said, strict=True):
        gripper = episodes.actions[first:last, 6]
        assert not sentence.startswith("put") or (gripper.min(), gripper[-1]) == (0.0, 1.0)


def test_episodes_in_which_the_words_did_not_come_true_are_left_out(tmp_path, capsys):
    # Two steps are too few to put anything anywhere.
    recorder = RecordLeRobot(
        tmp_path / "places", episodes=1, size=56, seed=2_000_003, steps=2, places=("put",)
    )
    with pytest.raises(ValueError, match="no episode"):
        recorder.run()
    assert "elsewhere" in capsys.readouterr().err
