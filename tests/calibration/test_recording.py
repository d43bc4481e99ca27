"""A recording is whole at every moment, and gone on with only where it belongs."""

import numpy as np
import pytest
from spatial_vla.calibration import Board, CalibratedCamera, CalibrationError
from spatial_vla.calibration.files import read_camera_info
from spatial_vla.calibration.recording import Recording
from spatial_vla.calibration.session import read_captures, read_grey
from spatial_vla.geometry import SE3, PinholeCamera

CAMERA = CalibratedCamera.undistorted(PinholeCamera(8, 6, 10.0, 10.0, 3.5, 2.5))
POSE = SE3(np.eye(3), np.array([0.1, 0.2, 0.3]))


def picture(level):
    return np.full((6, 8, 3), level, np.uint8)


def test_a_session_is_gone_on_with(tmp_path):
    first = Recording(tmp_path, Board(), CAMERA, "wrist")
    first.add(picture(10), POSE)
    second = Recording(tmp_path, Board(), CAMERA, "wrist")
    assert len(second.captures) == 1
    second.add(picture(20), POSE.inverse())
    captures = read_captures(tmp_path / "samples.yaml")
    assert [read_grey(c.image)[0, 0] for c in captures] == [10, 20]
    np.testing.assert_allclose(captures[1].base_from_gripper.matrix(), POSE.inverse().matrix())
    assert read_camera_info(tmp_path / "camera_info.yaml")[1].pinhole == CAMERA.pinhole
    assert not list(tmp_path.rglob("*.part"))


def test_an_end_between_image_and_list_costs_that_sample_alone(tmp_path, monkeypatch):
    recording = Recording(tmp_path, Board(), CAMERA, "wrist")
    recording.add(picture(10), POSE)

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr("spatial_vla.calibration.recording.write_captures", fails)
    with pytest.raises(OSError, match="disk full"):
        recording.add(picture(20), POSE)
    monkeypatch.undo()
    again = Recording(tmp_path, Board(), CAMERA, "wrist")
    assert len(again.captures) == 1
    again.add(picture(30), POSE)
    assert read_grey(again.captures[1].image)[0, 0] == 30


def test_another_board_or_camera_mode_is_refused_by_value(tmp_path):
    Recording(tmp_path, Board(), CAMERA, "wrist").add(picture(10), POSE)
    with pytest.raises(CalibrationError, match=r"'square': 0\.03.*not of.*'square': 0\.04.*--output"):
        Recording(tmp_path, Board(square=0.04), CAMERA, "wrist")
    other = CalibratedCamera.undistorted(PinholeCamera(8, 6, 12.0, 12.0, 3.5, 2.5))
    with pytest.raises(CalibrationError, match=r"8x6 px with K = \[10\.0.*not of 8x6 px with K = \[12\.0"):
        Recording(tmp_path, Board(), other, "wrist")
