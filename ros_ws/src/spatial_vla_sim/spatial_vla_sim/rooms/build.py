"""From a seed to a scene that can be photographed: the MuJoCo model, its surfaces, its light and the camera's way."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from spatial_vla.geometry import SE3, PinholeCamera

from ..model import VISIBLE_GROUP, build_spec, object_body
from ..scene import HOME, Scene, sample_scene
from . import textures as t
from . import trajectory as way
from .atlas import Atlas
from .furniture import things
from .parts import CLASSES, Material, Palette, Part, moved
from .room import Shell, enclosure, furnish, hangings, room
from .textured_camera import Lamp, Surfaces, TexturedCamera

#: Share of the scenes that are table-tops with the arm; the others are rooms.
TABLE_TOPS = 0.35
_SHAPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
}
_OBJECT_LABELS = {"cube": "box", "brick": "box", "cylinder": "cylinder", "ball": "ball"}
#: Top of the floor under the arm's table, and the table itself (x, y and half extents) [m]; as in ``model``.
_FLOOR, _TABLE = -0.75, (0.45, 0.0, 0.95, 0.72)


@dataclass(frozen=True, eq=False)
class PhotoScene:
    """A scene at rest, a camera to render it with, and where that camera goes."""

    kind: str
    renderer: TexturedCamera
    camera: PinholeCamera
    poses: list[SE3]


def photo_scene(seed: int, number: int, views: int, width: int, height: int) -> PhotoScene:
    """Scene ``number`` of a collection; the same arguments give the same pixels on every machine."""
    rng = np.random.default_rng((seed, number))
    palette = Palette(rng)
    build = _table_top if rng.random() < TABLE_TOPS else _room
    kind, shell, spec, looks, draw = build(palette)
    model = spec.compile()
    data = mujoco.MjData(model)
    if kind == "table-top":
        _pose_arm(rng, model, data)
    mujoco.mj_forward(model, data)
    surfaces = _surfaces(palette, model, looks)
    renderer = TexturedCamera(model, data, surfaces, *_lighting(rng, shell))
    camera = way.camera(rng, width, height)
    return PhotoScene(kind, renderer, camera, way.trajectory(rng, model, data, draw, views))


#: What a builder gives: kind, room, specification, look and class of its geoms by name, the camera's way.
_Built = tuple[str, Shell, mujoco.MjSpec, dict[str, tuple[str, Material]], way.Draw]


def _room(palette: Palette) -> _Built:
    shell, parts = room(palette)
    spec = mujoco.MjSpec()
    return "room", shell, spec, _add(spec, parts), way.around_room(shell)


def _table_top(palette: Palette) -> _Built:
    """The arm's table with its objects, more things on it, in a furnished room."""
    rng = palette.rng
    scene = sample_scene(int(rng.integers(1 << 31)))
    spec = build_spec(scene)
    looks = _name_what_is_there(spec, palette, scene)
    shell = Shell(rng.uniform(2.1, 2.7), rng.uniform(1.8, 2.6), _FLOOR, _FLOOR + rng.uniform(2.4, 2.9))
    parts = [part for part in enclosure(palette, shell) if part.label != "floor"]
    parts += hangings(palette, shell, count=6)
    furnish(palette, shell, parts, taken=[_TABLE])
    for y in (-0.46, 0.46):
        parts += moved(things(palette, 0.45, 0.15, 0.0, int(rng.integers(1, 5))), 0.6, y)
    return "table-top", shell, spec, looks | _add(spec, parts), way.around_point((0.45, 0.0, 0.05))


def _add(spec: mujoco.MjSpec, parts: list[Part]) -> dict[str, tuple[str, Material]]:
    """Add parts to the world; the look and class of each by the name of its geom."""
    looks = {}
    for number, part in enumerate(parts):
        turn = (np.cos(part.yaw / 2), 0.0, 0.0, np.sin(part.yaw / 2))
        name = f"part{number}"
        geom = spec.worldbody.add_geom(
            name=name, type=_SHAPES[part.shape], pos=part.centre, size=_model_size(part), quat=turn
        )
        geom.group, geom.contype, geom.conaffinity = VISIBLE_GROUP, 0, 0
        looks[name] = (part.label, part.material)
    return looks


