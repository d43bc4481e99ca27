"""Seeded tabletop scenes: which objects stand where, what is asked, where the camera and the light are.

World frame: that of ``panda_link0``; the table top is z = 0, x points away from the robot, y to its left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from spatial_vla.geometry import SE3
from spatial_vla.language import grammar

from .shapes import half_extents

Array = NDArray[np.float64]

#: Sizes before jitter, as in ``shapes`` [m].
SIZES: dict[str, tuple[float, ...]] = {
    "cube": (0.025, 0.025, 0.025),
    "cylinder": (0.025, 0.030),
    "ball": (0.027,),
    "brick": (0.020, 0.0375, 0.0225),
}
RGB: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.08, 0.08),
    "green": (0.10, 0.58, 0.16),
    "blue": (0.10, 0.28, 0.85),
    "yellow": (0.93, 0.84, 0.10),
    "purple": (0.50, 0.14, 0.68),
    "orange": (0.97, 0.45, 0.04),
}
#: Where object centres may be: (low, high) of x and y [m].
WORKSPACE = ((0.36, 0.64), (-0.24, 0.24))
#: Smallest distance between two object centres [m], so that an open hand fits between them.
SPACING = 0.11
#: Arm joints [rad] with the TCP at (0.40, 0, 0.30) pointing down and the hand's x along the base's x.
HOME = (0.0, -0.41862, 0.0, -2.57875, 0.0, 2.16014, np.pi / 4)

CAMERA_EYE = (1.30, 0.0, 0.80)
CAMERA_TARGET = (0.45, 0.0, 0.08)
#: Just wide enough that every object is in the picture whatever the jitter, and the open hand at home too [degrees].
CAMERA_FOVY = 41.0


@dataclass(frozen=True)
class ObjectSpec:
    """One object: what it is called, its size (see ``shapes``), linear RGB in 0..1, and where it stands."""

    colour: str
    shape: str
    size: tuple[float, ...]
    rgb: tuple[float, float, float]
    position: tuple[float, float, float]
    yaw: float

    @property
    def name(self) -> str:
        """Name used in instructions and ground truth, e.g. "red cube"; unique within a scene."""
        return f"{self.colour} {self.shape}"

    @property
    def pose(self) -> SE3:
        """world_from_object at reset."""
        return SE3(Rotation.from_euler("z", self.yaw).as_matrix(), np.array(self.position))


@dataclass(frozen=True)
class Task:
    """What is asked: ``verb`` (touch, point, pick) of the object with index ``target``."""

    verb: str
    target: int


@dataclass(frozen=True)
class Lighting:
    """Lambert shading: fractions of albedo from ambience, from a light at the camera, and from a directed light."""

    ambient: float
    headlight: float
    directed: float
    direction: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that a reset needs; equal seeds give equal scenes."""

    seed: int
    objects: tuple[ObjectSpec, ...]
    task: Task
    instruction: str
    world_from_camera: SE3
    lighting: Lighting
    joint_positions: tuple[float, ...]

    @property
    def target(self) -> ObjectSpec:
        """The object that the instruction names."""
        return self.objects[self.task.target]


def sample_scene(seed: int, task: str | None = None) -> Scene:
    """Scene of a seed (any non-negative integer).

    Args:
        seed: the same seed and task give the same scene, on every machine.
        task: "touch", "point" or "pick"; None or "" draws it. It changes the verb and nothing else of the scene.

    Raises:
        ValueError: if the task is none of these.
    """
    if task and task not in grammar.VERBS:
        raise ValueError(
            f"task {task!r} is unknown; expected one of {', '.join(grammar.VERBS)} or '' to draw one"
        )
    rng = np.random.default_rng(seed)
    verb = str(rng.choice(list(grammar.VERBS)))
    phrases = _sample_phrases(rng, int(rng.integers(3, 6)))
    positions = _sample_positions(rng, len(phrases))
    order = rng.permutation(len(phrases))
    objects = tuple(_sample_object(rng, phrases[i], positions[i]) for i in order)
    target = int(np.flatnonzero(order == 0)[0])
    camera, lighting = _sample_camera(rng), _sample_lighting(rng)
    joints = tuple(float(q) for q in np.array(HOME) + rng.uniform(-0.03, 0.03, 7))
    verb = task or verb
    instruction = grammar.render(grammar.Command(verb, phrases[0]), rng)
    return Scene(seed, objects, Task(verb, target), instruction, camera, lighting, joints)


def _sample_phrases(rng: np.random.Generator, count: int) -> list[grammar.ObjectPhrase]:
    """Target first, then distractors; most share the target's colour or its shape, no two are alike."""
    colours, shapes = list(grammar.COLOURS), list(grammar.SHAPES)
    phrases = [grammar.ObjectPhrase(str(rng.choice(colours)), str(rng.choice(shapes)))]
    while len(phrases) < count:
        kind = rng.random()
        colour = phrases[0].colour if kind < 0.35 else str(rng.choice(colours))
        shape = phrases[0].shape if 0.35 <= kind < 0.7 else str(rng.choice(shapes))
        phrase = grammar.ObjectPhrase(colour, shape)
        if phrase not in phrases:
            phrases.append(phrase)
    return phrases


def _sample_positions(rng: np.random.Generator, count: int) -> Array:
    """Object centres (count, 2) in the workspace, at least ``SPACING`` apart."""
    low, high = np.array(WORKSPACE).T
    while True:
        points = rng.uniform(low, high, (count, 2))
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1) + 2 * SPACING * np.eye(count)
        if gaps.min() >= SPACING:
            return points


def _sample_object(rng: np.random.Generator, phrase: grammar.ObjectPhrase, centre: Array) -> ObjectSpec:
    scale = rng.uniform(0.92, 1.08)
    size = tuple(float(s * scale) for s in SIZES[phrase.shape])
    red, green, blue = np.clip(np.array(RGB[phrase.colour]) + rng.uniform(-0.04, 0.04, 3), 0.0, 1.0).tolist()
    height = float(half_extents(phrase.shape, size)[2])
    position = (float(centre[0]), float(centre[1]), height)
    yaw = float(rng.uniform(-np.pi, np.pi))
    return ObjectSpec(phrase.colour, phrase.shape, size, (red, green, blue), position, yaw)


def _sample_camera(rng: np.random.Generator) -> SE3:
    """world_from_camera of the external camera: its nominal mount, +-3 cm and +-2 degrees about each axis."""
    nominal = look_at(CAMERA_EYE, CAMERA_TARGET)
    turn = Rotation.from_rotvec(np.deg2rad(rng.uniform(-2.0, 2.0, 3))).as_matrix()
    return SE3(nominal.rotation @ turn, nominal.translation + rng.uniform(-0.03, 0.03, 3))


def _sample_lighting(rng: np.random.Generator) -> Lighting:
    direction = np.array([rng.uniform(-0.5, 0.7), rng.uniform(-0.8, 0.8), 1.0])
    x, y, z = direction / np.linalg.norm(direction)
    ambient, headlight, directed = rng.uniform(0.32, 0.42), rng.uniform(0.2, 0.3), rng.uniform(0.45, 0.6)
    return Lighting(ambient, headlight, directed, (float(x), float(y), float(z)))


def look_at(eye: tuple[float, float, float], target: tuple[float, float, float]) -> SE3:
    """world_from_camera of an optical frame (z forward, x right, y down) at ``eye``, looking at ``target``, upright."""
    forward = np.subtract(target, eye)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return SE3(np.column_stack((right, np.cross(forward, right), forward)), np.array(eye))
