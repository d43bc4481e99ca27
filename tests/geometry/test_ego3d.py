"""Points of patches: against scalar arithmetic, under resizing, cropping and a camera's pose."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spatial_vla.geometry import SE3, PinholeCamera, rotvec_to_matrix
from spatial_vla.geometry.ego3d import bfloat16, fill_depth, patch_points, released_intrinsics

RNG = np.random.default_rng(2)
CONFIG = {
    "intrinsic_config": {
        "default": {
            "width": 640,
            "height": 480,
            "intrinsic": [[623.588, 0, 319.501], [0, 623.588, 239.545], [0, 0, 1]],
        }
    }
}
CAMERA = PinholeCamera(224, 224, 201.5, 243.25, 108.3, 115.9)
POSE = SE3(rotvec_to_matrix(np.array([0.4, -1.1, 0.2])), np.array([0.5, -0.1, 0.7]))


def plane(camera, normal, distance):
    """Exact depth of the plane normal . p = distance."""
    return distance / (camera.rays() @ np.asarray(normal))


def by_loops(depth, camera, middle):
    """Every number on its own: patches of 14 px, cells of 7 px."""
    points = np.zeros((256, 4, 3))
    for patch in range(256):
        for cell in range(4):
            top = patch // 16 * 14 + cell // 2 * 7
            left = patch % 16 * 14 + cell % 2 * 7
            total = 0.0
            for v in range(top, top + 7):
                for u in range(left, left + 7):
                    total += float(depth[v, u])
            z = total / 49
            u, v = left + middle, top + middle
            points[patch, cell] = (u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z
    return points


def test_points_agree_with_scalar_arithmetic():
    depth = RNG.uniform(0.3, 3.0, (224, 224)).astype(np.float32)
    found = patch_points(depth, CAMERA)
    assert found.points == pytest.approx(by_loops(depth, CAMERA, 3), abs=1e-6) and found.valid.all()


@pytest.mark.parametrize("shape", [(224, 224), (448, 448), (480, 640)])
def test_points_of_a_plane_lie_in_it_at_any_resolution(shape):
    camera = PinholeCamera(224, 224, 300, 300, 111.5, 111.5).resized(*shape[::-1])
    normal = np.array([0.1, -0.2, 1.0])
    found = patch_points(plane(camera, normal, 1.5), camera)
    # The mean over a cell of a slanted plane's depth, and nearest pixels, cost a little.
    assert found.points @ normal == pytest.approx(1.5, abs=4e-3)


def test_a_crop_sees_the_same_points():
    camera = PinholeCamera(448, 336, 380, 380, 223.5, 167.5)
    depth = plane(camera, (0.0, 0.1, 1.0), 1.2)
    x, y = 112, 56
    crop = camera.cropped(x, y, 224, 224)
    found = patch_points(depth[y : y + 224, x : x + 224], crop).points
    back = camera.project(found[:, :, :].astype(float))
    first = patch_points(depth[y : y + 224, x : x + 224], crop).points[0, 0]
    assert back[0, 0] == pytest.approx((x + 3, y + 3), abs=1e-3) and first[2] == pytest.approx(1.2, abs=0.1)


def test_the_base_frame_is_the_camera_frame_moved():
    depth = RNG.uniform(0.3, 3.0, (224, 224))
    seen = patch_points(depth, CAMERA).points.astype(float)
    moved = patch_points(depth, CAMERA, base_from_camera=POSE).points
    assert moved == pytest.approx(seen @ POSE.rotation.T + POSE.translation, abs=1e-6)


def test_what_was_not_measured_is_taken_from_the_nearest():
    depth = np.full((224, 224), 1.0, dtype=np.float32)
    depth[:, 112:] = 2.0
    for bad, at in ((0.0, (3, 3)), (np.nan, (100, 200)), (np.inf, (220, 5)), (-1.0, (5, 220))):
        depth[at] = bad
    depth[0:14, 210:224] = 0.0
    found = patch_points(depth, CAMERA)
    z = found.points[..., 2].reshape(16, 16, 4)
    assert (z[:, :8] == 1.0).all() and (z[:, 8:] == 2.0).all()
    valid = found.valid.reshape(16, 16, 4)
    assert not valid[0, 15].any() and valid.sum() == 1024 - 4
    full, measured = fill_depth(depth)
    assert np.isfinite(full).all() and measured.sum() == 224 * 224 - 3 - 14 * 14


def test_a_covered_sensor_and_wrong_sizes_are_errors():
    with pytest.raises(ValueError, match="covered"):
        patch_points(np.zeros((224, 224)), CAMERA)
    with pytest.raises(ValueError, match=r"\(10, 10\)"):
        patch_points(np.ones((10, 10)), CAMERA)
    with pytest.raises(ValueError, match="divide"):
        patch_points(np.ones((224, 224)), CAMERA, side=4)
    with pytest.raises(ValueError, match="compat"):
        patch_points(np.ones((480, 640)), CAMERA.resized(640, 480), compat=True)


def test_released_intrinsics_are_scaled_by_axis_and_fall_back():
    K = released_intrinsics(CONFIG, "my_robot")
    assert (K[0, 0], K[1, 1], K[0, 2], K[1, 2]) == pytest.approx(
        (218.2558, 291.00773, 111.82535, 111.78767), abs=1e-4
    )
    assert np.diag(bfloat16(K)).tolist() == [218, 292, 1] and bfloat16(K)[:2, 2].tolist() == [112, 112]
    with pytest.raises(KeyError, match="default"):
        released_intrinsics({}, "my_robot")


@given(st.floats(-(2.0**126), 2.0**126, width=32))
def test_bfloat16_is_the_nearest_one(value):
    rounded = float(bfloat16(value))
    bits = struct.unpack("<I", struct.pack("<f", value))[0] >> 16
    neighbours = [struct.unpack("<f", struct.pack("<I", (bits + step) << 16))[0] for step in (0, 1)]
    finite = [n for n in neighbours if math.isfinite(n)]
    assert rounded in finite or math.isinf(rounded)
    if len(finite) == 2:
        assert abs(rounded - value) == min(abs(n - value) for n in finite)


def test_compat_agrees_with_scalar_arithmetic_on_rounded_numbers():
    depth = RNG.uniform(0.3, 3.0, (224, 224)).astype(np.float32)
    camera = PinholeCamera.from_K(224, 224, released_intrinsics(CONFIG))
    found = patch_points(depth, camera, compat=True).points.reshape(16, 16, 2, 2, 3).swapaxes(1, 2)
    found = found.reshape(32, 32, 3).astype(float)
    # Depth, a mean of rounded numbers that is rounded itself: eight bits.
    mean = bfloat16(depth).astype(float).reshape(32, 7, 32, 7).mean(axis=(1, 3))
    assert np.abs(found[..., 2] / mean - 1).max() <= 2.0**-8 * 1.01
    middle = [x if x < 128 else 2.0 * round(x / 2) for x in (7 * i + 3.5 for i in range(32))]
    assert (middle[18], middle[19], middle[20]) == (130, 136, 144)
    for i in range(32):
        for j in range(32):
            z = found[i, j, 2]
            expected = (middle[j] - 112) / 218 * z, (middle[i] - 112) / 292 * z
            assert found[i, j, :2] == pytest.approx(expected, abs=1e-6)
