"""RLDS files, written here by the format's description, with check sums of a loop over bits."""

import importlib
import struct

import cv2
import numpy as np
import pytest
from spatial_vla.datasets import MissingPart
from spatial_vla.datasets.oxe import MIXTURE, decided, opening
from spatial_vla.datasets.rlds import RldsEpisodes, UnreadableRlds
from spatial_vla.datasets.tfrecord import DamagedRecord, read_example

RNG = np.random.default_rng(0)


def crc(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) % 2**32)


def varint(value):
    out = b""
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


def field(number, data):
    return varint(number * 8 + 2) + varint(len(data)) + data


def example(columns):
    features = b""
    for name, values in columns.items():
        if isinstance(values[0], bytes):
            kind, body = 1, b"".join(field(1, one) for one in values)
        elif np.asarray(values).dtype.kind == "f":
            kind, body = 2, field(1, np.asarray(values, "<f4").tobytes())
        else:
            kind, body = 3, field(1, b"".join(varint(int(v) % 2**64) for v in values))
        features += field(1, field(1, name.encode()) + field(2, field(kind, body)))
    return field(1, features)


def write(path, episodes):
    data = b""
    for one in episodes:
        message = example(one)
        head = struct.pack("<Q", len(message))
        data += head + crc(head) + message + crc(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def pictures(steps):
    images = RNG.integers(0, 256, (steps, 6, 8, 3), dtype=np.uint8)
    return images, [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in images]


def test_fractal_s_gripper_keeps_its_last_motion(tmp_path):
    images, files = pictures(5)
    moves, turns = RNG.normal(size=(5, 3)).astype("f4"), RNG.normal(size=(5, 3)).astype("f4")
    episode = {
        "steps/observation/image": files,
        "steps/observation/natural_language_instruction": [b"pick the can"] * 5,
        "steps/action/world_vector": moves.ravel(),
        "steps/action/rotation_delta": turns.ravel(),
        "steps/action/gripper_closedness_action": np.array([0, 1, 0, -1, 0], "f4"),
    }
    folder = tmp_path / "fractal20220817_data/0.1.0"
    write(folder / "fractal-train.tfrecord-00000-of-00001", [episode, episode])
    found = RldsEpisodes(folder)
    assert found.name == "fractal20220817_data/0.1.0" and found.starts.tolist() == [0, 5, 10]
    np.testing.assert_array_equal(found.actions[5:, :6], np.hstack((moves, turns)))
    assert found.actions[:5, 6].tolist() == [1, 0, 0, 1, 1]
    moment = found.moment(7)
    assert moment.instruction == "pick the can" and np.array_equal(moment.image, images[2])


def test_bridge_moves_as_its_states_do(tmp_path):
    images, files = pictures(4)
    state, action = RNG.normal(size=(4, 7)).astype("f4"), np.zeros((4, 7), "f4")
    action[:, 6] = [1.0, 0.5, 0.0, 1.0]
    episode = {
        "steps/observation/image_0": files,
        "steps/language_instruction": [b"go"] * 4,
        "steps/observation/state": state.ravel(),
        "steps/action": action.ravel(),
        "steps/is_first": [1, 0, 0, 0],
    }
    write(tmp_path / "bridge_orig/1.0.0/bridge-train.tfrecord-00000-of-00001", [episode])
    found = RldsEpisodes(tmp_path / "bridge_orig/1.0.0")
    np.testing.assert_allclose(
        found.actions[:, :6], [state[2, :6] - state[1, :6], state[3, :6] - state[2, :6]], atol=1e-6
    )
    assert found.actions[:, 6].tolist() == [0.0, 0.0]
    assert np.array_equal(found.moment(0).image, images[1])


def test_grippers_become_openings():
    assert opening(np.array([0.0, 0.3, 1.2]), "closing").tolist() == [1.0, 0.7, 0.0]
    assert opening(np.zeros(3), "relative").tolist() == [1, 1, 1]
    assert opening(np.array([0.0, -1, 0, 1]), "relative").tolist() == [0, 1, 1, 0]
    assert decided(np.array([0.5, 1.0, 0.4, 0.0, 0.6])).tolist() == [1, 1, 0, 0, 1]


def test_integers_may_be_negative():
    assert read_example(example({"a": [3, -2, 300]}))["a"].tolist() == [3, -2, 300]


def test_what_is_wrong_is_said(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="tfrecord"):
        RldsEpisodes(tmp_path)
    images, files = pictures(2)
    episode = {"steps/picture": files, "steps/text": [b"go"] * 2, "steps/action": np.arange(14, dtype="f4")}
    path = tmp_path / "mine/1.0.0/mine-train.tfrecord-00000-of-00001"
    write(path, [episode])
    with pytest.raises(UnreadableRlds, match="'mine' is not known here"):
        RldsEpisodes(path.parent)
    with pytest.raises(UnreadableRlds, match=r"lacks image.* it has action, picture, text"):
        RldsEpisodes(path.parent, layout={"image": "image"})
    found = RldsEpisodes(path.parent, layout={"image": "picture", "instruction": "text"})
    assert np.array_equal(found.moment(1).image, images[1])
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(DamagedRecord, match="ends within"):
        RldsEpisodes(path.parent, layout={"image": "picture", "instruction": "text"})
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    with pytest.raises(DamagedRecord, match="is damaged"):
        RldsEpisodes(path.parent, layout={"image": "picture", "instruction": "text"})
    monkeypatch.setattr(importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(MissingPart, match=r"google_crc32c.*spatial_vla\[rlds\]"):
        RldsEpisodes(path.parent, layout={"image": "picture", "instruction": "text"})


def test_the_mixture_is_the_published_one():
    assert len(MIXTURE) == 28 and MIXTURE["bridge_orig"] == 1.0 and MIXTURE["droid"] == 0.06
