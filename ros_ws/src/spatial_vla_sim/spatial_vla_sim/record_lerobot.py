"""Record the scripted expert's episodes as a LeRobot data set: ``python -m spatial_vla_sim.record_lerobot --out DIR``.

One instruction an episode, from rest to rest, with video, depth, intrinsics and the tool's state; the steps are in the
base frame. ``--places put touch point`` records places named by words, only episodes in which the words came true.
``spatial-vla-record`` records what the small policy is trained on instead.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.progress import track
from scipy.spatial.transform import Rotation
from spatial_vla.datasets import LeRobotWriter
from spatial_vla.grounding import NoPlace
from spatial_vla.policy.preprocess import tool_state

from . import place_tasks
from .arm import SimulatedArm
from .closed_loop import DT, Actor, expert_actor
from .scene import Scene, sample_scene
from .world import World

IDLE = 2  # steps of rest that end an episode, so that a policy learns to stop


@dataclass
class RecordLeRobot:
    """Record the scripted expert's episodes in seeded scenes as a LeRobot data set, version 3."""

    out: Path
    """folder to make"""
    episodes: int = 20
    """number of episodes"""
    size: int = 224
    """side of the images [px]"""
    seed: int = 2_000_000
    """seed of the first scene; evaluation uses seeds below one million"""
    codec: str = "libsvtav1"
    """encoder of the video"""
    steps: int = int(place_tasks.LONGEST / DT)
    """most steps of an episode"""
    places: tuple[place_tasks.Verb, ...] = ()
    """record tasks that name a place instead ("put the red cube left of the ball"), with these verbs in turn"""

    def run(self) -> None:
        """Write the data set; there is no folder until all of it is there."""
        world = World(self.size)
        arm = SimulatedArm(world)
        with LeRobotWriter(self.out, round(1 / DT), codec=self.codec) as writer:
            for number in track(range(self.episodes), description="recording"):
                scene = sample_scene(self.seed + number)
                if self.places:
                    verb = self.places[number % len(self.places)]
                    self._add_place(writer, world, arm, scene, verb)
                else:
                    writer.add(scene.instruction, **demonstrate(world, arm, scene, self.steps))

    def _add_place(
        self, writer: LeRobotWriter, world: World, arm: SimulatedArm, scene: Scene, verb: place_tasks.Verb
    ) -> None:
        """Record the scene's place task, unless it has none or the words did not come true; that is said."""
        try:
            given = place_tasks.begin(world, arm, scene, verb)
        except NoPlace as error:
            print(f"left out: {error}", file=sys.stderr)
            return

        def act(world: World, _: Scene) -> tuple[NDArray, NDArray]:
            return place_tasks.act(world, given)

        columns = demonstrate(world, arm, scene, self.steps, act, place_tasks.SETTLED)
        outcome = place_tasks.judge(world, given)
        if outcome.success:
            writer.add(given.sentence, **columns)
        else:
            print(f"left out: {given.sentence!r} in scene {scene.seed}: {outcome.failure}", file=sys.stderr)


def demonstrate(
    world: World,
    arm: SimulatedArm,
    scene: Scene,
    most: int,
    act: Actor = expert_actor,
    rest: int = IDLE,
) -> dict[str, NDArray]:
    """One episode of the expert, as the arguments of `LeRobotWriter.add`; ``rest`` steps without motion end it."""
    world.reset(scene)
    arm.reset()
    columns: dict[str, list[NDArray]] = {"images": [], "depth": [], "state": [], "actions": []}
    intrinsics, idle = np.eye(3), 0
    while idle < rest and len(columns["images"]) < most:
        view = world.render("external")
        deltas, gripper = act(world, scene)
        intrinsics = view.camera.K
        columns["images"].append(view.rgb)
        columns["depth"].append(view.depth)
        columns["state"].append(tool_state(world.tcp_pose(), 2.0 * world.joint_state()[2]))
        angles = Rotation.from_rotvec(deltas[0, 3:]).as_euler("xyz")
        columns["actions"].append(np.concatenate((deltas[0, :3], angles, gripper[:1])))
        idle = 0 if np.any(deltas[0]) else idle + 1
        arm.follow(deltas, gripper, dt=DT, seconds=DT)
    return {name: np.stack(rows) for name, rows in columns.items()} | {"intrinsics": intrinsics}


if __name__ == "__main__":
    tyro.cli(RecordLeRobot).run()
