"""Scenes for spatial questions: the simulated world as it is, and random table-tops with stacks, containers and fronts.

A random table-top has no physics: its things stand, lie on each other and in each other by construction, so that the
truth of every relation is known, and MuJoCo's ray casts can check what is said about it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from spatial_vla.geometry import PinholeCamera
from spatial_vla.spatial import (
    OrientedBox,
    SceneObject,
    SpatialScene,
    Uncertainty,
    floor_surface,
    top_surfaces,
)

from . import ray_camera
from .model import VISIBLE_GROUP
from .scene import RGB, Lighting, look_at, sample_scene
from .shapes import half_extents
from .world import World

Array = NDArray[np.float64]
#: Half extents of the table in x and y [m]; its top is z = 0, its middle the origin.
TABLE = (0.55, 0.75)
_LIGHT = Lighting(0.4, 0.25, 0.5, (0.3, 0.2, 0.93))
_GROUPS = np.zeros(6, np.uint8)
_GROUPS[VISIBLE_GROUP] = 1
_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}
#: Category to the primitive it is made of, and the range of its half extents [m].
_THINGS: dict[str, tuple[str, tuple[float, float, float], tuple[float, float, float]]] = {
    "cube": ("box", (0.02, 0.02, 0.02), (0.04, 0.04, 0.04)),
    "brick": ("box", (0.015, 0.03, 0.015), (0.03, 0.06, 0.03)),
    "book": ("box", (0.07, 0.05, 0.01), (0.11, 0.08, 0.025)),
    "can": ("cylinder", (0.022, 0.022, 0.03), (0.035, 0.035, 0.06)),
    "ball": ("sphere", (0.02, 0.02, 0.02), (0.035, 0.035, 0.035)),
    "clock": ("box", (0.02, 0.04, 0.04), (0.03, 0.06, 0.06)),
    "speaker": ("box", (0.04, 0.04, 0.06), (0.06, 0.06, 0.1)),
}
_COLOURS = tuple(RGB)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """A random table-top: what is said of it, and the model that shows it."""

    scene: SpatialScene
    model: mujoco.MjModel
    data: mujoco.MjData

    def picture(self) -> NDArray[np.uint8]:
        """What the scene's camera sees, RGB (h, w, 3)."""
        nobody = np.full(self.model.ngeom + 1, -1, np.int32)
        frame = ray_camera.render(
            self.model, self.data, self.scene.camera, self.scene.scene_from_camera, _LIGHT, nobody
        )
        return frame.rgb

    def first_hit(self, points: Array) -> Array:
        """How far before points (p, 3) the camera's rays to them meet something [m]; 0 or less: at them or never."""
        eye = self.scene.scene_from_camera.translation
        out = np.empty(len(points))
        for row, point in enumerate(points):
            length = float(np.linalg.norm(point - eye))
            way, hit = (point - eye) / length, np.array([-1], np.int32)
            distance = mujoco.mj_ray(self.model, self.data, eye, way, _GROUPS, 1, -1, hit)
            out[row] = length - distance if distance >= 0.0 else 0.0
        return out


@dataclass(frozen=True)
class SimulatedTables:
    """Random table-tops by number; picture size [px], and how many things are on each."""

    width: int = 640
    height: int = 480
    things: int = 6
    seed: int = 0
    count: int = 1000

    @classmethod
    def open(cls, location: str) -> SimulatedTables:
        """From e.g. "width=640,height=480,things=6,seed=0,count=1000"; what is left out has its default."""
        return _opened(cls, location, "width=640,things=6,count=100")

    def __len__(self) -> int:
        return self.count

    def scene(self, index: int) -> SpatialScene:
        """Scene of a number."""
        return self.arrangement(index).scene

    def picture(self, index: int) -> NDArray[np.uint8] | None:
        """Its picture, RGB (h, w, 3)."""
        return self.arrangement(index).picture()

    def arrangement(self, index: int) -> Arrangement:
        """Scene and model of a number; the same arguments give the same ones on every machine."""
        return _arrangement(self, index)


