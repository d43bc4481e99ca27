"""Data sets on disk: what was written in a layout is read back, and errors say what to do."""

from __future__ import annotations

import json
import pickle

import cv2
import numpy as np
import pytest
import torch
from spatial_models.spa.data import PosedRgbdDataset, RejectedSample, Sampling, ScanNetDataset, build_sample
from spatial_models.spa.data.scannet_metadata import MetadataArgs, make_metadata
from spatial_models.spa.data.transforms_json import ConvertArgs, convert
from spatial_vla.geometry import PinholeCamera
from spatial_vla.posed_rgbd import PosedFrame, PosedScene, encode_depth, read_scene, write_image, write_scene

from .conftest import HEIGHT, WIDTH, K, record

SMALL = Sampling(crop=32, short_side=(33.0, 40.0), views=(1, 3), interval=2, rays_per_view=40)


def write_posed(root, recording, split="train", classes=None):
    camera = PinholeCamera(WIDTH, HEIGHT, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    frames = []
    for i, pose in enumerate(recording.poses):
        write_image(root / f"color/{i}.png", recording.color[i])
        write_image(root / f"depth/{i}.png", recording.depth[i])
        paths = [f"color/{i}.png", f"depth/{i}.png"]
        segmentation = None
        if classes is not None:
            segmentation = f"segmentation/{i}.png"
            write_image(root / segmentation, classes[i])
        frames.append(PosedFrame(paths[0], paths[1], camera, pose, segmentation))
    write_scene(PosedScene(root, tuple(frames), 0.001, split, ("background", "thing")))


def write_scannet(root, recording, name="scene0000_00", lost=3):
    scene = root / "rgbd" / name
    for kind in ("color", "depth", "pose", "intrinsic"):
        (scene / kind).mkdir(parents=True)
    four = np.eye(4)
    four[:3, :3] = K
    np.savetxt(scene / "intrinsic/intrinsic_depth.txt", four)
    for i, pose in enumerate(recording.poses):
        twice = cv2.resize(recording.color[i], (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(scene / f"color/{i * 7}.jpg"), twice[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
        cv2.imwrite(str(scene / f"depth/{i * 7}.png"), recording.depth[i])
        np.savetxt(scene / f"pose/{i * 7}.txt", np.full((4, 4), -np.inf) if i == lost else pose)
    (root / "train").mkdir(exist_ok=True)
    (root / "train" / f"{name}.pth").touch()


def same(a, b) -> None:
    assert torch.equal(a.images, b.images) and torch.equal(a.box, b.box)
    assert torch.equal(a.rays.pixel, b.rays.pixel) and torch.equal(a.rays.depth, b.rays.depth)


def test_a_posed_folder_comes_back(tmp_path, recording) -> None:
    write_posed(tmp_path / "a", recording)
    scene = read_scene(tmp_path / "a")
    for i in range(len(recording.poses)):
        np.testing.assert_array_equal(scene.color(i), recording.color[i])
        np.testing.assert_array_equal(
            scene.depth(i), recording.depth[i].astype(np.float32) * np.float32(0.001)
        )
        np.testing.assert_array_equal(scene.frames[i].camera_to_world, recording.poses[i])
    sample = PosedRgbdDataset(tmp_path, sampling=SMALL, train=False)[0]
    same(sample, build_sample([recording.view(i) for i in (0, 2, 4)], SMALL))
    assert sample.name == "a frames 0..4"


def test_samples_depend_on_seed_epoch_and_index_alone(tmp_path, recording) -> None:
    for name in "ab":
        write_posed(tmp_path / name, recording)
    a, b = (PosedRgbdDataset(tmp_path, sampling=SMALL, seed=1, repeat=3) for _ in range(2))
    assert len(a) == 6
    same(a[4], b[4])
    first = a[4].rays.pixel
    assert not torch.equal(first, a[2].rays.pixel)
    a.set_epoch(1)
    assert not torch.equal(first, a[4].rays.pixel)
    a.set_epoch(0)
    assert torch.equal(first, a[4].rays.pixel)
    with pytest.raises(IndexError):
        a[6]


def test_workers_that_stay_alive_see_the_epoch(tmp_path, recording) -> None:
    write_posed(tmp_path / "a", recording)
    dataset = PosedRgbdDataset(tmp_path, sampling=SMALL)
    loader = torch.utils.data.DataLoader(dataset, collate_fn=list, num_workers=1, persistent_workers=True)
    seen = []
    for epoch in range(2):
        dataset.set_epoch(epoch)
        seen.append(next(iter(loader))[0].rays.pixel.clone())
        assert torch.equal(seen[-1], dataset[0].rays.pixel)
    assert not torch.equal(*seen)


def test_splits_classes_and_sizes(tmp_path, recording) -> None:
    classes = (recording.color[..., 0] > 127).astype(np.uint8)
    write_posed(tmp_path / "a", recording, "val", classes)
    with pytest.raises(ValueError, match=r"splits \['val'\], none of 'train'"):
        PosedRgbdDataset(tmp_path)
    shown = Sampling(**{**SMALL.__dict__, "originals": "segmentation"})
    sample = PosedRgbdDataset(tmp_path, "val", shown, train=False)[0]
    np.testing.assert_array_equal(sample.originals[1][2], classes[2])
    write_posed(tmp_path / "b", recording, "train")
    with pytest.raises(ValueError, match="has no segmentation"):
        PosedRgbdDataset(tmp_path, "train", shown)[0]
    write_image(tmp_path / "b/color/0.png", recording.color[0][:30])
    with pytest.raises(ValueError, match="its intrinsics are for 64x48"):
        PosedRgbdDataset(tmp_path, "train", SMALL, train=False)[0]


def test_a_scene_without_depth_ends_in_an_error_that_names_it(tmp_path, recording) -> None:
    recording.depth[:] = 0
    write_posed(tmp_path / "dark", recording)
    with pytest.raises(RejectedSample, match=r"dark: no usable sample in 11 draws.*valid depth"):
        PosedRgbdDataset(tmp_path, sampling=SMALL)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "expected 'posed-rgbd-1'"),
        ({"depth_scale": 0}, "metres per unit"),
        ({"frames": []}, "lists no frames"),
        ({"intrinsics": {"width": 64}}, "expected width, height, fx, fy, cx, cy"),
        ({"frames": [{"color": "c", "depth": "d"}]}, "no 'camera_to_world'"),
        (
            {"frames": [{"color": "c", "depth": "d", "camera_to_world": np.diag([2, 2, 2, 1]).tolist()}]},
            "rotation",
        ),
    ],
)
def test_a_bad_scene_file_is_refused(tmp_path, recording, change, message) -> None:
    write_posed(tmp_path, recording)
    path = tmp_path / "scene.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        read_scene(tmp_path)


def test_missing_folders_and_files_are_named(tmp_path, recording) -> None:
    with pytest.raises(FileNotFoundError, match=r"<scene>/scene\.json"):
        PosedRgbdDataset(tmp_path)
    write_posed(tmp_path, recording)
    (tmp_path / "depth/0.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"depth/0\.png"):
        PosedRgbdDataset(tmp_path, sampling=SMALL, train=False)[0]


def test_depth_that_does_not_fit_16_bits_is_unknown() -> None:
    depth = np.array([[0.0, 1.0, np.nan, np.inf, -1.0, 70.0]])
    assert encode_depth(depth, 0.001).tolist() == [[0, 1000, 0, 0, 0, 0]]


def test_scannet_is_read_as_ponderv2_lays_it_out(tmp_path, recording) -> None:
    """Frames in numerical order, without the lost pose; poses inverted twice; colour brought to the size of depth."""
    recording = record(12)
    write_scannet(tmp_path, recording)
    make_metadata(MetadataArgs(tmp_path, ("train",)))
    dataset = ScanNetDataset(tmp_path, sampling=SMALL, train=False)
    scene = dataset.open_scene(0)
    kept = [i for i in range(12) if i != 3]
    assert [frame.depth for frame in scene.frames] == [f"scene0000_00/depth/{7 * i}.png" for i in kept]
    sample = dataset[0]
    expected = build_sample([recording.view(kept[i]) for i in (0, 2, 4)], SMALL)
    np.testing.assert_allclose(sample.world_to_camera, expected.world_to_camera, atol=1e-6)
    np.testing.assert_allclose(sample.rays.depth, expected.rays.depth, atol=1e-5)
    np.testing.assert_allclose(sample.intrinsics, expected.intrinsics, rtol=1e-6)
    assert sample.originals[0].shape == (3, HEIGHT, WIDTH)
    assert len(ScanNetDataset(tmp_path, sampling=SMALL)[0].rays) % 40 == 0


@pytest.mark.parametrize(
    "form", [lambda m: torch.tensor(m, dtype=torch.float64), np.array], ids=["tensor", "array"]
)
def test_published_metadata_are_read_without_unpickling(tmp_path, recording, form) -> None:
    write_scannet(tmp_path, recording)
    make_metadata(MetadataArgs(tmp_path, ("train",)))
    path = tmp_path / "metadata/train/scene0000_00.json"
    content = json.loads(path.read_text())
    content["intrinsic"] = form(content["intrinsic"])
    for frame in content["frames"]:
        frame["extrinsic"] = form(frame["extrinsic"])
        frame["color_path"] = "/home/someone/scannet/rgbd/" + frame["color_path"]
    expected = ScanNetDataset(tmp_path, sampling=SMALL, train=False)[0]
    path.unlink()
    torch.save(content, path.with_suffix(".pth"))
    same(ScanNetDataset(tmp_path, sampling=SMALL, train=False)[0], expected)


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_metadata_is_not_run(tmp_path, recording) -> None:
    write_scannet(tmp_path, recording)
    folder = tmp_path / "metadata/train"
    folder.mkdir(parents=True)
    torch.save({"scene_name": Trap(tmp_path / "sprung")}, folder / "scene0000_00.pth")
    with pytest.raises(ValueError, match="without running code"):
        ScanNetDataset(tmp_path)[0]
    assert not (tmp_path / "sprung").exists()
    (folder / "scene0000_00.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol=2))
    with pytest.raises(ValueError, match="without running code"):
        ScanNetDataset(tmp_path)[0]
    assert not (tmp_path / "sprung").exists()


def test_scannet_errors_say_what_is_missing(tmp_path, recording) -> None:
    with pytest.raises(FileNotFoundError, match="scannet_metadata"):
        ScanNetDataset(tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing lists the scenes of 'train'"):
        make_metadata(MetadataArgs(tmp_path))
    write_scannet(tmp_path, recording)
    (tmp_path / "rgbd/scene0000_00/depth/7.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"depth/7\.png is missing"):
        make_metadata(MetadataArgs(tmp_path, ("train",)))
    with pytest.raises(FileNotFoundError, match=r"depth/7\.png is missing"):  # from a worker too
        make_metadata(MetadataArgs(tmp_path, ("train",), jobs=2))
    assert not list((tmp_path / "metadata/train").glob("*.json"))


def write_transforms(root, recording, per_frame=False, **more):
    """As nerfstudio has it: OpenGL axes, pixel centres at halves, frames in any order."""
    (root / "images").mkdir(parents=True)
    lens = {
        "fl_x": K[0, 0],
        "fl_y": K[1, 1],
        "cx": K[0, 2] + 0.5,
        "cy": K[1, 2] + 0.5,
        "w": WIDTH,
        "h": HEIGHT,
    }
    frames = []
    for i, pose in enumerate(recording.poses):
        cv2.imwrite(str(root / f"images/{i:03d}.png"), recording.color[i][..., ::-1])
        cv2.imwrite(str(root / f"images/{i:03d}_depth.png"), recording.depth[i])
        matrix = np.stack((pose[:, 0], -pose[:, 1], -pose[:, 2], pose[:, 3]), axis=1)
        frame = {"file_path": f"images/{i:03d}.png", "depth_file_path": f"images/{i:03d}_depth.png"}
        frames.append({**frame, "transform_matrix": matrix.tolist(), **(lens if per_frame else {})})
    content = {**({} if per_frame else lens), **more, "frames": frames[::-1]}
    (root / "transforms.json").write_text(json.dumps(content))
    return root / "transforms.json"


@pytest.mark.parametrize("per_frame", [False, True])
def test_transforms_json_is_converted(tmp_path, recording, per_frame) -> None:
    transforms = write_transforms(tmp_path / "in", recording, per_frame)
    convert(ConvertArgs(transforms, tmp_path / "out"))
    scene = read_scene(tmp_path / "out")
    for i, frame in enumerate(scene.frames):
        np.testing.assert_allclose(frame.camera_to_world, recording.poses[i], atol=1e-12)
        np.testing.assert_allclose(frame.camera.K, K, atol=1e-9)
        np.testing.assert_array_equal(scene.color(i), recording.color[i])
        np.testing.assert_allclose(scene.depth(i), recording.depth[i] * 0.001, atol=1e-6)
    assert len(PosedRgbdDataset(tmp_path / "out", sampling=SMALL)[0].rays) > 0
    with pytest.raises(FileExistsError):
        convert(ConvertArgs(transforms, tmp_path / "out"))


def test_pose_and_depth_units_are_applied(tmp_path, recording) -> None:
    transforms = write_transforms(tmp_path / "in", recording)
    scene = convert(ConvertArgs(transforms, tmp_path / "out", depth_unit=0.002, pose_unit=3.0))
    np.testing.assert_allclose(scene.frames[5].camera_to_world[:3, 3], 3.0 * recording.poses[5][:3, 3])
    np.testing.assert_allclose(scene.depth(0), recording.depth[0] * 0.002, atol=1e-6)


def test_distorted_pictures_are_straightened(tmp_path, recording) -> None:
    """Straight lines of the world are straight after the conversion, and where the pinhole camera puts them."""
    distortion = np.array([0.25, -0.05, 0.01, -0.01])
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    straight = cv2.undistortPoints(np.stack((u, v), -1).reshape(-1, 1, 2), K, distortion, P=K).reshape(
        HEIGHT, WIDTH, 2
    )
    for i in range(len(recording.poses)):  # a picture that holds where its pixels are without distortion
        where = np.clip(straight, 0, 70)
        recording.color[i] = np.dstack((where * 3, np.zeros((HEIGHT, WIDTH)))).round().astype(np.uint8)
        recording.depth[i] = (1000 + 10 * straight[..., 0]).round().astype(np.uint16)
    lens = dict(zip(("k1", "k2", "p1", "p2"), distortion, strict=True))
    scene = convert(ConvertArgs(write_transforms(tmp_path / "in", recording, **lens), tmp_path / "out"))
    inner = np.s_[8:40, 10:54]
    color, depth = scene.color(0)[inner], scene.depth(0)[inner]
    np.testing.assert_allclose(color[..., 0] / 3, u[inner], atol=0.5)
    np.testing.assert_allclose(color[..., 1] / 3, v[inner], atol=0.5)
    np.testing.assert_allclose((depth * 1000 - 1000) / 10, u[inner], atol=1.0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"camera_model": "OPENCV_FISHEYE", "k1": 0.1},
            "camera_model 'OPENCV_FISHEYE', which is not handled",
        ),
        ({"camera_model": "EQUIRECTANGULAR"}, "not handled"),
    ],
)
def test_lenses_that_are_not_handled_are_refused(tmp_path, recording, more, message) -> None:
    with pytest.raises(ValueError, match=message):
        convert(ConvertArgs(write_transforms(tmp_path / "in", recording, **more), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_what_transforms_json_lacks_is_named(tmp_path, recording) -> None:
    path = write_transforms(tmp_path / "in", recording)
    content = json.loads(path.read_text())
    del content["frames"][2]["depth_file_path"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"images/003\.png.*no depth_file_path"):
        convert(ConvertArgs(path, tmp_path / "out"))
    content["frames"][2]["depth_file_path"] = "images/none.png"
    path.write_text(json.dumps(content))
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        convert(ConvertArgs(path, tmp_path / "out"))
    del content["fl_x"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="no focal length"):
        convert(ConvertArgs(path, tmp_path / "out"))
