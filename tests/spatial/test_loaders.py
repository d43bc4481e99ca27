"""Loaders, each on files written in its layout from a simulated scene whose boxes and camera are known."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spatial_vla.geometry import SE3, PinholeCamera
from spatial_vla.spatial.annotate import annotate
from spatial_vla.spatial.free_space import supports
from spatial_vla.spatial.plain_pickle import read_plain_pickle
from spatial_vla.spatial.sources import open_source
from spatial_vla_sim.spatial_scenes import RobotTables, SimulatedTables, _robot_table

TABLES = SimulatedTables(things=5, width=160, height=120)
CATEGORIES = ["floor", "object", "cube", "brick", "book", "can", "ball", "clock", "speaker", "tray"]
DATASETS = {
    "scannet": "scannet/scene0000_00",
    "3rscan": "3rscan/0cac7578",
    "matterport3d": "matterport3d/17DRP5sb8fy/region0",
    "arkitscenes": "arkitscenes/Training/40753679",
}


def scan(scene, sample, pictures):
    """A scan in EmbodiedScan's layout; its raw frame is turned and moved from the aligned one."""
    raw = SE3(Rotation.from_euler("z", 0.7).as_matrix(), np.array((0.3, -0.2, 0.1)))
    instances = [
        {"bbox_3d": item.box.nine(), "bbox_label_3d": CATEGORIES.index(item.category)}
        for item in scene.objects
    ]
    instances.append({"bbox_3d": [0, 0, -0.05, 1.1, 1.5, 0.1, 0, 0, 0], "bbox_label_3d": 0})
    images = [
        {
            "img_path": path,
            "cam2global": (raw @ scene.scene_from_camera).matrix(),
            "visible_instance_ids": list(range(len(scene.objects) - 1)),
        }
        | ({} if camera is None else {"cam2img": four(camera)})
        for path, camera in pictures
    ]
    out = {
        "sample_idx": sample,
        "axis_align_matrix": raw.inverse().matrix(),
        "instances": instances,
        "images": images,
    }
    return out if pictures[0][1] is not None else out | {"cam2img": four(scene.camera)}


def four(camera):
    out = np.eye(4)
    out[:3, :3] = camera.K
    return out


def write_scans(folder, scene, dataset):
    """Two pictures of different sizes; in Matterport3D each with its own intrinsics."""
    large = replace(scene.camera, width=320, height=240, fx=2 * scene.camera.fx, fy=2 * scene.camera.fy)
    own = dataset == "matterport3d"
    names = (f"{DATASETS[dataset]}/a.jpg", f"{DATASETS[dataset]}/b.png")
    for name, camera in zip(names, (scene.camera, large if own else scene.camera), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.zeros((camera.height, camera.width, 3), np.uint8))
    pictures = [(names[0], scene.camera if own else None), (names[1], large if own else None)]
    content = {
        "metainfo": {"categories": {name: number for number, name in enumerate(CATEGORIES)}},
        "data_list": [scan(scene, DATASETS[dataset], pictures)],
    }
    (folder / "infos.pkl").write_bytes(pickle.dumps(content))
    return f"infos={folder / 'infos.pkl'},images={folder}"


@pytest.mark.parametrize("dataset", DATASETS)
def test_embodiedscan(tmp_path, dataset):
    scene = TABLES.scene(3)
    source = open_source("embodiedscan", write_scans(tmp_path, scene, dataset))
    assert len(source) == 2
    found = source.scene(0)
    assert found.dataset == dataset and found.image.endswith("a.jpg")
    np.testing.assert_allclose(found.boxes.corners, scene.boxes.corners, atol=1e-9)
    np.testing.assert_allclose(found.scene_from_camera.matrix(), scene.scene_from_camera.matrix(), atol=1e-9)
    assert found.surfaces[0].name == "floor" and found.surfaces[0].height == pytest.approx(0.0)
    # Of the last thing nobody says that it is in the picture: it stands in the way and is not asked about.
    last = found.objects[-1]
    assert last.known_traits.environment
    assert last.name not in {item["name"] for item in annotate(found)["objects"]}
    second = source.scene(1)
    factor = 2 if dataset == "matterport3d" else 1
    assert (second.camera.width, second.camera.fx) == (160 * factor, pytest.approx(factor * scene.camera.fx))


