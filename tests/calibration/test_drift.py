"""What moved is noticed, what did not is not, and views that cannot tell do not count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spatial_vla.calibration import Board, CalibrationError, board_pose
from spatial_vla.calibration.drift import DriftMonitor
from spatial_vla.calibration.rig import simulated_rig
from spatial_vla.geometry import SE3, rotvec_to_matrix

TOLERANCE = (0.005, np.radians(0.5))
PIXEL = 0.15
NOT_MOVED = SE3.identity()


def observed(seed, moved=NOT_MOVED, views=7, spoil=None):
    """Drift of a simulated rig whose camera was moved after calibration, by ``moved`` in its own frame."""
    rng = np.random.default_rng(seed)
    rig = simulated_rig("eye-in-hand", views, rng, robot_noise=(1e-4, 3e-4))
    monitor = DriftMonitor(rig.board, rig.board_pose, TOLERANCE, views)
    drift = None
    for i, gripper in enumerate(rig.grippers):
        # A view of the moved camera belongs to another gripper pose: the same picture, the camera is elsewhere.
        real = rig.camera_pose @ moved
        gripper = gripper @ rig.camera_pose @ real.inverse()
        corners = rig.corners(i, rng, PIXEL)
        view = board_pose(corners, rig.camera)
        if i == spoil:
            gripper = gripper @ SE3(rotvec_to_matrix([0.3, 0, 0]), np.array([0.1, 0, 0]))
        drift = monitor.observe(gripper @ rig.camera_pose, view)
    return drift


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.none() | st.integers(0, 6))
def test_a_calibration_that_holds_is_not_complained_of_even_with_a_wrong_view(seed, spoil):
    drift = observed(seed, spoil=spoil)
    assert not drift.exceeded and drift.distance < 0.003


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.01, 0.02, 0.05]), st.integers(0, 2))
def test_a_camera_that_was_shifted_is_noticed_by_how_much(seed, shift, axis):
    drift = observed(seed, SE3(np.eye(3), shift * np.eye(3)[axis]))
    assert drift.exceeded and drift.distance == pytest.approx(shift, abs=0.004)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1.0, 2.0, 5.0]), st.integers(0, 2))
def test_a_camera_that_was_turned_is_noticed_by_how_much(seed, turn, axis):
    drift = observed(seed, SE3(rotvec_to_matrix(np.radians(turn) * np.eye(3)[axis]), np.zeros(3)))
    assert drift.exceeded and np.degrees(drift.angle) == pytest.approx(turn, abs=0.3)


def test_a_view_from_too_far_away_is_not_counted():
    rng = np.random.default_rng(0)
    rig = simulated_rig("eye-in-hand", 1, rng)
    monitor = DriftMonitor(rig.board, rig.board_pose, TOLERANCE)
    far = SE3(rig.views[0].rotation, np.array([0.0, 0.0, 4.0]))
    pixels = rig.camera.project(far.apply(rig.board.corners())) + rng.normal(0, 0.3, (35, 2))
    corners = type(rig.corners(0, rng, PIXEL))(rig.board.corners(), pixels)
    why = monitor.uncertain(board_pose(corners, rig.camera))
    assert "bring the board nearer" in why and "5.0 mm" in why
    assert monitor.uncertain(board_pose(rig.corners(0, rng, PIXEL), rig.camera)) == ""


def test_one_view_is_no_verdict_and_forgetting_begins_anew():
    rng = np.random.default_rng(0)
    rig = simulated_rig("eye-in-hand", 3, rng)
    monitor = DriftMonitor(rig.board, rig.board_pose, TOLERANCE, views=2)
    views = [
        (g @ rig.camera_pose, board_pose(rig.corners(i, rng, PIXEL), rig.camera))
        for i, g in enumerate(rig.grippers)
    ]
    assert monitor.observe(*views[0]) is None and monitor.observe(*views[1]) is not None
    monitor.clear()
    assert monitor.observe(*views[2]) is None


def test_what_cannot_be_watched_is_refused():
    with pytest.raises(CalibrationError, match="upside down"):
        DriftMonitor(Board(kind="chessboard"), SE3.identity(), TOLERANCE)
    with pytest.raises(CalibrationError, match="must be positive"):
        DriftMonitor(Board(), SE3.identity(), (0.0, 0.1))
