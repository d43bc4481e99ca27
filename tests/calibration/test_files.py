"""Files: what is written is read back, other programs' conventions are kept, and what is wrong is named."""

from itertools import pairwise

import numpy as np
import pinocchio as pin
import pytest
import yaml
from scipy.spatial.transform import Rotation
from spatial_vla.calibration import CalibrationError, calibrate_hand_eye
from spatial_vla.calibration.camera import CalibratedCamera
from spatial_vla.calibration.files import (
    StaticTransform,
    read_camera_info,
    read_static_transform,
    write_camera_info,
    write_easy_handeye,
    write_static_transform,
)
from spatial_vla.calibration.session import detect_all, image_files, read_captures
from spatial_vla.geometry import SE3

POSE = SE3(Rotation.random(rng=np.random.default_rng(1)).as_matrix(), np.array([0.05, -0.02, 0.1]))


def test_camera_info_is_what_ros_reads(camera, tmp_path):
    write_camera_info(tmp_path / "c.yaml", "wrist", camera)
    table = yaml.safe_load((tmp_path / "c.yaml").read_text())
    p = camera.pinhole
    assert table["camera_matrix"] == {"rows": 3, "cols": 3, "data": [p.fx, 0, p.cx, 0, p.fy, p.cy, 0, 0, 1]}
    assert table["projection_matrix"]["data"] == [p.fx, 0, p.cx, 0, 0, p.fy, p.cy, 0, 0, 0, 1, 0]
    assert table["distortion_model"] == "plumb_bob" and table["distortion_coefficients"]["cols"] == 5
    name, found = read_camera_info(tmp_path / "c.yaml")
    assert name == "wrist" and found.pinhole == p
    np.testing.assert_array_equal(found.distortion, camera.distortion)


def test_the_covariance_survives(camera, tmp_path):
    known = CalibratedCamera(camera.pinhole, camera.distortion, covariance=np.diag(np.arange(9.0)))
    write_camera_info(tmp_path / "c.yaml", "c", known)
    np.testing.assert_array_equal(read_camera_info(tmp_path / "c.yaml")[1].covariance, known.covariance)
    write_camera_info(tmp_path / "c.yaml", "c", camera)
    assert read_camera_info(tmp_path / "c.yaml")[1].covariance is None


def test_a_wide_lens_keeps_its_eight_coefficients(camera, tmp_path):
    wide = CalibratedCamera(camera.pinhole, np.arange(8) / 100, "rational_polynomial")
    write_camera_info(tmp_path / "c.yaml", "wide", wide)
    np.testing.assert_array_equal(read_camera_info(tmp_path / "c.yaml")[1].distortion, wide.distortion)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"distortion_model": "equidistant"}, "equidistant"),
        ({"camera_matrix": {"data": [1, 2]}}, "camera_matrix"),
        ({"camera_matrix": {"data": [0.0] * 9}}, "not calibrated"),
        ({"image_width": None, "drop": "image_width"}, "image_width"),
    ],
)
def test_unusable_camera_info_is_named(change, named, camera, tmp_path):
    path = tmp_path / "c.yaml"
    write_camera_info(path, "c", camera)
    table = yaml.safe_load(path.read_text()) | change
    table.pop(table.pop("drop", ""), None)
    path.write_text(yaml.safe_dump(table))
    with pytest.raises(CalibrationError, match=named):
        read_camera_info(path)


def test_transforms_survive_and_mean_the_same_everywhere(tmp_path):
    transform = StaticTransform("hand", "optical", POSE, {"bound95_mm": 0.3})
    write_static_transform(tmp_path / "t.yaml", transform)
    found = read_static_transform(tmp_path / "t.yaml")
    np.testing.assert_allclose(found.pose.matrix(), POSE.matrix(), atol=1e-12)
    assert (found.parent, found.child, dict(found.figures)) == ("hand", "optical", {"bound95_mm": 0.3})
    words = transform.publisher_command().split()
    value = {a: b for a, b in pairwise(words) if a.startswith("--")}
    assert value["--frame-id"] == "hand" and value["--child-frame-id"] == "optical"
    turn = pin.Quaternion(*(float(value[f"--q{k}"]) for k in "wxyz")).matrix()
    np.testing.assert_allclose(turn, POSE.rotation, atol=1e-8)
    rpy = np.array(transform.urdf_origin().split('rpy="')[1].split('"')[0].split(), dtype=float)
    np.testing.assert_allclose(pin.rpy.rpyToMatrix(*rpy), POSE.rotation, atol=1e-8)


@pytest.mark.parametrize(("parent", "kind"), [("hand", "eye_in_hand"), ("base", "eye_on_base")])
def test_easy_handeye_gets_its_parameters(parent, kind, tmp_path):
    write_easy_handeye(tmp_path / "x.calib", "x", StaticTransform(parent, "cam", POSE), "base", "hand")
    table = yaml.safe_load((tmp_path / "x.calib").read_text())
    assert table["parameters"]["calibration_type"] == kind
    assert set(table["transform"]) == {"translation", "rotation"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("samples: []", "list 'samples'"),
        ("samples: [{image: a.png}]", "base_from_gripper"),
        (
            "samples: [{image: a.png, base_from_gripper: {translation: {x: 1}, rotation: {}}}]",
            "unit quaternion",
        ),
        ("[1, 2]", "names with values"),
        ("{", "not YAML"),
    ],
)
def test_unusable_sample_files_are_named(text, named, tmp_path):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(CalibrationError, match=named):
        read_captures(tmp_path / "s.yaml")


def test_what_is_not_there_is_named(board, tmp_path):
    with pytest.raises(CalibrationError, match="no file"):
        read_captures(tmp_path / "s.yaml")
    with pytest.raises(CalibrationError, match="no folder"):
        image_files(tmp_path / "images")
    with pytest.raises(CalibrationError, match="no images"):
        image_files(tmp_path)
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(CalibrationError, match=r"a\.png is not an image"):
        detect_all(board, image_files(tmp_path))


def test_the_report_of_a_calibration_can_be_written(make_samples, tmp_path):
    from spatial_vla.cli.calibrate import hand_eye_table, quality

    _, samples = make_samples("eye-in-hand")
    report = calibrate_hand_eye(samples, "eye-in-hand")
    write_static_transform(tmp_path / "t.yaml", StaticTransform("a", "b", report.camera, quality(report)))
    figures = read_static_transform(tmp_path / "t.yaml").figures
    assert (
        figures["samples_used"] == 15 and len(figures["covariance_translation_m_rotation_vector_rad"]) == 36
    )
    assert "95 %" in hand_eye_table(report) and " mm" in hand_eye_table(report)