def test_pickles_that_would_run_something_are_not_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return (eval, ("1",))  # not print: Ray, where it ran before, has its own in its place

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"metainfo": Evil()}))
    with pytest.raises(ValueError, match=r"evil\.pkl is not read: it refers to builtins\.eval"):
        read_plain_pickle(tmp_path / "evil.pkl")
    with pytest.raises(ValueError, match="evil"):
        open_source("embodiedscan", f"infos={tmp_path / 'evil.pkl'},images={tmp_path}")


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles_of_plain_data_are_read(tmp_path, protocol):
    data = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": [np.float64(2.5), {"x", 1}],
        "c": np.array(["u", None], object),
    }
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(data, protocol))
    found = read_plain_pickle(tmp_path / "p.pkl")
    np.testing.assert_array_equal(found["a"], data["a"])
    assert found["b"] == data["b"] and found["c"].tolist() == ["u", None]


def test_a_scan_that_lacks_something_says_what(tmp_path):
    location = write_scans(tmp_path, TABLES.scene(3), "scannet")
    content = pickle.loads((tmp_path / "infos.pkl").read_bytes())
    del content["data_list"][0]["cam2img"]
    (tmp_path / "infos.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"scannet/scene0000_00.*cam2img"):
        open_source("embodiedscan", location).scene(0)
    with pytest.raises(ValueError, match="expected infos="):
        open_source("embodiedscan", str(tmp_path))


def depth_of(arrangement, camera):
    ends = arrangement.scene.scene_from_camera.apply(camera.rays().reshape(-1, 3) * 3.0)
    eye = arrangement.scene.scene_from_camera.translation
    depth = 3.0 * (1.0 - arrangement.first_hit(ends) / np.linalg.norm(ends - eye, axis=1))
    return np.where(depth >= 3.0, 0.0, depth).reshape(camera.height, camera.width)


def write_bop(folder, arrangement):
    """One picture; models are millimetres, and their boxes' middles are not their origins."""
    scene, place = arrangement.scene, folder / "hope" / "val" / "000001"
    for name in ("rgb", "depth"):
        (place / name).mkdir(parents=True)
    camera_from_world = scene.scene_from_camera.inverse()
    models, poses = {}, []
    for number, item in enumerate(scene.objects, 1):
        shift, half = np.array((5.0, -3.0, 2.0)), item.box.size * 500.0
        models[str(number)] = {f"min_{k}": float(v) for k, v in zip("xyz", shift - half, strict=True)} | {
            f"size_{k}": float(2 * v) for k, v in zip("xyz", half, strict=True)
        }
        rotation = camera_from_world.rotation @ item.box.rotation
        centre = camera_from_world.apply(item.box.centre) * 1000.0 - rotation @ shift
        poses.append({"obj_id": number, "cam_R_m2c": rotation.ravel().tolist(), "cam_t_m2c": centre.tolist()})
    view = {
        "cam_K": scene.camera.K.ravel().tolist(),
        "depth_scale": 0.1,
        "cam_R_w2c": camera_from_world.rotation.ravel().tolist(),
        "cam_t_w2c": (camera_from_world.translation * 1000.0).tolist(),
    }
    cv2.imwrite(str(place / "rgb" / "000000.png"), np.zeros((120, 160, 3), np.uint8))
    depth = depth_of(arrangement, scene.camera)
    cv2.imwrite(str(place / "depth" / "000000.png"), np.rint(depth * 10_000).astype(np.uint16))
    (place / "scene_camera.json").write_text(json.dumps({"0": view}))
    (place / "scene_gt.json").write_text(json.dumps({"0": poses}))
    (folder / "models_info.json").write_text(json.dumps(models))
    names = {str(k): item.name for k, item in enumerate(scene.objects, 1)}
    (folder / "names.json").write_text(json.dumps(names))
    return f"split={place.parent},models={folder / 'models_info.json'},names={folder / 'names.json'}"


def test_bop_with_a_level_world(tmp_path):
    arrangement = TABLES.arrangement(4)
    scene = arrangement.scene
    found = open_source("bop", write_bop(tmp_path, arrangement) + ",up=world").scene(0)
    assert [item.name for item in found.objects] == [item.name for item in scene.objects]
    np.testing.assert_allclose(found.boxes.corners, scene.boxes.corners, atol=1e-6)
    assert (found.dataset, found.name, found.image) == ("hope", "val/000001", "000001/rgb/000000.png")
    assert found.surfaces[0].height == pytest.approx(0.0, abs=0.002)


def test_bop_with_up_from_the_table_in_the_depth_picture(tmp_path):
    arrangement = TABLES.arrangement(4)
    scene = arrangement.scene
    found = open_source("bop", write_bop(tmp_path, arrangement)).scene(0)
    np.testing.assert_allclose(found.boxes.low, scene.boxes.low, atol=0.004)
    np.testing.assert_allclose(found.boxes.high, scene.boxes.high, atol=0.004)
    assert ((supports(found) == 0) == (supports(scene) == 0)).all()
    # The same answers as in the known scene, where these do not depend on where the world's x points.
    one, two = annotate(found)["relations"], annotate(scene)["relations"]
    for key in ("ego/left", "ego/front"):
        differ = np.array(one[key]["verdict"]) != np.array(two[key]["verdict"])
        assert (np.abs(np.array(two[key]["margin"])[differ]) < 0.01).all()


def test_bop_without_names_or_depth_says_so(tmp_path):
    location = write_bop(tmp_path, TABLES.arrangement(4))
    (tmp_path / "hope/val/000001/depth/000000.png").unlink()
    with pytest.raises(ValueError, match="up=world"):
        open_source("bop", location).scene(0)
    (tmp_path / "names.json").write_text('{"1": "cup"}')
    with pytest.raises(ValueError, match="no names for models"):
        open_source("bop", location)


VISION = {
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose"
    ),
    "vision_msgs/msg/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
    "vision_msgs/msg/Detection3D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox3D bbox\nstring id"
    ),
    "vision_msgs/msg/Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections",
}


