"""The example layout: one JSON file per picture with camera and boxes, as in the published generator's example data.

{"dataset", "scene_name", "image_name", "image_size" [w, h],
 "camera_annotations": {"extrinsic" 4x4 (camera to world), "intrinsic" 4x4 or 3x3},
 "objects": [{"Name" or "name", "category" (optional), "bbox_3d": [[9 numbers]]}],
 "world_from_scene" 4x4 (optional)}
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3, PinholeCamera
from .boxes import BoxArray, OrientedBox
from .categories import normal
from .scene import SceneObject, SpatialScene, SupportSurface, floor_surface, top_surfaces


@dataclass(frozen=True)
class ExampleScenes:
    """All ``*.json`` files below a folder, in the order of their paths."""

    files: tuple[Path, ...]

    @classmethod
    def open(cls, location: str) -> ExampleScenes:
        """From a folder or a file."""
        place = Path(location)
        files = (place,) if place.is_file() else tuple(sorted(place.rglob("*.json")))
        if not files:
            raise FileNotFoundError(
                f"no *.json below {location!r}; expected a folder with one JSON file per picture"
            )
        return cls(files)

    def __len__(self) -> int:
        return len(self.files)

    def scene(self, index: int) -> SpatialScene:
        """The scene of a file."""
        return read_example(self.files[index])

    def picture(self, index: int) -> NDArray[np.uint8] | None:
        """None: pictures of data sets are not copied."""
        return None


def read_example(path: Path) -> SpatialScene:
    """A scene from a file.

    Raises:
        ValueError: naming the file and what it lacks.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        camera = data["camera_annotations"]
        width, height = (int(x) for x in data["image_size"])
        intrinsics = PinholeCamera.from_K(width, height, np.array(camera["intrinsic"], float)[:3, :3])
        objects, floor = _objects(data["objects"])
        world = SE3.from_matrix(data["world_from_scene"]) if "world_from_scene" in data else SE3.identity()
        surfaces = (*([floor] if floor else []), *top_surfaces(objects))
        return SpatialScene(
            objects,
            intrinsics,
            SE3.from_matrix(camera["extrinsic"]),
            surfaces,
            world,
            name=str(data["scene_name"]),
            image=str(data["image_name"]),
            dataset=str(data["dataset"]),
        )
    except (KeyError, TypeError, IndexError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not an example annotation ({type(error).__name__}: {error}); expected dataset, scene_name, "
            "image_name, image_size, camera_annotations.extrinsic and .intrinsic, objects[].Name and .bbox_3d"
        ) from error


def write_example(scene: SpatialScene, path: Path) -> None:
    """Write a scene in this layout; its floor becomes a thin box."""
    objects: list[dict[str, Any]] = [
        {"Name": item.name, "category": item.category, "bbox_3d": [item.box.nine()]} for item in scene.objects
    ]
    for surface in scene.surfaces:
        if surface.owner is None:
            low, high = surface.corners.min(axis=0), surface.corners.max(axis=0)
            centre = [*((low + high) / 2.0).tolist(), surface.height - 0.005]
            objects.append(
                {"Name": "floor", "bbox_3d": [[*centre, *(high - low).tolist(), 0.01, 0.0, 0.0, 0.0]]}
            )
    intrinsic = np.eye(4)
    intrinsic[:3, :3] = scene.camera.K
    data = {
        "dataset": scene.dataset,
        "scene_name": scene.name,
        "image_name": scene.image,
        "image_size": [scene.camera.width, scene.camera.height],
        "camera_annotations": {
            "extrinsic": scene.scene_from_camera.matrix().tolist(),
            "intrinsic": intrinsic.tolist(),
        },
        "world_from_scene": scene.world_from_scene.matrix().tolist(),
        "objects": objects,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


def _objects(rows: list[dict[str, Any]]) -> tuple[tuple[SceneObject, ...], SupportSurface | None]:
    """Objects with distinct names ("chair 1", "chair 2"), and the floor if there is one."""
    names = [str(row.get("Name", row.get("name"))).strip(" .") for row in rows]
    boxes = [OrientedBox.from_nine(row["bbox_3d"][0]) for row in rows]
    count, met = Counter(names), Counter[str]()
    out: list[SceneObject] = []
    floor = None
    for row, name, box in zip(rows, names, boxes, strict=True):
        if normal(name) == "floor":
            array = BoxArray.of([box])
            low, high = array.corners[0].min(axis=0), array.corners[0].max(axis=0)
            floor = floor_surface(low[:2].tolist(), high[:2].tolist(), float(high[2]))
            continue
        met[name] += 1
        unique = name if count[name] == 1 else f"{name} {met[name]}"
        out.append(SceneObject(unique, str(row.get("category", normal(name))), box))
    return tuple(out), floor
