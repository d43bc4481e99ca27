"""SE(3) group axioms and the quaternion convention."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spatial_vla.geometry import SE3, matrix_to_rotvec, rotvec_to_matrix

vectors = st.lists(st.floats(-1.7, 1.7), min_size=3, max_size=3).map(np.array)
poses = st.builds(lambda w, t: SE3(rotvec_to_matrix(w), t), vectors, vectors)


def close(a: SE3, b: SE3) -> bool:
    return np.allclose(a.matrix(), b.matrix(), atol=1e-12)


@given(poses, poses, poses)
def test_composition_is_associative_and_has_inverses(a: SE3, b: SE3, c: SE3) -> None:
    assert close((a @ b) @ c, a @ (b @ c))
    assert close(a @ a.inverse(), SE3.identity())


@given(poses, vectors)
def test_applying_a_product_is_applying_in_turn(a: SE3, p: np.ndarray) -> None:
    assert np.allclose((a @ a).apply(p), a.apply(a.apply(p)))


@given(poses)
def test_quaternion_round_trip(a: SE3) -> None:
    assert close(a, SE3.from_quaternion(a.translation, a.quaternion()))


@given(vectors)
def test_logarithm_inverts_exponential(w: np.ndarray) -> None:
    assert np.allclose(matrix_to_rotvec(rotvec_to_matrix(w)), w, atol=1e-9)


def test_quaternion_order_is_xyzw() -> None:
    half = np.sqrt(0.5)
    quarter_turn_about_z = SE3.from_quaternion([0, 0, 0], [0, 0, half, half])
    assert np.allclose(quarter_turn_about_z.apply([1, 0, 0]), [0, 1, 0])


def test_what_is_not_a_pose_is_refused() -> None:
    with pytest.raises(ValueError, match="unit quaternion"):
        SE3.from_quaternion([0, 0, 0], [0, 0, 0, 0])
    with pytest.raises(ValueError, match="finite"):
        SE3(np.eye(3), np.array([0.0, np.nan, 0.0]))
