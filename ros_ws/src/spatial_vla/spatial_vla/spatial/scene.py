"""What spatial questions are about: objects with boxes, the surfaces they stand on, and the camera that sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..geometry import SE3, PinholeCamera
from .boxes import BoxArray, OrientedBox
from .categories import Traits, traits_of

Array = NDArray[np.float64]
#: Nearer to the camera's plane than this [m], a box has no bearing.
NEAREST = 0.02
#: Where a view is steeper than this cosine of its horizontal part, "in front" is downwards in the picture.
_STEEP = 0.17


@dataclass(frozen=True)
class Uncertainty:
    """How wrong a pose may be: ``position`` [m], ``angle`` [rad], and each side length by ``size`` [m]."""

    position: float = 0.0
    angle: float = 0.0
    size: float = 0.0

    def __post_init__(self) -> None:
        if min(self.position, self.angle, self.size) < 0.0:
            raise ValueError(f"{self} is negative; expected bounds of the error, 0 or more")


@dataclass(frozen=True, eq=False)
class SceneObject:
    """A named object. ``traits`` say what can be asked about it; None takes them from the category."""

    name: str
    category: str
    box: OrientedBox
    uncertainty: Uncertainty = field(default_factory=Uncertainty)
    traits: Traits | None = None

    @property
    def known_traits(self) -> Traits:
        """``traits``, or those of the category."""
        return traits_of(self.category) if self.traits is None else self.traits


@dataclass(frozen=True, eq=False)
class SupportSurface:
    """A level convex area that things can stand on: corners (k, 2) counter-clockwise, at ``height`` [m].

    ``owner`` is the name of the object whose top it is; None for the floor or an unnamed table.
    """

    name: str
    corners: Array
    height: float
    owner: str | None = None

    def __post_init__(self) -> None:
        corners = np.asarray(self.corners, np.float64)
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
            raise ValueError(
                f"surface {self.name!r} has corners of shape {corners.shape}; expected (k, 2), k >= 3"
            )
        edges = np.roll(corners, -1, axis=0) - corners
        turns = edges[:, 0] * np.roll(edges[:, 1], -1) - edges[:, 1] * np.roll(edges[:, 0], -1)
        if (turns < -1e-9).any() or not (turns > 1e-9).any():
            raise ValueError(
                f"corners of surface {self.name!r} are not convex and counter-clockwise; split it into convex parts"
            )
        object.__setattr__(self, "corners", corners)

    @cached_property
    def edges(self) -> tuple[Array, Array]:
        """Inward unit normals (k, 2) of the edges, and their offsets (k,): inside where normal . point >= offset."""
        edges = np.roll(self.corners, -1, axis=0) - self.corners
        inward = np.stack((-edges[:, 1], edges[:, 0]), axis=1) / np.linalg.norm(edges, axis=1)[:, None]
        return inward, (inward * self.corners).sum(axis=1)

    @cached_property
    def width(self) -> float:
        """The narrowest extent across an edge [m]; a disc of a larger diameter cannot stand here."""
        inward, offset = self.edges
        return float(((inward @ self.corners.T).max(axis=1) - offset).min())

    def margin(self, points: Array) -> Array:
        """Distance (p,) of points (p, 2) to the nearest edge line [m]; negative outside."""
        inward, offset = self.edges
        return (points @ inward.T - offset).min(axis=1)

    def moved(self, motion: SE3) -> SupportSurface:
        """The surface after a motion that keeps it level."""
        corners = np.column_stack((self.corners, np.full(len(self.corners), self.height)))
        there = motion.apply(corners)
        if np.ptp(there[:, 2]) > 1e-6:
            raise ValueError(
                f"surface {self.name!r} is not level in the world frame; z of the world must point up"
            )
        return replace(self, corners=there[:, :2], height=float(there[0, 2]))


@dataclass(frozen=True, eq=False)
class SpatialScene:
    """Objects, surfaces and camera in one frame, and where the world is.

    Attributes:
        camera: intrinsics of the undistorted picture.
        scene_from_camera: pose of the optical frame (x right, y down, z forward).
        world_from_scene: the world frame of the questions: z up against gravity, an observer looks along x, y is to
            its left. A robot's base frame is one. Identity where the scene's own axes are the world's.
        camera_uncertainty: of ``scene_from_camera``; it counts in the ego frame.
        image, identifier: what the picture is called, and where it is.
    """

    objects: tuple[SceneObject, ...]
    camera: PinholeCamera
    scene_from_camera: SE3
    surfaces: tuple[SupportSurface, ...] = ()
    world_from_scene: SE3 = field(default_factory=SE3.identity)
    camera_uncertainty: Uncertainty = field(default_factory=Uncertainty)
    name: str = ""
    image: str = ""
    dataset: str = ""

    def __post_init__(self) -> None:
        names = [item.name for item in self.objects]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(
                f"objects {twice} occur more than once in scene {self.name!r}; number them, e.g. 'cup 2'"
            )

    def index(self, name: str) -> int:
        """Index of an object by its name.

        Raises:
            KeyError: naming the objects that there are.
        """
        names = [item.name for item in self.objects]
        if name not in names:
            raise KeyError(f"no object {name!r} in the scene; it has {', '.join(map(repr, names)) or 'none'}")
        return names.index(name)

    def moved(self, motion: SE3) -> SpatialScene:
        """The scene after a rigid motion of everything, the camera included; the world frame stays where it was."""
        return replace(
            self,
            objects=tuple(replace(item, box=item.box.moved(motion)) for item in self.objects),
            surfaces=tuple(surface.moved(motion) for surface in self.surfaces),
            scene_from_camera=motion @ self.scene_from_camera,
        )

    def in_world(self) -> SpatialScene:
        """The same scene expressed in its world frame."""
        motion = self.world_from_scene
        if np.array_equal(motion.rotation, np.eye(3)) and not motion.translation.any():
            return self
        return replace(self.moved(motion), world_from_scene=SE3.identity())

    @cached_property
    def boxes(self) -> BoxArray:
        """The objects' boxes, in the scene's frame."""
        return BoxArray.of([item.box for item in self.objects])

    @cached_property
    def slack(self) -> Array:
        """By how much any point of an object's box may be off (n,) [m]."""
        u = [item.uncertainty for item in self.objects]
        off = [
            x.position + x.size / 2.0 * np.sqrt(3.0) + x.angle * r
            for x, r in zip(u, self.boxes.radius, strict=True)
        ]
        return np.array(off, np.float64)

    @cached_property
    def gaze(self) -> Array:
        """Horizontal unit vector (3,) along which the camera looks; of one that looks straight down, up the picture."""
        rotation = self.scene_from_camera.rotation
        forward, up = rotation[:, 2], -rotation[:, 1]
        level = forward[:2] if np.hypot(*forward[:2]) > _STEEP else up[:2] * (1.0 if forward[2] < 0 else -1.0)
        return np.append(level, 0.0) / np.linalg.norm(level)

    @cached_property
    def bearings(self) -> tuple[Array, Array, Array, Array]:
        """Leftward bearing of the boxes' centres, lowest and highest of their corners (n,) [rad], and range (n,) [m].

        NaN for boxes that reach behind the camera.
        """
        return (*bearings(self, self.boxes), np.hypot(*self.eye_points(self.boxes.centre)[:, ::2].T))

    @cached_property
    def own_axes(self) -> tuple[Array, Array]:
        """Level unit vectors along each object's front and to its left (n, 3) each; NaN where it has no front."""
        front = self.boxes.rotation[:, :, 0] * (1.0, 1.0, 0.0)
        length = np.linalg.norm(front, axis=1)
        has = np.array([item.known_traits.front for item in self.objects], bool) & (length > 0.5)
        front = np.where(has[:, None], front / np.maximum(length, 1e-9)[:, None], np.nan)
        return front, np.stack((-front[:, 1], front[:, 0], front[:, 2]), axis=1)

    def eye_points(self, points: Array) -> Array:
        """Points (..., 3) of the scene in the camera's optical frame."""
        return self.scene_from_camera.inverse().apply(points)

    def pixels(self, points: Array) -> Array:
        """Projections (..., 2) of points (..., 3) as (u, v); NaN behind the camera."""
        return self.camera.project(self.eye_points(points))


