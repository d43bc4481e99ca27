"""Boards: corners are found where the camera's model puts them, what cannot be a board is refused."""

import re
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from spatial_vla.calibration import Board, CalibrationError, Corners, board_pose
from spatial_vla.calibration.printing import write_pdf
from spatial_vla.geometry import SE3, rotvec_to_matrix

VIEW = SE3(rotvec_to_matrix(np.array([0.4, -0.3, 0.2])), np.array([-0.12, -0.07, 0.42]))


def by_hand(camera, points, pose):
    """Plumb-bob projection, written out for one point after the other."""
    k1, k2, p1, p2, k3 = camera.distortion
    pixels = []
    for point in points:
        X, Y, Z = pose.rotation @ point + pose.translation
        x, y = X / Z, Y / Z
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        pixels.append(
            (camera.pinhole.fx * xd + camera.pinhole.cx, camera.pinhole.fy * yd + camera.pinhole.cy)
        )
    return np.array(pixels)


@pytest.mark.parametrize("kind", ["charuco", "chessboard"])
def test_corners_are_found_where_they_are(kind, camera, renderer):
    board = Board(kind)
    image = replace(renderer, board=board).render(VIEW, np.random.default_rng(1))
    corners = board.detect(image)
    assert corners is not None and len(corners.points) >= 30
    expected = by_hand(camera, corners.points, VIEW)
    if kind == "chessboard":  # which corner is the first one is open by half a turn
        expected = min(expected, expected[::-1], key=lambda e: np.abs(e - corners.pixels).max())
    assert np.sqrt(np.mean(np.sum((corners.pixels - expected) ** 2, axis=1))) < 0.12
    np.testing.assert_allclose(
        camera.project(VIEW.apply(corners.points)), by_hand(camera, corners.points, VIEW)
    )


def test_a_colour_image_gives_the_same_corners(board, renderer):
    grey = renderer.render(VIEW, np.random.default_rng(1))
    colour = board.detect(np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_allclose(colour.pixels, board.detect(grey).pixels, atol=0.05)


def test_no_board_no_corners(board):
    rng = np.random.default_rng(0)
    assert board.detect(rng.integers(0, 255, (240, 320), dtype=np.uint8)) is None
    assert Board("chessboard").detect(np.full((240, 320), 90, np.uint8)) is None


def test_pose_and_its_covariance_are_those_of_many_noisy_views(board, camera):
    """The stated covariance against the scatter of 300 poses from corners with noise."""
    rng, noise = np.random.default_rng(2), 0.3
    points = board.corners()
    exact = camera.project(VIEW.apply(points))
    errors = []
    for _ in range(300):
        found = board_pose(
            Corners(points, exact + rng.normal(0, noise, exact.shape)), camera
        ).camera_from_board
        turn = cv2.Rodrigues(found.rotation @ VIEW.rotation.T)[0].ravel()
        errors.append([*(found.translation - VIEW.translation), *turn])
    stated = np.linalg.inv(board_pose(Corners(points, exact), camera).information) * noise**2
    ratio = np.std(errors, axis=0) / np.sqrt(np.diag(stated))
    assert np.all(np.abs(ratio - 1.0) < 0.15), ratio
    # and the correlations: whitened errors have unit covariance
    white = np.linalg.solve(np.linalg.cholesky(stated), np.array(errors).T)
    np.testing.assert_allclose(np.cov(white), np.eye(6), atol=0.25)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kind": "circles"}, "circles"),
        ({"columns": 2}, "3 x 3"),
        ({"square": 30.0}, "metres"),
        ({"marker": 0.03}, "smaller than a square"),
        ({"dictionary": "DICT_9X9_1"}, "DICT_9X9_1"),
    ],
)
def test_what_cannot_be_a_board_is_refused(fields, named):
    with pytest.raises(CalibrationError, match=named):
        Board(**fields)


def test_boards_survive_a_file_and_unknown_entries_are_named(board):
    assert Board.from_dict(board.to_dict()) == board
    with pytest.raises(CalibrationError, match="colums"):
        Board.from_dict({"colums": 8})


def test_the_printed_page_has_the_size_of_the_board(board, tmp_path):
    write_pdf(tmp_path / "board.pdf", board)
    data = (tmp_path / "board.pdf").read_bytes()
    across, down = map(float, re.search(rb"q ([\d.]+) 0 0 ([\d.]+) ", data).groups())
    assert across * 25.4 / 72 == pytest.approx(240.0) and down * 25.4 / 72 == pytest.approx(180.0)
    start = data.index(b"FlateDecode")
    pixels = zlib.decompress(data[data.index(b"stream\n", start) + 7 : data.index(b"\nendstream", start)])
    assert len(pixels) == 8 * 6 * 120 * 120
    table = int(data.split(b"startxref\n")[1].split(b"\n")[0])
    assert data[table : table + 4] == b"xref"
