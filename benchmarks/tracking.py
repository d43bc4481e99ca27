"""How well does the arm follow streams of chunks, and how rough are the borders between chunks?

    python benchmarks/tracking.py --output benchmarks/results/tracking.json

Overlapping chunks (4 steps of 0.2 s, a new one every 0.2 s, 50 ms old on arrival) of a figure-eight and of random walks
go through the motion stage to the simulated Panda. "Tracking" is the measured tool against the commanded one of the
same time; "jerk" the third difference of the commanded tool position within 50 ms of a chunk's arrival, against naive
concatenation: each chunk's way-points joined by straight lines from where the last chunk was left.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from spatial_vla.actions import ActionChunk
from spatial_vla.motion import MotionController
from spatial_vla.motion.measurement import pose_error
from spatial_vla.motion.panda import panda_limits, panda_model
from spatial_vla.report.environment import device, versions
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World

Array = NDArray[np.float64]
DT, STEPS, AGE, TICK = 0.2, 4, 0.05, 0.01
PULL = 1.0  # 1/s
BORDER = 5  # ticks after the arrival of a chunk


@dataclass
class Args:
    """Measure tracking and smoothness."""

    seconds: float = 20.0
    """simulated time per stream"""
    walks: int = 5
    """random streams"""
    output: Path | None = None
    """file for the figures"""


def figure_eight(time: float) -> Array:
    """Velocity (6,) [m/s, rad/s] along a figure-eight of 10 by 16 cm that takes 8 s, the tool rolling along."""
    w = 2 * np.pi / 8.0
    return np.array(
        [0.1 * w * np.cos(2 * w * time), 0.16 * w * np.cos(w * time), 0.0, 0.0, 0.0, 0.15 * np.sin(w * time)]
    )


def random_walk(seed: int) -> Callable[[float], Array]:
    """Velocities that are drawn anew for every step, as from a policy that changes its mind.

    They are pulled back to where the walk began: one that ends in the table would measure the table.
    """
    steps = np.random.default_rng(seed).normal(0.0, [0.08, 0.08, 0.05, 0.2, 0.2, 0.2], (1000, 6))
    walked = np.zeros(6)
    for step in steps:
        step -= PULL * walked
        walked += step * DT
    return lambda time: steps[int(time / DT + 1e-6) % 1000]


def follow(velocity: Callable[[float], Array], seconds: float) -> dict[str, float]:
    """One stream: errors of tracking, and jerk at the borders with and without blending."""
    world, model = World(camera_size=32), panda_model()
    world.reset(sample_scene(0, "touch"))
    controller = MotionController(model, panda_limits())
    q, dq, _ = world.joint_state()
    controller.on_joint_state(q, dq, world.time_ns)
    if not (verdict := controller.arm(q, world.time_ns)):
        raise RuntimeError(verdict.reason)
    errors, commanded, naive = [], [], [model.forward(q).translation]
    for tick in range(round(seconds / TICK)):
        now = world.time_ns
        q, dq, _ = world.joint_state()
        controller.on_joint_state(q, dq, now)
        if tick % round(DT / TICK) == 0:
            start = tick * TICK - AGE
            deltas = np.array([velocity(max(start + i * DT, 0.0)) * DT for i in range(STEPS)])
            chunk = ActionChunk(now - round(AGE * 1e9), DT, "panda_link0", deltas, np.ones(STEPS), tick + 1)
            controller.on_chunk(chunk, now)
        command = controller.step(now)
        if command is not None:
            world.set_arm_command([(p.time_from_start, p.positions, p.velocities) for p in command.points])
        naive.append(naive[-1] + deltas[0, :3] * TICK / DT)
        world.step(TICK)
        reference = controller.status().reference
        if reference is not None:
            commanded.append(reference.translation)
            errors.append(pose_error(reference, world.tcp_pose()))
    distance, angle = np.array(errors[50:]).T
    ours, theirs = border_jerk(np.array(commanded)), border_jerk(np.array(naive[1:]))
    return {
        "rms_mm": rms(1e3 * distance),
        "rms_deg": rms(np.degrees(angle)),
        "jerk": rms(ours),
        "naive_jerk": rms(theirs),
        "ratio": rms(theirs) / rms(ours),
    }


def border_jerk(positions: Array) -> Array:
    """Jerk [m/s^3] within ``BORDER`` ticks after each chunk's arrival, from positions (t, 3), the start left out."""
    jerk = np.linalg.norm(np.diff(positions, n=3, axis=0), axis=1) / TICK**3
    ticks = np.arange(len(jerk)) + 2
    return jerk[(ticks % round(DT / TICK) < BORDER) & (ticks > 50)]


def rms(values: Array) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def main() -> None:
    """Entry point."""
    args = tyro.cli(Args)
    streams = {"figure-eight": figure_eight} | {f"random {i}": random_walk(i) for i in range(args.walks)}
    results: dict[str, Any] = {name: follow(velocity, args.seconds) for name, velocity in streams.items()}
    print(f"{'stream':<14}{'RMS mm':>9}{'RMS deg':>9}{'jerk m/s3':>11}{'naive':>9}{'ratio':>8}")
    for name, r in results.items():
        print(
            f"{name:<14}{r['rms_mm']:>9.3f}{r['rms_deg']:>9.4f}{r['jerk']:>11.1f}{r['naive_jerk']:>9.1f}{r['ratio']:>8.1f}"
        )
    if args.output is not None:
        settings = {**asdict(args), "output": str(args.output)}
        figures = {"settings": settings, "results": results, "device": device(), "versions": versions()}
        args.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