def bearings(scene: SpatialScene, boxes: BoxArray) -> tuple[Array, Array, Array]:
    """Leftward bearing of boxes' centres, lowest and highest of their corners (n,) [rad], NaN behind the camera."""
    corners, centre = scene.eye_points(boxes.corners), scene.eye_points(boxes.centre)
    nan = np.where(corners[..., 2].min(axis=1) > NEAREST, 0.0, np.nan)
    angle, middle = -np.arctan2(corners[..., 0], corners[..., 2]), -np.arctan2(centre[:, 0], centre[:, 2])
    return middle + nan, angle.min(axis=1) + nan, angle.max(axis=1) + nan


def floor_surface(
    low: Sequence[float], high: Sequence[float], height: float, name: str = "floor"
) -> SupportSurface:
    """A rectangular surface between two corners (x, y)."""
    (ax, ay), (bx, by) = low[:2], high[:2]
    return SupportSurface(name, np.array([(ax, ay), (bx, ay), (bx, by), (ax, by)]), height)


def top_surfaces(objects: Sequence[SceneObject]) -> tuple[SupportSurface, ...]:
    """The tops of the objects whose category has a flat one, where they stand upright."""
    flat = [item for item in objects if item.known_traits.flat_top]
    if not flat:
        return ()
    boxes = BoxArray.of([item.box for item in flat])
    prints = boxes.footprints
    return tuple(
        SupportSurface(item.name, corners, float(high), owner=item.name)
        for item, corners, high, upright in zip(
            flat, prints.corners(), boxes.high, prints.upright, strict=True
        )
        if upright
    )
