"""A picture and where it was taken from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from spatial_vla.geometry import SE3, PinholeCamera


@dataclass(frozen=True, eq=False)
class PosedView:
    """One view of a scene.

    Attributes:
        scene: name; pairs are made within a scene, splits between scenes.
        image: (H, W, 3) uint8 RGB.
        camera_from_world: pose of the optical frame (z forward, x right, y down) [m].
        depth: (H, W) float32 [m] along the optical axis, 0 where unknown; None where there is none.
        camera: intrinsics of the picture; None where unknown.
    """

    scene: str
    image: NDArray[np.uint8]
    camera_from_world: SE3
    depth: NDArray[np.float32] | None = None
    camera: PinholeCamera | None = None

    def square(self) -> PosedView:
        """The middle square, which is what an encoder takes."""
        height, width = self.image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        window = np.s_[top : top + side, left : left + side]
        return PosedView(
            self.scene,
            self.image[window],
            self.camera_from_world,
            None if self.depth is None else self.depth[window],
            None if self.camera is None else self.camera.cropped(left, top, side, side),
        )


def rotation_angle(a: SE3, b: SE3) -> float:
    """Angle [deg] of the rotation that leads from one orientation to the other, 0..180."""
    cosine = (np.trace(a.rotation @ b.rotation.T) - 1.0) / 2.0
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))


def pairs_within(
    scenes: Sequence[str],
    poses: Sequence[SE3],
    max_angle: float,
    per_view: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw partners for every view among the views of its scene that are turned by ``max_angle`` degrees or less.

    Args:
        scenes, poses: name of the scene and camera_from_world of every view.
        per_view: most partners of a view, drawn without replacement.

    Returns:
        (P, 2) indices of first and second view; a view that no other is near enough to has no pair.
    """
    members: dict[str, list[int]] = {}
    for index, scene in enumerate(scenes):
        members.setdefault(scene, []).append(index)
    pairs = [
        (first, int(second))
        for views in members.values()
        for first in views
        for second in _partners(first, views, poses, max_angle, per_view, rng)
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _partners(
    first: int,
    views: Sequence[int],
    poses: Sequence[SE3],
    max_angle: float,
    per_view: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    near = [i for i in views if i != first and rotation_angle(poses[first], poses[i]) <= max_angle]
    return rng.permutation(np.array(near, dtype=np.int64))[:per_view]


def by_scene(views: Iterable[PosedView]) -> Iterator[list[PosedView]]:
    """Runs of views of the same scene."""
    run: list[PosedView] = []
    for view in views:
        if run and run[-1].scene != view.scene:
            yield run
            run = []
        run.append(view)
    if run:
        yield run
