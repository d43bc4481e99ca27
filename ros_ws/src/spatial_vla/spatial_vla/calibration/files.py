"""Calibrations as files: what ROS reads, what other tools read, and our own with the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..geometry import SE3, PinholeCamera
from .camera import CalibratedCamera
from .errors import CalibrationError

#: Entry of a camera_info YAML with the covariance of fx, fy, cx, cy and the distortion coefficients.
COVARIANCE = "intrinsics_covariance"


@dataclass(frozen=True, eq=False)
class StaticTransform:
    """A transform that holds at all times, and where it comes from.

    Attributes:
        parent: frame that the pose is given in.
        child: frame whose pose it is.
        pose: parent_from_child.
        figures: what is known about its quality: plain values for YAML.
    """

    parent: str
    child: str
    pose: SE3
    figures: Mapping[str, Any] = field(default_factory=dict)

    def publisher_command(self) -> str:
        """The command line that publishes it on a full ROS 2 installation."""
        t, q = self.pose.translation, self.pose.quaternion()
        values = " ".join(f"--{name} {value:.9f}" for name, value in zip(("x", "y", "z"), t, strict=True))
        turn = " ".join(
            f"--{name} {value:.9f}" for name, value in zip(("qx", "qy", "qz", "qw"), q, strict=True)
        )
        ends = f"--frame-id {self.parent} --child-frame-id {self.child}"
        return f"ros2 run tf2_ros static_transform_publisher {values} {turn} {ends}"

    def urdf_origin(self) -> str:
        """The ``<origin>`` of a fixed joint from parent to child."""
        xyz = " ".join(f"{value:.9f}" for value in self.pose.translation)
        rpy = " ".join(f"{value:.9f}" for value in Rotation.from_matrix(self.pose.rotation).as_euler("xyz"))
        return f'<origin xyz="{xyz}" rpy="{rpy}"/>'


def write_static_transform(path: Path, transform: StaticTransform) -> None:
    """Write a transform as YAML: metres, quaternion x, y, z, w."""
    write_yaml(
        path,
        {
            "parent_frame": transform.parent,
            "child_frame": transform.child,
            **pose_table(transform.pose),
            "quality": dict(transform.figures),
        },
    )


def read_static_transform(path: Path) -> StaticTransform:
    """Read what :func:`write_static_transform` wrote. Raises CalibrationError naming what is missing or wrong."""
    table = read_yaml(path)
    parent, child = (_entry(table, key, path) for key in ("parent_frame", "child_frame"))
    if not (isinstance(parent, str) and isinstance(child, str) and parent and child and parent != child):
        raise CalibrationError(f"{path}: frames are {parent!r} and {child!r}; expected two different names")
    return StaticTransform(parent, child, pose_from(table, path), table.get("quality") or {})


def write_easy_handeye(path: Path, name: str, transform: StaticTransform, base: str, gripper: str) -> None:
    """Write the ``.calib`` YAML of easy_handeye2, which its publisher node reads."""
    in_hand = transform.parent == gripper
    parameters = {
        "name": name,
        "calibration_type": "eye_in_hand" if in_hand else "eye_on_base",
        "robot_base_frame": base,
        "robot_effector_frame": gripper,
        "tracking_base_frame": transform.child,
        "tracking_marker_frame": "calibration_board",
        "freehand_robot_movement": True,
        "move_group_namespace": "/",
        "move_group": "",
    }
    write_yaml(path, {"parameters": parameters, "transform": pose_table(transform.pose)})


def write_camera_info(path: Path, name: str, camera: CalibratedCamera) -> None:
    """Write the YAML of ROS's camera_info_manager for a monocular camera (no rectifying rotation).

    The covariance goes into an entry of our own, which other readers pass over.
    """
    pinhole = camera.pinhole
    projection = np.hstack((pinhole.K, np.zeros((3, 1))))
    extra = {} if camera.covariance is None else {COVARIANCE: _matrix(camera.covariance)}
    write_yaml(
        path,
        {
            "image_width": pinhole.width,
            "image_height": pinhole.height,
            "camera_name": name,
            "camera_matrix": _matrix(pinhole.K),
            "distortion_model": camera.model,
            "distortion_coefficients": _matrix(camera.distortion.reshape(1, -1)),
            "rectification_matrix": _matrix(np.eye(3)),
            "projection_matrix": _matrix(projection),
            **extra,
        },
    )


def read_camera_info(path: Path) -> tuple[str, CalibratedCamera]:
    """Name and intrinsics from a YAML of camera_info_manager. Raises CalibrationError naming what is wrong."""
    table = read_yaml(path)
    size = int(_entry(table, "image_width", path)), int(_entry(table, "image_height", path))
    K = _values(table, "camera_matrix", 9, path)
    d = np.asarray(_entry(_entry(table, "distortion_coefficients", path), "data", path), dtype=np.float64)
    try:
        pinhole = PinholeCamera.from_K(*size, K)
        count = 4 + len(np.ravel(d))
        covariance = (
            np.reshape(_values(table, COVARIANCE, count**2, path), (count, count))
            if COVARIANCE in table
            else None
        )
        camera = CalibratedCamera(pinhole, d, str(_entry(table, "distortion_model", path)), covariance)
    except ValueError as error:
        raise CalibrationError(f"{path}: {error}") from error
    return str(table.get("camera_name", "")), camera


def pose_table(pose: SE3) -> dict[str, Any]:
    """A pose as plain values: translation x, y, z [m], rotation as quaternion x, y, z, w."""
    translation = dict(zip("xyz", map(float, pose.translation), strict=True))
    return {
        "translation": translation,
        "rotation": dict(zip("xyzw", map(float, pose.quaternion()), strict=True)),
    }


def pose_from(table: Mapping[str, Any], path: Path) -> SE3:
    """The inverse of :func:`pose_table`; ``path`` is for the error's text."""
    t, q = _entry(table, "translation", path), _entry(table, "rotation", path)
    try:
        return SE3.from_quaternion([float(t[k]) for k in "xyz"], [float(q[k]) for k in "xyzw"])
    except (KeyError, TypeError, ValueError) as error:
        raise CalibrationError(
            f"{path}: pose {dict(table)} is unusable ({error}); expected translation {{x, y, z}} in metres and "
            "rotation {x, y, z, w}, a unit quaternion"
        ) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises CalibrationError with the path if it does not."""
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CalibrationError(f"no file {path}") from error
    except yaml.YAMLError as error:
        raise CalibrationError(f"{path} is not YAML: {error}") from error
    if not isinstance(table, dict):
        raise CalibrationError(f"{path} holds {type(table).__name__}; expected names with values")
    return table


def write_yaml(path: Path, table: Mapping[str, Any]) -> None:
    """Write a mapping in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(table), sort_keys=False), encoding="utf-8")


def _matrix(values: NDArray[np.float64]) -> dict[str, Any]:
    rows, columns = values.shape
    return {"rows": rows, "cols": columns, "data": [float(v) for v in values.ravel()]}


def _entry(table: Any, key: str, path: Path) -> Any:
    if not isinstance(table, Mapping) or key not in table:
        raise CalibrationError(f"{path} has no entry {key!r}")
    return table[key]


def _values(table: Mapping[str, Any], key: str, count: int, path: Path) -> NDArray[np.float64]:
    data = _entry(_entry(table, key, path), "data", path)
    if not isinstance(data, list) or len(data) != count:
        raise CalibrationError(f"{path}: {key}.data is {data!r}; expected {count} numbers, row by row")
    return np.asarray(data, dtype=np.float64)
