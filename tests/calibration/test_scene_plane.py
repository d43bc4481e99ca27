"""A camera that was knocked is noticed by the table it sees; what stands on the table or moves before it is not."""

import numpy as np
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from spatial_vla.calibration import CalibrationError
from spatial_vla.calibration.scene_plane import PlaneMonitor, PlaneRegion, Unclear, fit_plane
from spatial_vla.geometry import SE3, PinholeCamera, rotvec_to_matrix

CAMERA = PinholeCamera(96, 72, 110.0, 110.0, 47.5, 35.5)
REGION = PlaneRegion((0.3, 0.7), (-0.2, 0.2), 0.05)
TOLERANCE = (0.01, np.radians(0.5))
#: Looks down on the region at 35 degrees from above, from 0.9 m away.
LOOKING = SE3(
    rotvec_to_matrix([0, np.radians(35), 0]) @ np.diag([1.0, -1.0, -1.0]), np.array([1.0, 0.0, 0.75])
)


def depth_of_plane(real, height=REGION.height):
    """Ray by ray: where the line from the camera's centre meets z = height (the oracle has no plane fit in it)."""
    depth = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    for v in range(CAMERA.height):
        for u in range(CAMERA.width):
            ray = real.rotation @ [(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, 1.0]
            if ray[2] < 0:
                depth[v, u] = (height - real.translation[2]) / ray[2]
    return depth


TABLE = depth_of_plane(LOOKING)


def knocked(height, tilt, towards):
    """The camera somewhere else: higher by ``height`` at the region's centre and tilted about a level axis there."""
    axis = tilt * np.array([np.cos(towards), np.sin(towards), 0.0])
    centre = np.array([0.5, 0.0, REGION.height])
    turn = rotvec_to_matrix(axis)
    about = SE3(turn, centre - turn @ centre + [0, 0, height])
    return about @ LOOKING


def seen_from(depth, pose):
    """Points where the calibration has them: all in the camera's frame, put where the camera is believed to be."""
    return pose.apply(CAMERA.back_project(depth).reshape(-1, 3))


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.05, 0.05), st.floats(0, np.radians(5)), st.floats(0, 2 * np.pi))
def test_a_knock_is_measured_exactly_without_noise(height, tilt, towards):
    """A camera that believes itself higher sees the plane higher, by as much, and tilted, by as much."""
    fit = fit_plane(seen_from(TABLE, knocked(height, tilt, towards)), REGION)
    assert fit.offset == pytest.approx(height, abs=1e-4) and fit.tilt == pytest.approx(tilt, abs=1e-4)
    assert fit.share == 1.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.02, -0.02]), st.sampled_from([0.0, 1.0, 3.0]))
def test_with_noise_and_things_before_it_a_knock_is_found_and_its_absence_too(seed, height, tilt):
    rng = np.random.default_rng(seed)
    pose = knocked(height, np.radians(tilt), rng.uniform(0, 2 * np.pi))
    monitor, drift = PlaneMonitor(REGION, TOLERANCE, views=3), None
    try:
        for _ in range(3):
            drift = monitor.observe(pose, CAMERA, spoilt(rng, share=0.08))
    except Unclear:  # boxes and arm happened to hide most of it, which is said, and is no verdict
        reject()
    assert drift is not None
    assert drift.distance == pytest.approx(abs(height), abs=0.002)
    assert np.degrees(drift.angle) == pytest.approx(tilt, abs=0.3)
    assert drift.exceeded == (height != 0.0 or tilt != 0.0)


def spoilt(rng, share, noise=0.0015):
    """The table with noise, holes, small boxes on it, and an arm in front of ``share`` of the picture."""
    depth = TABLE + rng.normal(0.0, noise, TABLE.shape) * TABLE**2
    for _ in range(3):
        v, u = rng.integers(0, 60), rng.integers(0, 80)
        depth[v : v + 8, u : u + 8] -= rng.uniform(0.03, 0.08)
    width = round(share * CAMERA.width)
    left = rng.integers(0, CAMERA.width - width + 1)
    depth[:, left : left + width] = rng.uniform(0.3, 0.7) + rng.normal(0.0, 0.05, (CAMERA.height, width))
    depth[rng.random(depth.shape) < 0.1] = rng.choice([0.0, np.nan])
    return depth.astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 1.0))
def test_a_plane_that_is_mostly_hidden_gives_no_verdict(seed, hidden):
    rng = np.random.default_rng(seed)
    count = round(1000 * hidden)
    before = rng.uniform((0.3, -0.2, 0.1), (0.7, 0.2, 0.6), (count, 3))
    behind = rng.uniform((0.3, -0.2, 0.05), (0.7, 0.2, 0.05), (1000 - count, 3))
    with pytest.raises(Unclear, match="in front of it"):
        fit_plane(np.vstack((before, behind)), REGION)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 199), st.integers(0, 10_000))
@example(0, 0)
def test_few_points_give_no_verdict(count, seed):
    points = np.random.default_rng(seed).uniform((0.3, -0.2, 0.05), (0.7, 0.2, 0.05), (count, 3))
    elsewhere = np.random.default_rng(seed).uniform((0.8, 0.3, 0), (2, 2, 1), (500, 3))
    with pytest.raises(Unclear, match=f"only {count} depth points"):
        fit_plane(np.vstack((points, elsewhere)), REGION)


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(-0.1, 0.1))
def test_turned_or_shifted_along_the_plane_a_camera_sees_the_same(dx, dy, turn):
    """Three of six degrees of freedom: that a knock of the other three is not seen is what the documentation says."""
    wide = PlaneRegion((-1.0, 2.0), (-1.5, 1.5), REGION.height)
    about = SE3(rotvec_to_matrix([0, 0, turn]), np.array([dx, dy, 0.0]))
    fit = fit_plane(seen_from(TABLE, about @ LOOKING), wide)
    assert abs(fit.offset) < 1e-4 and fit.tilt < 1e-4


def test_a_narrow_strip_does_not_tell_the_tilt():
    rng = np.random.default_rng(0)
    strip = rng.uniform((0.3, -0.004, 0.05), (0.7, 0.004, 0.05), (2000, 3)) + rng.normal(
        0, [0, 0, 0.004], (2000, 3)
    )
    assert fit_plane(strip, REGION).uncertainty[1] > TOLERANCE[1]
    depth = np.where(
        np.abs(np.arange(CAMERA.width) - CAMERA.cx) < 2, TABLE + rng.normal(0, 0.004, TABLE.shape), 0.0
    )
    monitor = PlaneMonitor(REGION, TOLERANCE, 1)
    with pytest.raises(Unclear, match=r"larger region|depth points"):
        monitor.observe(LOOKING, CAMERA, depth.astype(np.float32))


def test_one_look_is_no_verdict_and_forgetting_begins_anew():
    monitor = PlaneMonitor(REGION, TOLERANCE, views=2)
    assert monitor.observe(LOOKING, CAMERA, TABLE) is None
    drift = monitor.observe(LOOKING, CAMERA, TABLE)
    assert drift is not None and not drift.exceeded and drift.distance < 1e-6
    monitor.clear()
    assert monitor.observe(LOOKING, CAMERA, TABLE) is None


@pytest.mark.parametrize("text", ["", "1 2 3", "0 1 0 1 up", "1 0 0 1 0", "0 1 0 nan 0"])
def test_what_is_no_region_is_refused(text):
    with pytest.raises(CalibrationError, match="region"):
        PlaneRegion.from_text(text)


def test_a_region_is_read_as_it_is_written_in_the_parameter():
    assert PlaneRegion.from_text("0.3 0.7 -0.2 0.2 0.05") == REGION
