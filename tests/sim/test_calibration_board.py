"""The board in the simulated cameras: in true perspective, sharp, and hidden by what is before it."""

import numpy as np
import pytest
from spatial_vla.calibration import Board
from spatial_vla.geometry import SE3
from spatial_vla_sim.calibration_board import CalibrationBoard
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World

SCENE = sample_scene(3, "touch")
#: Upright behind the hand, facing the external camera.
BEHIND = SE3(np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([0.2, -0.12, 0.5]))


def world_with(board, size):
    world = World(size, board)
    world.reset(SCENE)
    world.step(0.01)
    return world


@pytest.mark.parametrize(("place", "camera"), [("table", "wrist"), ("gripper", "external")])
def test_corners_are_found_where_a_pinhole_sees_them(place, camera):
    board = CalibrationBoard.at(place)
    world = world_with(board, 640)
    frame = world.render(camera)
    found = board.board.detect(frame.rgb)
    assert found is not None and len(found.pixels) > 20
    pose, view = board.world_from_board(world.view().data), frame.world_from_camera
    off = []
    for point, pixel in zip(found.points, found.pixels, strict=True):
        world_point = pose.rotation @ point + pose.translation
        x, y, z = view.rotation.T @ (world_point - view.translation)
        seen = (frame.camera.fx * x / z + frame.camera.cx, frame.camera.fy * y / z + frame.camera.cy)
        off.append(np.subtract(pixel, seen))
    assert np.sqrt(np.mean(np.square(off))) < 0.2
    assert np.abs(np.mean(off, axis=0)).max() < 0.1


def test_what_is_nearer_than_the_board_hides_it_and_nothing_else_changes():
    board = CalibrationBoard(Board(), "world", BEHIND)
    bare = World(160)
    bare.reset(board.cleared(SCENE))
    bare.step(0.01)
    before, after = bare.render("external"), world_with(board, 160).render("external")
    hidden = shown = 0
    for row in range(160):
        for column in range(160):
            ray = np.array(
                [
                    (column - before.camera.cx) / before.camera.fx,
                    (row - before.camera.cy) / before.camera.fy,
                    1,
                ]
            )
            way, eye = before.world_from_camera.rotation @ ray, before.world_from_camera.translation
            distance = (0.2 - eye[0]) / way[0]
            y, z = (eye + distance * way)[1:]
            inside = -0.12 < y < 0.12 and 0.32 < z < 0.5  # the squares; the paper goes on around them
            near = 0.0 < before.depth[row, column] < distance
            if near or not (-0.14 < y < 0.14 and 0.30 < z < 0.52):
                assert (after.rgb[row, column] == before.rgb[row, column]).all(), (row, column)
                hidden += inside
            elif inside:
                assert after.depth[row, column] == pytest.approx(distance, abs=1e-4)
                shown += 1
    assert hidden > 20 and shown > 200


def test_the_board_moves_nothing_and_objects_make_room_for_it():
    board = CalibrationBoard.at("table")
    world = world_with(board, 32)
    assert min(np.linalg.norm(pose.translation[:2] - [0.42, 0.0]) for pose in world.object_poses()) > 0.3
    held = world_with(CalibrationBoard.at("gripper"), 32)
    free = World(32)
    free.reset(SCENE)
    free.step(0.01)
    for one in (held, free):
        one.step(0.2)
    np.testing.assert_allclose(held.joint_state()[0], free.joint_state()[0], atol=1e-9)


def test_another_place_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'shelf'; expected one of table, gripper"):
        CalibrationBoard.at("shelf")
