"""EmbodiedScan's annotations: boxes and poses for pictures of ScanNet, Matterport3D, 3RScan and ARKitScenes.

Location: ``infos=<file.pkl>[+<file.pkl>...],images=<folder>[,datasets=scannet+3rscan]``. A file holds ``metainfo``
{``categories``: names, or {name: number}} and ``data_list``: scenes with ``sample_idx`` (its first part is the data
set), ``axis_align_matrix``, ``instances`` [{``bbox_3d`` 9 numbers, ``bbox_label_3d``}], maybe ``cam2img``, and
``images`` [{``img_path``, ``cam2global``, ``visible_instance_ids``, maybe ``cam2img``}].

The world is the aligned scan. Intrinsics of a picture come before the scene's. Things that the picture's list does not
name are not asked about, but those near the listed ones hide and stand in the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3, PinholeCamera
from .boxes import OrientedBox
from .layouts import numbered, options, picture_size, split_floor
from .plain_pickle import read_plain_pickle
from .scene import SceneObject, SpatialScene, top_surfaces

DATASETS = ("scannet", "matterport3d", "3rscan", "arkitscenes")
#: Things not listed for a picture count as obstacles up to this far from a listed one [m].
_NEARBY = 2.0


@dataclass(frozen=True, eq=False)
class EmbodiedScanScenes:
    """Pictures of all scenes of some files, in their order."""

    root: Path
    categories: dict[int, str]
    scans: tuple[dict[str, Any], ...]
    pictures: tuple[tuple[int, int], ...]

    @classmethod
    def open(cls, location: str) -> EmbodiedScanScenes:
        """See above.

        Raises:
            ValueError: if the location or a file is not understood, or files disagree about categories.
        """
        given = options(location, ("infos", "images"), ("datasets",))
        wanted = given.get("datasets", "+".join(DATASETS)).split("+")
        if unknown := set(wanted) - set(DATASETS):
            raise ValueError(
                f"datasets {sorted(unknown)} are unknown; expected some of {', '.join(DATASETS)}"
            )
        scans: list[dict[str, Any]] = []
        categories: dict[int, str] = {}
        for name in given["infos"].split("+"):
            content = read_plain_pickle(Path(name))
            try:
                found = _categories(content["metainfo"]["categories"])
                scans += [s for s in content["data_list"] if str(s["sample_idx"]).split("/")[0] in wanted]
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f"{name} is no EmbodiedScan file ({type(error).__name__}: {error}); expected metainfo.categories "
                    "and data_list with sample_idx"
                ) from error
            if categories and found != categories:
                raise ValueError(
                    f"{name} numbers its categories differently from the files before it; load it alone"
                )
            categories = found
        pictures = tuple((i, k) for i, scan in enumerate(scans) for k in range(len(scan["images"])))
        if not pictures:
            raise ValueError(f"no pictures of {', '.join(wanted)} in {given['infos']}; expected at least one")
        return cls(Path(given["images"]), categories, tuple(scans), pictures)

    def __len__(self) -> int:
        return len(self.pictures)

    def scene(self, index: int) -> SpatialScene:
        """The scene of a picture.

        Raises:
            ValueError: naming scan and picture and what they lack.
        """
        number, place = self.pictures[index]
        scan = self.scans[number]
        picture = scan["images"][place]
        try:
            return self._scene(scan, picture)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f"picture {picture.get('img_path')!r} of scan {scan.get('sample_idx')!r} is incomplete "
                f"({type(error).__name__}: {error}); expected cam2global, visible_instance_ids, and cam2img in the "
                "picture or the scan"
            ) from error

    def picture(self, index: int) -> NDArray[np.uint8] | None:
        """None: pictures of data sets are not copied."""
        return None

    def _scene(self, scan: dict[str, Any], picture: dict[str, Any]) -> SpatialScene:
        intrinsic = picture["cam2img"] if "cam2img" in picture else scan["cam2img"]
        width, height = picture_size(self.root / picture["img_path"])
        camera = PinholeCamera.from_K(width, height, np.asarray(intrinsic, np.float64)[:3, :3])
        align = np.asarray(scan.get("axis_align_matrix", np.eye(4)), np.float64)
        pose = SE3.from_matrix(align @ np.asarray(picture["cam2global"], np.float64))
        items, surfaces = split_floor(self._objects(scan["instances"], picture["visible_instance_ids"]))
        dataset, _, name = str(scan["sample_idx"]).partition("/")
        return SpatialScene(
            items, camera, pose, (*surfaces, *top_surfaces(items)),
            name=name, image=str(picture["img_path"]), dataset=dataset,
        )  # fmt: skip

    def _objects(self, instances: Sequence[dict[str, Any]], visible: Sequence[int]) -> list[SceneObject]:
        categories = [self.categories[int(item["bbox_label_3d"])] for item in instances]
        boxes = [OrientedBox.from_nine(item["bbox_3d"]) for item in instances]
        listed = set(map(int, visible))
        if listed and not 0 <= min(listed) <= max(listed) < len(boxes):
            raise IndexError(f"visible_instance_ids {sorted(listed)} of {len(boxes)} instances")
        centres = np.array([box.centre for box in boxes]).reshape(-1, 3)
        radii = np.array([np.linalg.norm(box.size) / 2.0 for box in boxes])
        shown = sorted(listed)
        apart = np.linalg.norm(centres[:, None] - centres[shown], axis=-1) - radii[:, None] - radii[shown]
        near = np.flatnonzero(
            (apart <= _NEARBY).any(axis=1) | np.array([c == "floor" for c in categories], bool)
        )
        # Listed things get their numbers first, as a viewer counts what is seen.
        chosen = shown + [int(i) for i in near if int(i) not in listed]
        names = numbered([categories[i] for i in chosen])
        out: list[SceneObject] = []
        for i, name in zip(chosen, names, strict=True):
            item = SceneObject(name, categories[i], boxes[i])
            silent = replace(item.known_traits, environment=True)
            out.append(item if i in listed else replace(item, traits=silent))
        return out


def _categories(given: Any) -> dict[int, str]:
    if isinstance(given, dict):
        return {int(number): str(name) for name, number in given.items()}
    return {number: str(name) for number, name in enumerate(given)}
