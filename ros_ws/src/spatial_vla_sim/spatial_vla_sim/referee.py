"""Did the arm do what the instruction said? Judged from ground truth, at the moment of asking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scene import Scene
from .shapes import distance, reach_along
from .world import World

#: Touch and point: the TCP must be this close to the target's surface [m].
REACH = 0.02
#: Touch and point: the target itself may be pushed this far [m].
TARGET_PUSH = 0.05
#: Pick: the target's lowest point must be this high above the table [m].
LIFT = 0.05
#: Pick: the target must still be in the hand, its surface this close to the TCP [m].
HELD = 0.02
#: How far a distractor may move [m], by verb.
DISTRACTOR_PUSH = {"touch": 0.01, "point": 0.01, "pick": 0.02}
#: An object that has risen this far [m] has been picked.
RISEN = 0.03


@dataclass(frozen=True)
class Outcome:
    """Verdict on an episode.

    failure: "" on success, else one of
        distractor_touched (touch, point: the robot touched another object), distractor_moved,
        wrong_object (the TCP ended at another object, or another object was lifted),
        target_displaced (the target was pushed away), missed (the TCP is near nothing),
        not_lifted, dropped (was lifted and is not held now).
    distance: TCP to the target's surface [m], 0 inside it.
    distractor_displacement: largest ever, of any distractor [m].
    """

    success: bool
    failure: str
    distance: float
    distractor_displacement: float


def judge(world: World, scene: Scene) -> Outcome:
    """Judge the scene's task in the world's present state and the record since its reset."""
    gaps = tcp_distances(world, scene)
    target = scene.task.target
    others = [i for i in range(len(scene.objects)) if i != target]
    moved = float(world.record.displacement[others].max()) if others else 0.0
    reason = _failed_pick if scene.task.verb == "pick" else _failed_reach
    failure = reason(world, scene, gaps, others)
    if moved > DISTRACTOR_PUSH[scene.task.verb] and failure != "wrong_object":
        failure = "distractor_moved"
    return Outcome(failure == "", failure, float(gaps[target]), moved)


def tcp_distances(world: World, scene: Scene) -> list[float]:
    """Distance [m] from the TCP to the surface of every object, 0 inside it."""
    tcp = world.tcp_pose().translation
    poses = world.object_poses()
    return [
        distance(item.shape, item.size, pose.inverse().apply(tcp))
        for item, pose in zip(scene.objects, poses, strict=True)
    ]


def clearance(world: World, scene: Scene, index: int) -> float:
    """Height of an object's lowest point above the table [m]."""
    item, pose = scene.objects[index], world.object_poses()[index]
    return float(pose.translation[2]) - reach_along(item.shape, item.size, pose.rotation[2])


def _failed_reach(world: World, scene: Scene, gaps: list[float], others: list[int]) -> str:
    target = scene.task.target
    if gaps[target] > REACH:
        return "wrong_object" if min((gaps[i] for i in others), default=np.inf) <= REACH else "missed"
    if world.record.touched & set(others):
        return "distractor_touched"
    return "target_displaced" if world.record.displacement[target] > TARGET_PUSH else ""


def _failed_pick(world: World, scene: Scene, gaps: list[float], others: list[int]) -> str:
    target = scene.task.target
    if clearance(world, scene, target) >= LIFT and gaps[target] <= HELD:
        return ""
    if any(world.record.rise[others] > RISEN):
        return "wrong_object"
    return "dropped" if world.record.rise[target] > RISEN else "not_lifted"
