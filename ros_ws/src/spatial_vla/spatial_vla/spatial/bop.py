"""Data sets in the BOP layout (HOPE and other table-tops): poses of known models in pictures.

Location: ``split=<folder of scenes>,models=<models_info.json>,names=<names.json>[,up=plane|world]``. A scene holds
``scene_camera.json``, ``scene_gt.json``, maybe ``scene_gt_info.json``, and ``rgb/`` and ``depth/`` with pictures
named by six digits. ``names.json`` maps the models' numbers to words, {"1": "alphabet soup"}: the layout has none.

Which way is up: ``plane`` takes the largest plane in the depth picture as the table (its normal is up, and x points
away from the camera); ``world`` takes z of ``cam_R_w2c``, where the data set says that it is level. Free places are on
what the depth picture shows of the table; without depth there are none. Lengths in the files are millimetres.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from ..geometry import SE3, PinholeCamera
from .boxes import OrientedBox
from .categories import normal
from .layouts import numbered, options, picture_size
from .scene import SceneObject, SpatialScene, SupportSurface

Array = NDArray[np.float64]
_MILLI = 1e-3
#: A point this near to a plane is on it [m]; planes tried; points looked at.
_THICKNESS, _TRIES, _POINTS = 0.008, 200, 4000
_PICTURES = (".png", ".jpg")


@dataclass(frozen=True, eq=False)
class BopScenes:
    """All annotated pictures of a split, in the order of scenes and pictures."""

    folder: Path
    models: dict[int, tuple[Array, Array]]
    names: dict[int, str]
    up: str
    pictures: tuple[tuple[str, int], ...]

    @classmethod
    def open(cls, location: str) -> BopScenes:
        """See above.

        Raises:
            ValueError: if the location is not understood or a model has no name.
            FileNotFoundError: if there are no scenes.
        """
        given = options(location, ("split", "models", "names"), ("up",))
        folder, up = Path(given["split"]), given.get("up", "plane")
        if up not in ("plane", "world"):
            raise ValueError(f"up={up!r} is unknown; expected plane or world")
        models = {int(k): _extent(row) for k, row in _read(Path(given["models"])).items()}
        names = {int(k): str(name) for k, name in _read(Path(given["names"])).items()}
        if nameless := sorted(models.keys() - names.keys()):
            raise ValueError(f"{given['names']} has no names for models {nameless}; expected one for each")
        scenes = sorted(path.parent for path in folder.glob("*/scene_gt.json"))
        if not scenes:
            raise FileNotFoundError(f"no */scene_gt.json below {folder}; expected a split in the BOP layout")
        pictures = [(s.name, int(k)) for s in scenes for k in sorted(_read(s / "scene_gt.json"), key=int)]
        return cls(folder, models, names, up, tuple(pictures))

    def __len__(self) -> int:
        return len(self.pictures)

    def scene(self, index: int) -> SpatialScene:
        """The scene of a picture.

        Raises:
            ValueError: naming the picture and what it lacks.
        """
        name, number = self.pictures[index]
        folder = self.folder / name
        try:
            view = _read(folder / "scene_camera.json")[str(number)]
            poses = _read(folder / "scene_gt.json")[str(number)]
            return self._scene(folder, number, view, poses)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"picture {number} of {folder} is incomplete ({type(error).__name__}: {error}); expected cam_K"
                f"{', cam_R_w2c' if self.up == 'world' else ''} and, per object, obj_id, cam_R_m2c and cam_t_m2c"
            ) from error

    def picture(self, index: int) -> NDArray[np.uint8] | None:
        """None: pictures of data sets are not copied."""
        return None

    def _scene(
        self, folder: Path, number: int, view: dict[str, Any], poses: list[dict[str, Any]]
    ) -> SpatialScene:
        image = next((p for s in _PICTURES if (p := folder / "rgb" / f"{number:06d}{s}").is_file()), None)
        if image is None:
            raise ValueError(f"no {folder / 'rgb' / f'{number:06d}'}.png or .jpg")
        camera = PinholeCamera.from_K(*picture_size(image), np.reshape(view["cam_K"], (3, 3)))
        points = _cloud(folder / "depth" / f"{number:06d}.png", camera, float(view.get("depth_scale", 1.0)))
        world_from_camera = self._upright(view, points, image)
        labels = [self.names[int(row["obj_id"])] for row in poses]
        items = tuple(
            SceneObject(name, normal(label), self._box(row).moved(world_from_camera))
            for name, label, row in zip(numbered(labels), labels, poses, strict=True)
        )
        table = None if points is None else _table(world_from_camera.apply(points))
        return SpatialScene(
            items, camera, world_from_camera, (table,) if table else (),
            name=f"{self.folder.name}/{folder.name}", image=str(image.relative_to(self.folder)),
            dataset=self.folder.parent.name,
        )  # fmt: skip

    def _box(self, row: dict[str, Any]) -> OrientedBox:
        """Box of a posed model, in the camera's frame [m]."""
        centre, size = self.models[int(row["obj_id"])]
        rotation = np.reshape(np.asarray(row["cam_R_m2c"], np.float64), (3, 3))
        shift = np.asarray(row["cam_t_m2c"], np.float64) * _MILLI
        return OrientedBox(rotation @ centre + shift, size, rotation)

    def _upright(self, view: dict[str, Any], points: Array | None, image: Path) -> SE3:
        """World (z up) from camera."""
        if self.up == "world":
            rotation = np.reshape(np.asarray(view["cam_R_w2c"], np.float64), (3, 3))
            return SE3(rotation, np.asarray(view["cam_t_w2c"], np.float64) * _MILLI).inverse()
        plane = None if points is None else _plane(points)
        if plane is None:
            raise ValueError(
                f"no plane in the depth picture of {image}: nothing says which way is up; expected depth, or up=world"
            )
        normal_, offset = plane
        away = np.array((0.0, 0.0, 1.0)) - normal_ * normal_[2]
        # Seen straight from above, x points up the picture.
        away = away if np.linalg.norm(away) > 0.1 else np.array((0.0, -1.0, 0.0)) + normal_ * normal_[1]
        forward = np.asarray(away / np.linalg.norm(away), np.float64)
        rows = np.array((forward, np.cross(normal_, forward), normal_), np.float64)
        return SE3(rows, np.array((0.0, 0.0, -offset)))


