"""The commands, on the example that ships: from images to a pose near the truth."""

from pathlib import Path

import numpy as np
import pytest
from spatial_vla.calibration.files import (
    StaticTransform,
    read_camera_info,
    read_static_transform,
    write_static_transform,
)
from spatial_vla.cli import main
from spatial_vla.geometry import SE3

EXAMPLE = Path(__file__).parents[2] / "calibration" / "example"


def calibrate(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["calibrate", *map(str, arguments)])
    return end.value.code


def test_from_images_to_a_pose(tmp_path, capsys):
    info, pose = tmp_path / "camera_info.yaml", tmp_path / "pose.yaml"
    board = EXAMPLE / "board.yaml"
    assert calibrate("intrinsics", "--images", EXAMPLE / "images", "--board", board, "--output", info) == 0
    found, truth = read_camera_info(info)[1], read_camera_info(EXAMPLE / "true_camera_info.yaml")[1]
    assert abs(found.pinhole.fx - truth.pinhole.fx) < 2.0
    files = ("--samples", EXAMPLE / "samples.yaml", "--board", board, "--camera", info, "--output", pose)
    assert calibrate("hand-eye", *files, "--setup", "eye-in-hand") == 0
    found, truth = read_static_transform(pose), read_static_transform(EXAMPLE / "true_pose.yaml")
    assert 1e3 * np.linalg.norm(found.pose.translation - truth.pose.translation) < 0.6
    text = capsys.readouterr().out
    assert "(95 %)" in text and "static_transform_publisher" in text and "held-out" in text
    assert pose.with_suffix(".calib").exists()


def test_a_refusal_is_a_sentence_and_an_exit_code(tmp_path, capsys):
    assert calibrate("intrinsics", "--images", tmp_path, "--board", EXAMPLE / "board.yaml") == 1
    assert "holds no images" in capsys.readouterr().err


def test_a_board_to_print(tmp_path):
    assert calibrate("board", "--output", tmp_path) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"board.pdf", "board.png", "board.yaml"}


def test_help_teaches(capsys):
    assert calibrate("hand-eye", "--help") == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "the robot at rest each time" in text and "base_from_gripper" in text


def test_a_calibration_is_verified_and_a_camera_that_was_moved_is_refused(tmp_path, capsys):
    pose, info = tmp_path / "pose.yaml", EXAMPLE / "true_camera_info.yaml"
    files = ("--samples", EXAMPLE / "samples.yaml", "--camera", info)
    board = ("--board", EXAMPLE / "board.yaml", "--output", pose, "--setup", "eye-in-hand")
    assert calibrate("hand-eye", *files, *board) == 0
    assert calibrate("verify", *files, "--pose", pose) == 0
    assert "median of 16" in capsys.readouterr().out
    good = read_static_transform(pose)
    moved = SE3(good.pose.rotation, good.pose.translation + np.array([0.0, 0.012, 0.0]))
    write_static_transform(pose, StaticTransform(good.parent, good.child, moved, good.figures))
    assert calibrate("verify", *files, "--pose", pose) == 1
    said = capsys.readouterr()
    assert "calibrate again" in said.err and "12." in said.out
