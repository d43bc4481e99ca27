"""Record demonstrations of the scripted expert, with detours and corrections, as shards of arrays.

A recording is a folder of shards ``shard-00000/``; each holds one ``.npy`` file per field, one row per frame:

    image     (N, 224, 224, 3) uint8     external camera, RGB
    points    (N, 196, 16, 3)  float16   sub-cell points in the base frame [m], NaN where depth is invalid
    owner     (N, 196, 16)     int8      object index at the sub-cell's pixel, -1 for none
    state     (N, 10)          float32   ``spatial_vla.policy.preprocess.tool_state``
    colour, shape (N, 6)       int8      indices into the grammar, -1 past the last object
    centre    (N, 6, 3)        float32   object centres in the base frame [m]
    labels    (N, 3, 6, 4, 7)  float32   the expert's next steps for every verb and object: delta and gripper
    label_ok  (N, 3, 6)        bool      whether that instruction makes sense now
    active    (N, 2)           int8      verb and object that the arm was really after

A shard is written aside and renamed, so a recording that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.progress import track
from spatial_vla.language.grammar import COLOURS, SHAPES, VERBS, Command, ObjectPhrase, render
from spatial_vla.policy import Decoder, Encoder
from spatial_vla.policy.preprocess import by_patch, cell_pixels, cell_points, tool_state

from . import expert
from .arm import SimulatedArm
from .closed_loop import Actor, expert_actor, policy_actor
from .scene import Scene, Task, sample_scene
from .world import World

Array = NDArray[np.float64]
IMAGE_SIZE, PATCH, CELLS, MOST_OBJECTS, STEPS = 224, 16, 16, 6, 4
VERB_NAMES, SHAPE_NAMES = tuple(VERBS), tuple(SHAPES)
VERB_SHARES = (0.2, 0.25, 0.55)  # touch, point, pick: the longest task is shown most


def frame(world: World, verb: int, obj: int) -> dict[str, NDArray]:
    """One row of every field for the world's present state."""
    view = world.render("external")
    base_from_tcp = world.tcp_pose()
    width = 2.0 * world.joint_state()[2]
    points, valid = cell_points(
        view.depth, view.camera, view.world_from_camera, size=IMAGE_SIZE, patch=PATCH, cells=CELLS
    )
    at = cell_pixels(IMAGE_SIZE, PATCH, CELLS)
    objects = world.scene.objects
    colour, shape = np.full(MOST_OBJECTS, -1, np.int8), np.full(MOST_OBJECTS, -1, np.int8)
    centre = np.zeros((MOST_OBJECTS, 3), np.float32)
    colour[: len(objects)] = [COLOURS.index(o.colour) for o in objects]
    shape[: len(objects)] = [SHAPE_NAMES.index(o.shape) for o in objects]
    centre[: len(objects)] = world.object_positions()
    labels, label_ok = label_all(world, verb, obj)
    return {
        "image": view.rgb,
        "points": np.where(valid[..., None], points, np.nan).astype(np.float16),
        "owner": by_patch(view.segmentation[at[:, None], at], 4).astype(np.int8),
        "state": tool_state(base_from_tcp, width),
        "colour": colour,
        "shape": shape,
        "centre": centre,
        "labels": labels,
        "label_ok": label_ok,
        "active": np.array([verb, obj], np.int8),
    }