def write_bag(folder, scene, picture):
    """A bag with a camera that moves, its frame known 0.1 s before and after the detections, which are in its frame."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in VISION.items():
        store.register(get_types_from_msg(text, name))
    T = {name.split("/")[-1]: kind for name, kind in store.types.items() if "/msg/" in name}

    def header(time_ns, frame):
        return T["Header"](T["Time"](*divmod(time_ns, 1_000_000_000)), frame)

    def transform(time_ns, parent, child, pose):
        t, q = pose.translation.tolist(), pose.quaternion().tolist()
        return T["TransformStamped"](
            header(time_ns, parent), child, T["Transform"](T["Vector3"](*t), T["Quaternion"](*q))
        )

    optical = SE3(Rotation.from_euler("zx", (0.3, -0.2)).as_matrix(), np.array((0.01, 0.02, 0.03)))
    arm = scene.scene_from_camera @ optical.inverse()
    now, step = 5_000_000_000, np.array((0.02, 0.0, 0.0))
    camera_from_world = scene.scene_from_camera.inverse()
    found = []
    for item in scene.objects:
        box = item.box.moved(camera_from_world)
        q = Rotation.from_matrix(box.rotation).as_quat().tolist()
        pose = T["Pose"](T["Point"](*box.centre.tolist()), T["Quaternion"](*q))
        covariance = np.diag((1e-6, 4e-6, 1e-6, 0.0, 0.0, 1e-4)).ravel()
        result = T["ObjectHypothesisWithPose"](
            T["ObjectHypothesis"](item.category, 0.9), T["PoseWithCovariance"](pose, covariance)
        )
        size = T["BoundingBox3D"](pose, T["Vector3"](*item.box.size.tolist()))
        found.append(T["Detection3D"](header(now, "eye"), [result], size, ""))
    camera = scene.camera
    roi = T["RegionOfInterest"](0, 0, 0, 0, False)
    info = T["CameraInfo"](
        header(now, "eye"), camera.height, camera.width, "plumb_bob", np.zeros(5), camera.K.ravel(),
        np.eye(3).ravel(), np.pad(camera.K, ((0, 0), (0, 1))).ravel(), 0, 0, roi,
    )  # fmt: skip
    data = picture.reshape(-1)
    image = T["Image"](header(now, "eye"), camera.height, camera.width, "rgb8", 0, 3 * camera.width, data)
    before, after = (SE3(arm.rotation, arm.translation + k * step) for k in (-1, 1))
    messages = [
        ("/tf_static", "tf2_msgs/msg/TFMessage", T["TFMessage"]([transform(0, "wrist", "eye", optical)])),
        *(
            ("/tf", "tf2_msgs/msg/TFMessage", T["TFMessage"]([transform(now + k, "world", "wrist", pose)]))
            for k, pose in ((-100_000_000, before), (100_000_000, after))
        ),
        ("/camera/camera_info", "sensor_msgs/msg/CameraInfo", info),
        ("/camera/image", "sensor_msgs/msg/Image", image),
        ("/boxes", "vision_msgs/msg/Detection3DArray", T["Detection3DArray"](header(now, "eye"), found)),
    ]
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for number, (topic, kind, message) in enumerate(messages):
            connection = writer.add_connection(topic, kind, typestore=store) if (
                not any(c.topic == topic for c in writer.connections)
            ) else next(c for c in writer.connections if c.topic == topic)  # fmt: skip
            writer.write(connection, now + number, store.serialize_cdr(message, kind))
    return f"bag={folder},camera=/camera,detections=/boxes"


def test_a_bag_with_camera_frames_and_detections(tmp_path):
    arrangement = TABLES.arrangement(6)
    scene, picture = arrangement.scene, arrangement.picture()
    source = open_source("bag", write_bag(tmp_path / "run", scene, picture))
    assert len(source) == 1
    found = source.scene(0)
    np.testing.assert_allclose(found.scene_from_camera.matrix(), scene.scene_from_camera.matrix(), atol=1e-9)
    np.testing.assert_allclose(found.boxes.corners, scene.boxes.corners, atol=1e-9)
    assert isinstance(found.camera, PinholeCamera) and found.camera.fx == pytest.approx(scene.camera.fx)
    assert found.objects[0].uncertainty.position == pytest.approx(0.006)
    assert found.objects[0].uncertainty.angle == pytest.approx(0.03)
    np.testing.assert_array_equal(source.picture(0), picture)
    with pytest.raises(ValueError, match="0 messages on /other/camera_info"):
        open_source("bag", f"bag={tmp_path / 'run'},camera=/other,detections=/boxes")
    with pytest.raises(LookupError, match="not joined"):
        open_source("bag", f"bag={tmp_path / 'run'},camera=/camera,detections=/boxes,world=map").scene(0)


def test_the_scenes_of_the_robots_tasks():
    source = open_source("tabletop", "size=64,seed=3,count=2")
    scene, picture = source.scene(1), source.picture(1)
    assert len(source) == 2 and picture is not None and picture.shape == (64, 64, 3)
    assert scene.name == "table-4" and scene.image == "table-4.png" and scene.dataset == "tabletop"
    record = annotate(scene)
    assert {item["name"] for item in record["objects"]} <= {item.name for item in scene.objects}
    # Nothing, the arm included, is in front of what is called seen.
    depth = _robot_table(RobotTables(64, 3, 2), 1).render("external").depth
    for row in record["context"]:
        for point, (u, v) in zip(row["points"], np.rint(row["pixels"]).astype(int), strict=True):
            around = depth[max(v - 1, 0) : v + 2, max(u - 1, 0) : u + 2]
            assert around.max() > scene.eye_points(np.array(point))[2] - 0.02
    with pytest.raises(ValueError, match="colour=red"):
        open_source("tabletop", "colour=red")