def _extent(row: dict[str, float]) -> tuple[Array, Array]:
    """Centre and full sides of a model in its own frame [m]."""
    low = np.array([row[f"min_{k}"] for k in "xyz"]) * _MILLI
    size = np.array([row[f"size_{k}"] for k in "xyz"]) * _MILLI
    return low + size / 2.0, size


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _cloud(path: Path, camera: PinholeCamera, scale: float) -> Array | None:
    """Points (n, 3) of a depth picture in the camera's frame [m]; None if there is none."""
    depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if depth is None:
        return None
    points = camera.back_project(depth.astype(np.float64) * (scale * _MILLI)).reshape(-1, 3)
    return points[np.isfinite(points).all(axis=1) & (points[:, 2] > 0.0)]


def _plane(points: Array) -> tuple[Array, float] | None:
    """Unit normal towards the camera and offset of the plane with the most points; None if under a tenth is on one."""
    if len(points) < 100:
        return None
    rng = np.random.default_rng(0)
    some = points[rng.permutation(len(points))[:_POINTS]]
    corners = some[rng.integers(len(some), size=(_TRIES, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    normals = normals[length > 1e-9] / length[length > 1e-9, None]
    offsets = (normals * corners[length > 1e-9, 0]).sum(axis=1)
    on = np.abs(some @ normals.T - offsets) < _THICKNESS
    best = int(on.sum(axis=0).argmax())
    if on[:, best].mean() < 0.1:
        return None
    near = some[on[:, best]]
    centre = near.mean(axis=0)
    normal_ = np.linalg.svd(near - centre, full_matrices=False)[2][2]
    normal_ = -normal_ if normal_ @ centre > 0.0 else normal_
    return normal_, float(normal_ @ centre)


def _table(points: Array) -> SupportSurface | None:
    """The seen part of the level surface with the most points (in the world's frame), without its outermost points."""
    heights, edges = np.histogram(
        points[:, 2], bins=np.arange(points[:, 2].min(), points[:, 2].max() + 0.02, 0.01)
    )
    level = edges[heights.argmax()] + 0.005
    flat = points[np.abs(points[:, 2] - level) < 0.015]
    if len(flat) < 100:
        return None
    level = float(np.median(flat[:, 2]))
    flat = flat[np.abs(flat[:, 2] - level) < _THICKNESS, :2]
    hull = ConvexHull(flat)
    return SupportSurface("table", flat[hull.vertices], level)
