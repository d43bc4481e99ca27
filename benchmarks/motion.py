"""What does a tick of the motion stage cost, with and without the check for self-collision?

    python benchmarks/motion.py --output benchmarks/results/motion.json

The controller follows random chunks at 100 Hz; each figure is the time of one :meth:`MotionController.step`, the arm's
measurement and the arrival of chunks not counted. A tick has 10 ms.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from spatial_vla.actions import ActionChunk
from spatial_vla.motion import MotionController
from spatial_vla.motion.panda import panda_limits, panda_model
from spatial_vla.motion.self_collision import SelfCollision
from spatial_vla.report.environment import device, versions

HOME = np.array([0.0, -0.6, 0.0, -2.4, 0.0, 1.8, 0.785])
TICK_NS = 10_000_000
STEPS, TICKS_PER_CHUNK = 4, 20


@dataclass
class Args:
    """Measure a tick."""

    ticks: int = 3000
    """how many ticks are timed per case"""
    output: Path | None = None
    """file for the figures"""


def step_times(clearance: float, ticks: int) -> np.ndarray:
    """Milliseconds (ticks,) of each step; the arm follows its commands exactly."""
    controller = MotionController(panda_model(), panda_limits(self_clearance=clearance))
    rng, q, dq, now = np.random.default_rng(0), HOME, np.zeros(7), 1_000_000_000
    controller.on_joint_state(q, dq, now)
    verdict = controller.arm(q, now)
    if not verdict:
        raise RuntimeError(verdict.reason)
    taken = np.empty(ticks)
    for i in range(ticks):
        controller.on_joint_state(q, dq, now)
        if i % TICKS_PER_CHUNK == 0:
            deltas = np.tile(rng.normal(0.0, [0.02] * 3 + [0.06] * 3), (STEPS, 1))
            chunk = ActionChunk(now, 0.2, "panda_link0", deltas, np.ones(STEPS), i + 1)
            controller.on_chunk(chunk, now)
        start = time.perf_counter()
        command = controller.step(now)
        taken[i] = 1e3 * (time.perf_counter() - start)
        if command is not None:
            q, dq = command.points[0].positions, command.points[0].velocities
        now += TICK_NS
    return taken


def query_times(count: int) -> np.ndarray:
    """Milliseconds (count,) of one query of all pairs of shapes."""
    collision, rng = SelfCollision(panda_model(), 0.01), np.random.default_rng(0)
    taken = np.empty(count)
    for i in range(count):
        q = HOME + rng.normal(0.0, 0.1, 7)
        start = time.perf_counter()
        collision.touching(q)
        taken[i] = 1e3 * (time.perf_counter() - start)
    return taken


def quantiles(taken: np.ndarray) -> dict[str, float]:
    """Median and 99th percentile [ms]."""
    return {
        "median_ms": round(float(np.median(taken)), 4),
        "p99_ms": round(float(np.quantile(taken, 0.99)), 4),
    }


def main() -> None:
    """Entry point."""
    args = tyro.cli(Args)
    results: dict[str, Any] = {
        "tick, checked": quantiles(step_times(0.01, args.ticks)),
        "tick, not checked": quantiles(step_times(-1.0, args.ticks)),
        "one query": quantiles(query_times(args.ticks)),
    }
    for name, r in results.items():
        print(f"{name:<20}{r['median_ms']:>9.4f} ms median {r['p99_ms']:>9.4f} ms p99")
    if args.output is not None:
        settings = {**asdict(args), "output": str(args.output)}
        figures = {"settings": settings, "results": results, "device": device(), "versions": versions()}
        args.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