@dataclass(frozen=True)
class RobotTables:
    """The scenes of the robot's tasks, by number, seen by its external camera; picture size [px] and first seed.

    The arm is at its start, where it hides nothing of the table around the things.
    """

    size: int = 224
    seed: int = 0
    count: int = 1000

    @classmethod
    def open(cls, location: str) -> RobotTables:
        """From e.g. "size=448,count=100"; what is left out has its default."""
        return _opened(cls, location, "size=448,count=100")

    def __len__(self) -> int:
        return self.count

    def scene(self, index: int) -> SpatialScene:
        """Scene of a number."""
        scene = world_scene(_robot_table(self, index))
        return replace(scene, image=f"{scene.name}.png", dataset="tabletop")

    def picture(self, index: int) -> NDArray[np.uint8] | None:
        """Its picture, RGB (h, w, 3)."""
        return _robot_table(self, index).render("external").rgb


@lru_cache(maxsize=2)
def _robot_table(source: RobotTables, index: int) -> World:
    world = World(source.size)
    world.reset(sample_scene(source.seed + index))
    return world


_Source = TypeVar("_Source", SimulatedTables, RobotTables)


def _opened(cls: type[_Source], location: str, example: str) -> _Source:
    try:
        pairs = [part.split("=", 1) for part in location.split(",") if part]
        return cls(**{key.strip(): int(value) for key, value in pairs})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"simulated scenes {location!r} are not understood; expected e.g. {example!r}"
        ) from error


def world_scene(world: World, camera: str = "external") -> SpatialScene:
    """The objects of the simulated world now, on its table, from one of its cameras; the world frame is the robot's."""
    view = world.view()
    items = tuple(
        SceneObject(
            spec.name,
            spec.shape,
            OrientedBox(pose.translation, 2.0 * half_extents(spec.shape, spec.size), pose.rotation),
        )
        for spec, pose in zip(world.scene.objects, world.object_poses(), strict=True)
    )
    table = world.view().model.geom("table")
    x, y, z = (float(v) for v in table.pos)
    a, b, c = (float(v) for v in table.size)
    surface = floor_surface((x - a, y - b), (x + a, y + b), z + c, "table")
    surfaces = (surface, *top_surfaces(items))
    return SpatialScene(
        items, view.cameras[camera], view.pose(camera), surfaces, name=f"table-{world.scene.seed}"
    )


@lru_cache(maxsize=2)
def _arrangement(source: SimulatedTables, index: int) -> Arrangement:
    rng = np.random.default_rng((source.seed, index))
    spec = mujoco.MjSpec()
    _solid(spec, "box", (0.0, 0.0, -0.02), (*TABLE, 0.02), np.eye(3), (0.66, 0.61, 0.55))
    items = _place(rng, spec, source.things)
    focal = source.height / 2.0 / np.tan(np.deg2rad(rng.uniform(42.0, 55.0)) / 2.0)
    camera = PinholeCamera(
        source.width, source.height, focal, focal, (source.width - 1) / 2.0, (source.height - 1) / 2.0
    )
    angle, away, high = rng.uniform(-np.pi, np.pi), rng.uniform(0.9, 1.3), rng.uniform(0.4, 0.9)
    eye = (float(away * np.cos(angle)), float(away * np.sin(angle)), float(high))
    pose = look_at(eye, (float(rng.uniform(-0.05, 0.05)), float(rng.uniform(-0.05, 0.05)), 0.03))
    table = floor_surface((-TABLE[0], -TABLE[1]), TABLE, 0.0, "table")
    name = f"table-{source.seed}-{index:06d}"
    scene = SpatialScene(
        tuple(items),
        camera,
        pose,
        (table, *top_surfaces(items)),
        name=name,
        image=f"{name}.png",
        dataset="mujoco",
    )
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return Arrangement(scene, model, data)


def _place(rng: np.random.Generator, spec: mujoco.MjSpec, count: int) -> list[SceneObject]:
    """Things on the table; a third of them on or in another."""
    items: list[SceneObject] = []
    hosts: list[SceneObject] = []
    for _ in range(200 * count):
        if len(items) == count:
            break
        host = hosts[int(rng.integers(len(hosts)))] if hosts and rng.random() < 0.35 else None
        item = _thing(rng, items, host)
        if item is None:
            continue
        if host is not None:
            hosts.remove(host)
        if item.category in ("book", "brick", "speaker", "tray"):
            hosts.append(item)
        colour = RGB[item.name.split()[0]]
        for kind, centre, half in _parts(item):
            middle = item.box.centre + item.box.rotation @ np.array(centre)
            _solid(spec, kind, tuple(middle), half, item.box.rotation, colour)
        items.append(item)
    return items


