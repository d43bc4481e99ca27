"""Intrinsics: rendered views give back the camera; bad views are left out, and too little is refused."""

import numpy as np
import pytest
from spatial_vla.calibration import CalibrationError, Corners, calibrate_intrinsics
from spatial_vla.calibration.rig import simulated_rig
from spatial_vla.geometry import SE3, rotvec_to_matrix


def views_of(board, camera, count, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    rig = simulated_rig("eye-in-hand", count, rng, board=board, camera=camera)
    return [rig.corners(i, rng, noise) for i in range(count)]


def calibrate(views, camera, **arguments):
    return calibrate_intrinsics(views, camera.pinhole.width, camera.pinhole.height, **arguments)


def test_rendered_views_give_back_the_camera(board, camera, renderer):
    rng = np.random.default_rng(3)
    rig = simulated_rig("eye-in-hand", 14, rng, board=board, camera=camera)
    views = [c for pose in rig.views if (c := board.detect(renderer.render(pose, rng))) is not None]
    report = calibrate(views, camera)
    assert report.rms < 0.2 and report.held_out_rms < 0.25
    truth, found = camera.pinhole, report.camera.pinhole
    assert abs(found.fx / truth.fx - 1) < 5e-3 and abs(found.fy / truth.fy - 1) < 5e-3
    rays = np.array([[x, y, 1.0] for x in (-0.4, 0.0, 0.4) for y in (-0.3, 0.0, 0.3)])
    # What matters: where rays end up in the image, whatever the parameters share among themselves.
    assert np.linalg.norm(report.camera.project(rays) - camera.project(rays), axis=1).max() < 2.0


def test_stated_deviations_are_those_of_repeated_calibrations(board, camera):
    reports = [calibrate(views_of(board, camera, 12, seed), camera) for seed in range(12)]
    errors = np.array([r.camera.pinhole.fx - camera.pinhole.fx for r in reports])
    stated = np.array([r.deviations[0] for r in reports])
    assert 0.4 < np.sqrt(np.mean((errors / stated) ** 2)) < 2.0
    for report in reports:  # OpenCV's own deviations are those of our covariance
        ours = np.sqrt(np.diag(report.camera.covariance))[:4]
        np.testing.assert_allclose(ours, report.deviations, rtol=0.05)


def test_a_wrong_view_is_left_out_and_the_result_is_as_without_it(board, camera):
    views = views_of(board, camera, 13)
    without = calibrate(views[:-1], camera)
    bent = views[-1].pixels + 1e-3 * (views[-1].pixels - 200) ** 2
    views[-1] = Corners(views[-1].points, bent)
    report = calibrate(views, camera)
    assert report.rejected == (12,) and np.isnan(report.view_rms[12])
    assert report.camera.pinhole.fx == pytest.approx(without.camera.pinhole.fx, rel=1e-6)


def test_few_views_are_refused(board, camera):
    with pytest.raises(CalibrationError, match=r"6 usable views.*at least 10"):
        calibrate(views_of(board, camera, 6), camera)


def test_views_square_on_are_refused(board, camera):
    views = []
    for i in range(12):
        turn = rotvec_to_matrix(np.array([0.03 * (i % 3), 0.03 * (i % 2), 0.3 * i]))
        pose = SE3(turn, np.array([0.0, 0.0, 0.45]) - turn @ np.array([0.12, 0.09, 0.0]))
        noise = np.random.default_rng(i).normal(0, 0.05, (35, 2))
        views.append(Corners(board.corners(), camera.project(pose.apply(board.corners())) + noise))
    with pytest.raises(CalibrationError, match="tilt"):
        calibrate(views, camera)


def test_a_bad_fit_is_refused(board, camera):
    with pytest.raises(CalibrationError, match=r"at most 1\.0 px"):
        calibrate(views_of(board, camera, 12, noise=2.0), camera)


def test_advice_names_what_is_missing(board, camera):
    """All views in the left half: the cells on the right are named, and no others."""
    left = [
        Corners(v.points[inside], v.pixels[inside])
        for v in views_of(board, camera, 40)
        if (inside := v.pixels[:, 0] < camera.pinhole.width / 2).sum() > 12
        and np.linalg.matrix_rank(v.points[inside][:, :2] - v.points[inside][0, :2]) == 2
    ]
    coverage = calibrate(left, camera).coverage
    assert set(coverage.empty) >= {
        f"{row} {column}" for row in ("top", "bottom") for column in ("centre right", "right")
    }
    assert coverage.share <= 0.5 and any("hold the board there" in tip for tip in coverage.advice())