def _model_size(part: Part) -> tuple[float, float, float]:
    return (part.size[0], part.size[2], 0.0) if part.shape == "cylinder" else part.size


def _name_what_is_there(
    spec: mujoco.MjSpec, palette: Palette, scene: Scene
) -> dict[str, tuple[str, Material]]:
    """Looks of the geoms that the simulation's own scene brings: table, floor, objects, robot."""
    looks = {
        "table": ("table", palette.material(t.wood, t.marble, t.fabric, t.checker, t.speckle, metres=0.7)),
        "floor": ("floor", palette.material(t.planks, t.tiles, t.fabric, metres=1.5)),
    }
    objects = {object_body(i): item for i, item in enumerate(scene.objects)}
    robot = palette.material(t.plain, metres=0.5, variants=4)
    for number, geom in enumerate(spec.geoms):
        item = objects.get(geom.parent.name)
        if item is None and geom.name in looks:
            continue
        geom.name = f"given{number}"
        if item is None:
            tint = tuple(float(c) for c in geom.rgba[:3])
            looks[geom.name] = ("robot", _tinted(robot, tint))
        else:
            look = palette.material(t.speckle, t.tiles, t.checker, t.plain, metres=0.12)
            looks[geom.name] = (_OBJECT_LABELS[item.shape], _tinted(look, item.rgb))
    return looks


def _tinted(material: Material, tint: tuple[float, ...]) -> Material:
    """The material with a tint, kept bright enough that its texture shows."""
    r, g, b = (min(1.0, 0.1 + 1.2 * c) for c in tint)
    return Material(material.texture, material.metres, material.offset, (r, g, b))


def _pose_arm(rng: np.random.Generator, model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """The arm somewhere about its home, above the table."""
    for index, angle in enumerate(np.array(HOME) + rng.uniform(-0.35, 0.35, 7)):
        data.joint(f"panda_joint{index + 1}").qpos[0] = angle


def _surfaces(palette: Palette, model: mujoco.MjModel, looks: dict[str, tuple[str, Material]]) -> Surfaces:
    rows = [looks.get(model.geom(i).name, ("background", Material(0))) for i in range(model.ngeom)]
    rows.append(("background", Material(0)))
    metres = np.array([material.metres for _, material in rows], np.float32)
    return Surfaces(
        atlas=Atlas(palette.pictures),
        picture=np.array([material.texture for _, material in rows]),
        repetitions=np.divide(1.0, metres, out=np.zeros_like(metres), where=metres > 0),
        offset=np.array([material.offset for _, material in rows], np.float32),
        tint=np.array([material.tint for _, material in rows], np.float32),
        label=np.array([CLASSES.index(label) for label, _ in rows], np.int32),
    )


def _lighting(rng: np.random.Generator, shell: Shell) -> tuple[tuple[float, float, float], list[Lamp]]:
    """Ambience, a lamp under the ceiling that casts shadows, and a fainter one that casts none."""
    ambient, main = rng.uniform(0.42, 0.58), rng.uniform(0.75, 1.0)
    warmth = rng.uniform(-0.06, 0.06)
    x, y = rng.uniform(-0.4, 0.4, 2) * (shell.x, shell.y)
    low, high = shell.floor, shell.ceiling
    fx, fy = rng.uniform(-0.7, 0.7, 2) * (shell.x, shell.y)
    lamps = [
        Lamp((float(x), float(y), high - 0.15), (main * (1 + warmth), main, main * (1 - warmth)), 2.5),
        Lamp((float(fx), float(fy), low + 1.7), (0.18, 0.18, 0.2), 3.0, shadows=False),
    ]
    return (ambient * (1 - warmth), ambient, ambient * (1 + warmth)), lamps
