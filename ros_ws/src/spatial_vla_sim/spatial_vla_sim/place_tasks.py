"""Instructions that name a place by a relation, carried out by the scripted expert and judged from ground truth.

"touch the place left of the blue brick", "put the red cube behind the ball": the goal comes from
``spatial_vla.grounding``, the motion from ``expert``. The tasks that the policy was trained on are not touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from spatial_vla.geometry import SE3
from spatial_vla.grounding import GoalRegion, GoalRules, NoPlace, ground, reached
from spatial_vla.grounding.goal import holds as is_true
from spatial_vla.spatial import SpatialScene
from spatial_vla.spatial.templates import RELATION_PHRASES, the

from . import expert
from .arm import SimulatedArm
from .referee import DISTRACTOR_PUSH
from .scene import ObjectSpec, Scene
from .shapes import half_extents
from .spatial_scenes import world_scene
from .world import World

Array = NDArray[np.float64]
Verb = Literal["put", "touch", "point"]
VERBS: dict[Verb, str] = {"put": "put {a}", "touch": "touch the place", "point": "point at the place"}
VIEWS = {"ego": "seen from the camera", "world": "seen from the robot"}
#: Room for the hand around a place [m], and how near to it the tool has to be [m].
HAND_ROOM, REACH = 0.05, 0.02
#: A thing that was put may be this far above its surface [m].
RESTING = 0.01
LONGEST, SETTLED = 24.0, 5
#: Half height of the tile that stands for a place [m].
_TILE = 0.006


@dataclass(frozen=True, eq=False)
class PlaceTask:
    """A sentence, and where its words would come true in a scene as laid out."""

    sentence: str
    goal: GoalRegion


@dataclass(frozen=True)
class PlaceOutcome:
    """How a place task ended; ``failure``: "" on success, else elsewhere, held, not_resting or distractor_moved."""

    success: bool
    failure: str
    margin: float


def draw(world: World, rng: np.random.Generator, verb: Verb, tries: int = 40) -> PlaceTask:
    """A random task in the world's scene that is not done yet.

    Raises:
        NoPlace: none of ``tries`` sentences has a place in this scene.
        ValueError: the verb is unknown.
    """
    if verb not in VERBS:
        raise ValueError(f"verb {verb!r} has no place tasks; expected {', '.join(VERBS)}")
    scene, names = world_scene(world), [item.name for item in world.scene.objects]
    for _ in range(tries):
        a, b, *_ = (str(n) for n in rng.permutation(names))
        relation = str(rng.choice(["left", "right", "front", "behind", "near"]))
        view = f", {VIEWS[str(rng.choice(list(VIEWS)))]}" if relation != "near" else ""
        phrase = str(rng.choice(RELATION_PHRASES[relation])).format(b=the(b))
        sentence = f"{VERBS[verb].format(a=the(a))} {phrase}{view}"
        try:
            given = task(scene, sentence)
        except NoPlace:
            continue
        if not judge(world, given).success:
            return given
    raise NoPlace(f"none of {tries} sentences with {verb!r} names a place in scene {world.scene.seed}")


def task(scene: SpatialScene, sentence: str) -> PlaceTask:
    """The task that a sentence states.

    Raises:
        NoPlace: its words come true nowhere; NotUnderstood: it is outside the grammar.
    """
    return PlaceTask(
        sentence, ground(sentence, scene, rules=GoalRules(clearance=HAND_ROOM, step=0.02, reach=0.12))
    )


def act(world: World, given: PlaceTask, steps: int = 4) -> tuple[Array, Array]:
    """The expert's next steps, as ``expert.answer``."""
    placement, place = given.goal.placement, given.goal.place
    tile = ObjectSpec("red", "cube", (0.01, 0.01, _TILE), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0)
    if placement.subject is None:
        state = expert.State.of(world, 0)
        pose = SE3(np.eye(3), place + np.array((0.0, 0.0, _TILE)))
        return expert.answer(expert.State(state.tcp, state.width, tile, pose), placement.verb, steps)
    index = [item.name for item in world.scene.objects].index(placement.subject)
    # One step at a time: the expert's imagination knows picking, not letting go.
    delta, gripper = _put(expert.State.of(world, index), place)
    deltas = np.zeros((steps, 6))
    deltas[0] = delta
    return deltas, np.full(steps, gripper)


def _put(state: expert.State, place: Array) -> tuple[Array, float]:
    """Pick, carry over the place, lower, let go, and rise."""
    rise = float(half_extents(state.object.shape, state.object.size)[2])
    aside = float(np.linalg.norm((state.pose.translation - place)[:2]))
    low = float(state.pose.translation[2] - place[2]) - rise
    there = aside < 0.015 and low < 0.006
    tcp = state.tcp.translation
    if expert.holds(state):
        if there and low < 0.003:
            return np.zeros(6), 1.0
        offset = tcp - state.pose.translation
        goal = place + np.array((0.0, 0.0, rise + 0.001)) + offset
        yaw = expert.tool_yaw(state.tcp)
        return expert.approach(state.tcp, goal, yaw, expert.HOVER + 0.04), 0.0
    if there:
        up = np.array((0.0, 0.0, max(expert.HOVER - float(tcp[2]), 0.0)))
        return expert.clipped(up, np.zeros(3)), 1.0
    return expert.act(state, "pick")


def judge(world: World, given: PlaceTask) -> PlaceOutcome:
    """Whether the words are true now, nothing is held, and nothing else was pushed away."""
    scene, placement = world_scene(world), given.goal.placement
    tcp = world.tcp_pose().translation
    found = reached(placement, scene, tcp if placement.subject is None else None)
    names = [item.name for item in world.scene.objects]
    failure = "" if is_true(found) else "elsewhere"
    if placement.subject is None:
        if abs(float(tcp[2] - given.goal.surface.height)) > REACH:
            failure = failure or "elsewhere"
    else:
        index = names.index(placement.subject)
        low = float(scene.boxes.low[index]) - given.goal.surface.height
        if expert.holds(expert.State.of(world, index)):
            failure = failure or "held"
        elif abs(low) > RESTING:
            failure = failure or "not_resting"
    others = [i for i, name in enumerate(names) if name != placement.subject]
    if world.record.displacement[others].max(initial=0.0) > DISTRACTOR_PUSH["pick"]:
        failure = failure or "distractor_moved"
    return PlaceOutcome(not failure, failure, found.margin)


def begin(world: World, arm: SimulatedArm, scene: Scene, verb: Verb) -> PlaceTask:
    """Lay out a scene and draw its task; the same scene and verb give the same task."""
    world.reset(scene)
    arm.reset()
    return draw(world, np.random.default_rng((scene.seed, 2)), verb)


def run_place_task(
    world: World, arm: SimulatedArm, scene: Scene, verb: Verb
) -> tuple[PlaceTask, PlaceOutcome]:
    """Lay out a scene, draw a task of it, carry it out, and judge."""
    given = begin(world, arm, scene, verb)
    start, idle = world.time_ns, 0
    while idle < SETTLED and (world.time_ns - start) * 1e-9 < LONGEST:
        deltas, gripper = act(world, given)
        idle = 0 if np.any(deltas[0]) else idle + 1
        arm.follow(deltas, gripper, dt=expert.DT, seconds=expert.DT)
    return given, judge(world, given)
