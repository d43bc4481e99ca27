"""Hand-eye: exact data give the exact pose, noisy data one within the stated bound, and bad data an explanation."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spatial_vla.calibration import CalibrationError, Sample, board_pose, calibrate_hand_eye
from spatial_vla.geometry import SE3, rotvec_to_matrix

SETUPS = ["eye-in-hand", "eye-to-hand"]


def error(found: SE3, truth: SE3) -> tuple[float, float]:
    """Distance [mm] and angle [deg]."""
    turn = Rotation.from_matrix(found.rotation.T @ truth.rotation).magnitude()
    return 1e3 * float(np.linalg.norm(found.translation - truth.translation)), float(np.degrees(turn))


@pytest.mark.parametrize("setup", SETUPS)
def test_exact_data_give_the_exact_pose(setup, make_samples):
    rig, samples = make_samples(setup, robot_noise=(0.0, 0.0), pixel_noise=0.0)
    report = calibrate_hand_eye(samples, setup)
    for found, truth in ((report.camera, rig.camera_pose), (report.board, rig.board_pose)):
        moved, turned = error(found, truth)
        assert moved < 1e-3 and turned < 1e-4
    assert not report.rejected and report.rms < 1e-3


@pytest.mark.parametrize("setup", SETUPS)
def test_noisy_data_give_a_pose_within_the_stated_bound(setup, make_samples):
    errors, bounds = [], []
    for seed in range(5):
        rig, samples = make_samples(setup, seed=seed)
        report = calibrate_hand_eye(samples, setup)
        errors.append(error(report.camera, rig.camera_pose))
        bounds.append((1e3 * report.bound95[0], np.degrees(report.bound95[1])))
        assert not report.rejected
    median = np.median(errors, axis=0)
    assert median[0] < 0.6 and median[1] < 0.1, median
    # Honest: the errors are of the stated size, neither far above nor far below.
    ratio = np.sqrt(np.mean((np.array(errors) / np.array(bounds)) ** 2, axis=0))
    assert np.all(ratio < 1.0) and np.all(ratio > 0.1), ratio


def test_the_robots_own_error_is_found_out(make_samples):
    _, samples = make_samples("eye-in-hand", 40, robot_noise=(1e-3, np.deg2rad(0.2)), pixel_noise=0.05)
    moved, turned = calibrate_hand_eye(samples, "eye-in-hand").robot_noise
    assert moved == pytest.approx(1e-3, rel=0.4) and np.degrees(turned) == pytest.approx(0.2, rel=0.4)


@pytest.mark.parametrize("setup", SETUPS)
def test_samples_that_disagree_are_left_out_and_named(setup, make_samples):
    rig, samples = make_samples(setup, 18)
    for bad, other in ((2, 9), (7, 4), (11, 0), (16, 5)):  # stale images: the view belongs to another pose
        samples[bad] = Sample(samples[bad].name, samples[bad].base_from_gripper, samples[other].view)
    report = calibrate_hand_eye(samples, setup)
    assert report.rejected == ("02", "07", "11", "16") and len(report.used) == 14
    moved, turned = error(report.camera, rig.camera_pose)
    assert moved < 1.0 and turned < 0.15


def test_a_slightly_moving_robot_is_noticed(make_samples):
    rig, samples = make_samples("eye-in-hand", 16)
    drift = SE3(rotvec_to_matrix(np.array([0.0, 0.0, 0.01])), np.array([0.004, 0.0, 0.0]))
    samples[3] = Sample("03", samples[3].base_from_gripper @ drift, samples[3].view)
    report = calibrate_hand_eye(samples, "eye-in-hand")
    assert report.rejected == ("03",) and error(report.camera, rig.camera_pose)[0] < 1.0


def test_unsure_intrinsics_widen_the_bound_as_far_as_they_move_the_result(make_samples):
    """A centre that is 1 px off moves the camera by what the bound allows for a centre known to 1 px."""
    rig, _ = make_samples("eye-in-hand")
    rng = np.random.default_rng(0)
    corners = [rig.corners(i, rng, 0.05) for i in range(15)]
    unsure = np.zeros((9, 9))
    unsure[2, 2] = 1.0
    off = replace(rig.camera, pinhole=replace(rig.camera.pinhole, cx=rig.camera.pinhole.cx + 1.0))

    def calibrated(camera):
        views = [board_pose(c, camera) for c in corners]
        samples = [Sample("", g, v) for g, v in zip(rig.grippers, views, strict=True)]
        return calibrate_hand_eye(samples, "eye-in-hand")

    sure, moved = calibrated(rig.camera), calibrated(off)
    wide = calibrated(replace(rig.camera, covariance=unsure))
    extra = wide.covariance - sure.covariance
    turn = Rotation.from_matrix(moved.camera.rotation @ sure.camera.rotation.T).as_rotvec()
    step = np.concatenate((moved.camera.translation - sure.camera.translation, turn))
    np.testing.assert_allclose(np.sqrt(np.diag(extra)), np.abs(step), rtol=0.15, atol=1e-4)


def test_left_out_errors_are_those_of_views_never_used(make_samples):
    """The stated error of views left out, against views that the calibration never saw."""
    _, samples = make_samples("eye-in-hand", 60)
    report = calibrate_hand_eye(samples[:15], "eye-in-hand")
    new = []
    for sample in samples[15:]:
        expected = report.camera.inverse() @ sample.base_from_gripper.inverse() @ report.board
        new.append(error(expected, sample.view.camera_from_board)[0])
    stated = 1e3 * np.sqrt(np.mean(report.left_out[:, 0] ** 2))
    assert 0.5 < stated / np.sqrt(np.mean(np.square(new))) < 2.0


def test_residuals_are_the_chain_written_out(make_samples):
    _, samples = make_samples("eye-to-hand")
    report = calibrate_hand_eye(samples, "eye-to-hand")
    for sample, (moved, turned) in zip(samples, report.residuals, strict=True):
        chain = (
            np.linalg.inv(report.camera.matrix()) @ sample.base_from_gripper.matrix() @ report.board.matrix()
        )
        seen = sample.view.camera_from_board.matrix()
        assert np.linalg.norm(chain[:3, 3] - seen[:3, 3]) == pytest.approx(moved)
        cosine = (np.trace(chain[:3, :3] @ seen[:3, :3].T) - 1) / 2
        assert np.arccos(min(cosine, 1.0)) == pytest.approx(turned, abs=1e-6)


def test_few_samples_are_refused(make_samples):
    _, samples = make_samples("eye-in-hand", 8)
    with pytest.raises(CalibrationError, match="8 usable samples; at least 12"):
        calibrate_hand_eye(samples, "eye-in-hand")


@pytest.mark.parametrize(
    ("axis", "largest", "named"), [((0, 0, 1), 1.5, "one axis"), ((1, 1, 0), 0.2, "largest rotation")]
)
def test_rotations_that_determine_nothing_are_refused(axis, largest, named, make_samples):
    _, samples = make_samples("eye-in-hand")
    turned = []
    for sample, angle in zip(samples, np.linspace(0.0, largest, len(samples)), strict=True):
        turn = rotvec_to_matrix(np.array(axis) / np.linalg.norm(axis) * angle)
        view = replace(sample.view, camera_from_board=SE3(turn.T, np.array([0, 0, 0.5])))
        turned.append(Sample(sample.name, SE3(turn, np.array([0.4, 0.0, 0.5])), view))
    with pytest.raises(CalibrationError, match=named):
        calibrate_hand_eye(turned, "eye-in-hand")


def test_the_wrong_setup_is_noticed(make_samples):
    _, samples = make_samples("eye-in-hand", 16)
    with pytest.raises(CalibrationError, match="setup"):
        calibrate_hand_eye(samples, "eye-to-hand")
    with pytest.raises(CalibrationError, match="eye-on-hand"):
        calibrate_hand_eye(samples, "eye-on-hand")


@pytest.mark.skipif(
    not hasattr(cv2, "calibrateHandEye"), reason="this OpenCV lacks calibrateHandEye (5.0.0 does)"
)
@pytest.mark.parametrize("setup", SETUPS)
def test_opencv_agrees(setup, make_samples):
    rig, samples = make_samples(setup, 25)
    report = calibrate_hand_eye(samples, setup)
    poses = [
        s.base_from_gripper if setup == "eye-in-hand" else s.base_from_gripper.inverse() for s in samples
    ]
    views = [s.view.camera_from_board for s in samples]
    rotation, translation = cv2.calibrateHandEye(
        [p.rotation for p in poses],
        [p.translation for p in poses],
        [v.rotation for v in views],
        [v.translation for v in views],
        method=cv2.CALIB_HAND_EYE_PARK,
    )
    theirs = SE3(rotation, translation.ravel())
    moved, turned = error(report.camera, theirs)
    assert moved < 2.0 and turned < 0.2
    assert error(report.camera, rig.camera_pose)[0] < error(theirs, rig.camera_pose)[0] + 0.1