def _thing(
    rng: np.random.Generator, items: list[SceneObject], host: SceneObject | None
) -> SceneObject | None:
    """One more thing, on the table or on (in) a host; None if it does not fit there."""
    category = "tray" if host is None and rng.random() < 0.12 else str(rng.choice(list(_THINGS)))
    name = f"{rng.choice(_COLOURS)} {category}"
    if any(item.name == name for item in items):
        return None
    if category == "tray":
        half = rng.uniform((0.08, 0.1, 0.02), (0.11, 0.14, 0.035))
    else:
        kind, low, high = _THINGS[category]
        half = rng.uniform(low, high)
        half = np.full(3, half[0]) if kind == "sphere" or category == "cube" else half
        half[1] = half[0] if kind == "cylinder" else half[1]
    yaw = Rotation.from_euler("z", rng.uniform(-np.pi, np.pi)).as_matrix()
    if host is None:
        at = rng.uniform((-0.36, -0.42), (0.36, 0.42))
        for other in items:
            if (
                np.linalg.norm(at - other.box.centre[:2])
                < np.hypot(*half[:2]) + np.hypot(*other.box.size[:2]) / 2 + 0.01
            ):
                return None
        return SceneObject(name, category, OrientedBox(np.array([*at, half[2]]), 2.0 * half, yaw))
    room = host.box.size[:2] / 2.0 - (np.hypot(*half[:2]) + 0.01 if host.category == "tray" else 0.0)
    if (room <= 0.0).any():
        return None
    at = host.box.centre + host.box.rotation @ np.array([*rng.uniform(-0.6, 0.6, 2) * room, 0.0])
    bottom = host.box.centre[2] + host.box.size[2] / 2.0 * (1.0 if host.category != "tray" else -1.0)
    bottom += 0.006 if host.category == "tray" else 0.0
    return SceneObject(name, category, OrientedBox(np.array([*at[:2], bottom + half[2]]), 2.0 * half, yaw))


def _parts(item: SceneObject) -> list[tuple[str, tuple[float, float, float], tuple[float, float, float]]]:
    """Primitives of a thing: kind, middle in its frame, half extents."""
    x, y, z = (float(v) for v in item.box.size / 2.0)
    if item.category != "tray":
        return [(_THINGS[item.category][0], (0.0, 0.0, 0.0), (x, y, z))]
    wall = 0.004
    parts = [("box", (0.0, 0.0, -z + 0.003), (x, y, 0.003))]
    parts += [("box", (side * (x - wall), 0.0, 0.0), (wall, y, z)) for side in (-1.0, 1.0)]
    return parts + [("box", (0.0, side * (y - wall), 0.0), (x, wall, z)) for side in (-1.0, 1.0)]


def _solid(
    spec: mujoco.MjSpec,
    kind: str,
    centre: tuple,
    half: tuple,
    rotation: Array,
    rgb: tuple[float, float, float],
) -> None:
    quaternion = np.roll(Rotation.from_matrix(rotation).as_quat(), 1)
    size = {"box": half, "cylinder": (half[0], half[2], 0.0), "sphere": (half[0], 0.0, 0.0)}[kind]
    geom = spec.worldbody.add_geom(
        type=_TYPES[kind], pos=centre, size=size, quat=quaternion, rgba=(*rgb, 1.0)
    )
    geom.group = VISIBLE_GROUP


def with_errors(scene: SpatialScene, rng: np.random.Generator, position: float, angle: float) -> SpatialScene:
    """The scene as a detector would give it: boxes off by up to ``position`` [m] and ``angle`` [rad], and saying so."""
    items = []
    for item in scene.objects:
        way = rng.standard_normal(3)
        turn = Rotation.from_euler("z", rng.uniform(-angle, angle)).as_matrix()
        offset = way / np.linalg.norm(way) * position * rng.random()
        box = OrientedBox(item.box.centre + offset, item.box.size, turn @ item.box.rotation)
        items.append(replace(item, box=box, uncertainty=Uncertainty(position, angle)))
    return replace(scene, objects=tuple(items))