def label_all(world: World, verb: int, obj: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The expert's answers for every verb and object; while an object is held only its pick makes sense."""
    labels = np.zeros((len(VERBS), MOST_OBJECTS, STEPS, 7), np.float32)
    ok = np.zeros((len(VERBS), MOST_OBJECTS), bool)
    states = [expert.State.of(world, i) for i in range(len(world.scene.objects))]
    held = [i for i, s in enumerate(states) if expert.holds(s)]
    for v, name in enumerate(VERB_NAMES):
        for i, state in enumerate(states):
            ok[v, i] = not held or (name == "pick" and i == held[0]) or (v, i) == (verb, obj)
            if ok[v, i]:
                deltas, gripper = expert.answer(state, name, STEPS)
                labels[v, i] = np.concatenate((deltas, gripper[:, None]), axis=-1)
    return labels, ok


def demonstrate(
    world: World,
    arm: SimulatedArm,
    scene: Scene,
    rng: np.random.Generator,
    frames: int,
    student: Actor | None = None,
) -> list[dict[str, NDArray]]:
    """Carry out a few tasks in one scene, with noise, wrong turns and changes of mind, and record every step.

    With a ``student`` it is the student who acts, so that the expert's labels cover the student's own mistakes.
    """
    world.reset(scene)
    arm.reset()
    wander(arm, rng)
    rows, scene, idle = [], ask(scene, rng), 0
    noise = rng.choice([0.0, 0.004, 0.010]) * np.array([1, 1, 1, 4, 4, 4])
    for _ in range(frames):
        verb, obj = VERB_NAMES.index(scene.task.verb), scene.task.target
        rows.append(frame(world, verb, obj))
        holding = expert.holds(expert.State.of(world, obj))
        deltas, gripper = (student or expert_actor)(world, scene)
        idle = 0 if deltas[0].any() else idle + 1
        if idle >= 3 and (scene.task.verb != "pick" or (holding and rng.random() < 0.5)):
            scene, idle = ask(scene, rng), 0
            wander(arm, rng, least=1)
        elif rng.random() < 0.04 and not holding:
            wander(arm, rng, least=1)
        else:
            deltas = deltas + noise * rng.normal(size=6) * (np.arange(STEPS) < 2)[:, None]
            arm.follow(deltas, gripper, dt=expert.DT, seconds=expert.DT)
    return rows


def ask(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same scene with another task."""
    verb, target = str(rng.choice(VERB_NAMES, p=VERB_SHARES)), int(rng.integers(len(scene.objects)))
    phrase = ObjectPhrase(scene.objects[target].colour, scene.objects[target].shape)
    return replace(scene, task=Task(verb, target), instruction=render(Command(verb, phrase), rng))


def wander(arm: SimulatedArm, rng: np.random.Generator, least: int = 0) -> None:
    """Move some steps in a random direction, so that the expert is seen finding its way back."""
    direction = rng.normal(size=3) * np.array([1.0, 1.4, 0.8]) + np.array([0.0, 0.0, 0.3])
    step = np.concatenate(
        (direction / np.linalg.norm(direction) * rng.uniform(0.02, 0.05), [0, 0, rng.normal(0, 0.15)])
    )
    gripper = np.full(STEPS, float(rng.random() < 0.6))
    for _ in range(int(rng.integers(least, 6))):
        arm.follow(np.tile(step, (STEPS, 1)), gripper, dt=expert.DT, seconds=expert.DT)


@dataclass
class RecordArgs:
    """Record demonstrations of the scripted expert in seeded scenes."""

    out: Path
    """folder of the recording; existing shards are kept and skipped"""
    shards: int = 40
    """number of shards"""
    scenes: int = 16
    """scenes per shard"""
    frames: int = 32
    """frames per scene"""
    seed: int = 1_000_000
    """first scene seed; evaluation uses seeds below one million"""
    first: int = 0
    """first shard, to split the work among processes"""
    student: Path | None = None
    """bundle of a policy that acts instead of the expert, who still labels (DAgger)"""


def record(args: RecordArgs) -> None:
    """Record the shards that are not there yet."""
    world = World(IMAGE_SIZE)
    arm = SimulatedArm(world)
    student = policy_actor(Encoder(args.student), Decoder(args.student)) if args.student else None
    for shard in track(range(args.first, args.first + args.shards), description="recording"):
        target = args.out / f"shard-{shard:05d}"
        if target.exists():
            continue
        rows: list[dict[str, NDArray]] = []
        for k in range(args.scenes):
            seed = args.seed + shard * args.scenes + k
            rows += demonstrate(
                world, arm, sample_scene(seed), np.random.default_rng((seed, 1)), args.frames, student
            )
        aside = target.with_suffix(".partial")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for name in rows[0]:
            np.save(aside / f"{name}.npy", np.stack([r[name] for r in rows]))
        aside.rename(target)


def main() -> None:
    """Command line of the recorder."""
    record(tyro.cli(RecordArgs))


if __name__ == "__main__":
    main()
