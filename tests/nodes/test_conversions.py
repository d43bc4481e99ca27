"""Transforms, features, chunks and grids survive the wire format; malformed ones are refused."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Transform
from scipy.spatial.transform import Rotation
from spatial_vla.actions import ActionChunk, ActionGrid
from spatial_vla.geometry import SE3
from spatial_vla.nodes import conversions as convert
from spatial_vla.nodes.refusal import RefusedInput
from spatial_vla_interfaces.msg import ActionChunk as ActionChunkMessage
from spatial_vla_interfaces.msg import FeatureMap
from std_msgs.msg import Header

RNG = np.random.default_rng(3)


def chunk(**changes):
    fields = {
        "stamp_ns": 12_345_678_901,
        "dt": 0.2,
        "frame": "panda_link0",
        "deltas": RNG.normal(size=(4, 6)),
        "gripper": np.array([1.0, 1.0, 0.0, 0.0]),
        "chunk_id": 7,
        "instruction_id": 3,
        "token_ids": RNG.integers(0, 4000, (4, 3)),
        "log_probabilities": RNG.normal(size=(4, 3)).astype(np.float32),
        "target": np.array([0.4, -0.1, 0.02]),
    }
    return ActionChunk(**{**fields, **changes})


@pytest.mark.parametrize("nanoseconds", [0, 1, 999_999_999, 1_000_000_000, 1_795_199_824_024_615_001])
def test_stamps_are_exact(nanoseconds):
    assert convert.stamp_ns(convert.time_message(nanoseconds)) == nanoseconds


def test_transform_there_and_back():
    transform = SE3(Rotation.random(None, RNG).as_matrix(), RNG.normal(size=3))
    back = convert.se3_from_transform(convert.transform_message(transform))
    np.testing.assert_allclose(back.matrix(), transform.matrix(), atol=1e-12)


def test_unset_transform_is_refused():
    blank = Transform()
    blank.rotation.w = 0.0
    with pytest.raises(RefusedInput, match="norm 0"):
        convert.se3_from_transform(blank)


def test_features_there_and_back():
    message, features = FeatureMap(), RNG.normal(size=(14, 13, 8)).astype(np.float32)
    convert.fill_features(message, features)
    np.testing.assert_allclose(convert.features_from_message(message), features, rtol=2**-11, atol=2**-25)
    message.cols = 14
    with pytest.raises(RefusedInput, match="1456 values"):
        convert.features_from_message(message)


@pytest.mark.parametrize("value", [np.nan, np.inf, 7e4])
def test_features_that_half_precision_cannot_hold_are_refused(value):
    with pytest.raises(RefusedInput, match="65504"):
        convert.fill_features(FeatureMap(), np.full((1, 1, 2), value, np.float32))


def assert_same_chunk(found, expected):
    for name in ("stamp_ns", "dt", "frame", "chunk_id", "instruction_id"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("deltas", "gripper", "token_ids", "log_probabilities", "target"):
        if getattr(expected, name) is None:
            assert getattr(found, name) is None
        else:
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize(
    "changes", [{}, {"token_ids": None, "log_probabilities": None, "target": None}], ids=["full", "bare"]
)
def test_chunk_there_and_back(changes):
    expected = chunk(**changes)
    assert_same_chunk(convert.chunk_from_message(convert.chunk_message(expected)), expected)


def test_fixed_axis_angles_become_rotation_vectors():
    message = convert.chunk_message(chunk())
    message.rotation_form = ActionChunkMessage.FIXED_RPY
    roll, pitch, yaw = np.moveaxis(np.array(message.deltas).reshape(4, 6)[:, 3:], 1, 0)
    about = Rotation.from_rotvec
    x, y, z = np.eye(3)
    expected = [
        (about(c * z) * about(b * y) * about(a * x)).as_matrix()
        for a, b, c in zip(roll, pitch, yaw, strict=True)
    ]
    found = Rotation.from_rotvec(convert.chunk_from_message(message).deltas[:, 3:]).as_matrix()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("field", ["deltas", "gripper", "token_ids", "log_probabilities"])
def test_chunk_of_wrong_length_is_refused(field):
    message = convert.chunk_message(chunk())
    getattr(message, field).append(0)
    with pytest.raises(RefusedInput, match=field):
        convert.chunk_from_message(message)


def test_unknown_rotation_form_is_refused():
    message = convert.chunk_message(chunk())
    message.rotation_form = 9
    with pytest.raises(RefusedInput, match="rotation_form 9"):
        convert.chunk_from_message(message)


def test_grid_carries_its_edges():
    grid = ActionGrid.fit(
        RNG.normal(size=(100, 6)), cells=(4, 5, 3, 2, 2, 2), translation_scale=0.05, rotation_scale=0.2
    )
    message = convert.grid_message(grid, Header(frame_id="panda_link0"), 4, 0.2)
    for name in ("theta", "phi", "r", "roll", "pitch", "yaw"):
        np.testing.assert_array_equal(getattr(message, f"{name}_edges"), getattr(grid, name))
    assert (message.translation_scale, message.rotation_scale) == (0.05, 0.2)
    assert (message.steps, message.dt) == (4, 0.2)


def test_time_message_type():
    assert convert.time_message(1_500_000_000) == Time(sec=1, nanosec=500_000_000)
