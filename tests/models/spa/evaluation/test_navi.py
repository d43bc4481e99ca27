"""NAVI's layout, written small: splits, crops, units."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from spatial_models.spa.evaluation.camera_pose import CameraPoseArgs, evaluate, galleries
from spatial_models.spa.evaluation.navi import navi_scenes, navi_views, object_square
from spatial_models.spa.evaluation.pose_probe import ProbeSettings

from .conftest import PositionEncoder, looking_at_the_origin

SCENES = tuple(f"multiview-{i:02d}-pixel_5" for i in range(5))


@pytest.fixture(scope="module")
def navi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("navi")
    for thing in ("bunny", "school_bus"):
        for number, scene in enumerate((*SCENES, "wild_set")):
            write_scene(root / thing / scene, number)
        (root / thing / "3d_scan").mkdir()
        (root / thing / "video-00-pixel_5").mkdir()
    write_scene(root / "no_wild_set" / SCENES[0], 0)
    return root


def write_scene(folder: Path, number: int) -> None:
    """Three pictures, 60 x 80; a green object of 20 x 12 pixels, left of the middle, on red."""
    annotations = []
    for index in range(3):
        pose = looking_at_the_origin(20 * index + number, 5)
        x, y, z, w = pose.quaternion()
        image = np.zeros((60, 80, 3), np.uint8)
        image[..., 2] = 255
        image[20:40, 30:42] = (0, 255, 0)
        disparity = np.zeros((60, 80), np.uint16)
        disparity[20:40, 30:42] = 900
        for kind, name, picture in (
            ("images", f"{index:03d}.jpg", image),
            ("depth", f"{index:03d}.png", disparity),
        ):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / kind / name), picture)
        annotations.append(
            {
                "object_id": folder.parent.name,
                "camera": {
                    "q": [w, x, y, z],
                    "t": (1000.0 * pose.translation).tolist(),
                    "focal_length": 90.0,
                    "camera_model": "pixel_5",
                },
                "filename": f"{index:03d}.jpg",
                "image_size": [60, 80],
                "scene_name": folder.name,
                "split": "train",
                "occluded": False,
            }
        )
    (folder / "annotations.json").write_text(json.dumps(annotations))


def test_splits_are_those_of_probe3d(navi: Path) -> None:
    names = {
        split: [f"{p.parent.name}/{p.name}" for p in navi_scenes(navi, split)]
        for split in ("train", "valid", "test")
    }
    assert names["train"] == [f"{o}/{s}" for o in ("bunny", "school_bus") for s in SCENES[:4]]
    assert names["valid"] == [f"{o}/{SCENES[4]}" for o in ("bunny", "school_bus")]
    assert names["test"] == ["bunny/wild_set", "school_bus/wild_set"]


def test_views_are_cropped_to_the_object_and_in_metres(navi: Path) -> None:
    views = list(navi_views(navi, "test", 40))
    assert len(views) == 6
    for index, view in enumerate(views[:3]):
        assert view.image.shape == (40, 40, 3)
        assert view.image[5:35, 20].mean(axis=0) == pytest.approx((0, 255, 0), abs=12)  # RGB
        assert view.image[20, 2][0] > 200  # red beside the object, which is narrower than its square
        expected = looking_at_the_origin(20 * index + 5, 5)
        assert np.allclose(view.camera_from_world.matrix(), expected.matrix(), atol=1e-6)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((20, 40, 30, 42), (26, 20, 20)),  # rows, columns -> left, top, side
        ((20, 40, 0, 4), (0, 20, 20)),  # moved into the picture
        ((0, 60, 0, 80), (10, 0, 60)),  # cut down to the shorter side
        ((10, 12, 0, 30), (0, 0, 30)),
    ],
)
def test_square_around_a_box(box: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    mask = np.zeros((60, 80), bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    assert object_square(mask, (60, 80)) == expected
    assert object_square(mask[::2, ::2], (60, 80)) == pytest.approx(expected, abs=2)


def test_smaller_pictures_are_preferred(navi: Path, tmp_path: Path) -> None:
    for scene in (SCENES[0], SCENES[1], "wild_set"):
        write_scene(tmp_path / "cup" / scene, 0)
    blue = np.full((30, 40, 3), (255, 0, 0), np.uint8)
    cv2.imwrite(str(tmp_path / "cup/wild_set/images/downsampled_000.jpg"), blue)
    first = next(navi_views(tmp_path, "test", 16))
    assert first.image[8, 8][2] > 200


def test_the_pose_probe_runs_on_it(navi: Path) -> None:
    args = CameraPoseArgs("", navi, layout="navi", probe=ProbeSettings(epochs=2))
    train, tests = galleries(PositionEncoder(), args)
    figures = evaluate(train, tests, args)
    assert figures["train_pairs"] == 8 * 6 and figures["valid_pairs"] == figures["test_pairs"] == 12


def test_errors_say_what_is_missing(navi: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no NAVI scenes for 'train'"):
        navi_scenes(tmp_path, "train")
    for scene in (SCENES[0], SCENES[1], "wild_set"):
        write_scene(tmp_path / "cup" / scene, 0)
    (tmp_path / "cup/wild_set/depth/001.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"depth/001\.png"):
        list(navi_views(tmp_path, "test", 16))
    with pytest.raises(ValueError, match="no object to crop to"):
        object_square(np.zeros((4, 4), bool), (4, 4))
