"""How long does a transform look-up take while transforms keep arriving?

    python benchmarks/tf.py --output benchmarks/results/tf.json

A chain of moving edges at 100 Hz with a full cache of 10 s, asked for times between samples; then the same with a
second thread inserting, and for comparison pytransform3d's TemporalTransformManager. The aim is a median of 0.2 ms for
8 edges. The buffer is the one that the nodes use here: tf2_ros where it is installed, else our own.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from geometry_msgs.msg import TransformStamped
from pytransform3d.transform_manager import NumpyTimeseriesTransform, TemporalTransformManager
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from spatial_vla.report.environment import device, versions
from spatial_vla.tf import BACK_END, Buffer

AIM_MS = 0.2
RATE, CACHE = 100, 10
SECOND = 1_000_000_000


@dataclass
class Args:
    """Measure look-ups."""

    edges: int = 8
    """length of the chain"""
    lookups: int = 5000
    """how many look-ups are timed per case"""
    output: Path | None = None
    """file for the figures"""


def samples(edges: int) -> tuple[np.ndarray, np.ndarray]:
    """Stamps (n,) [s] and poses (edges, n, 7): x, y, z and quaternion x, y, z, w."""
    rng = np.random.default_rng(0)
    stamps = 100.0 + np.arange(RATE * CACHE) / RATE
    poses = np.empty((edges, len(stamps), 7))
    for edge in range(edges):
        poses[edge, :, :3] = rng.normal(size=3) + np.outer(stamps - 100.0, rng.normal(size=3)) * 0.1
        turn = np.outer(stamps - 100.0, rng.normal(size=3)) * 0.2
        poses[edge, :, 3:] = Rotation.from_rotvec(turn).as_quat()
    return stamps, poses


def message(edge: int, stamp: float, pose: np.ndarray) -> TransformStamped:
    """One edge of the chain."""
    transform = TransformStamped(child_frame_id=f"f{edge + 1}")
    transform.header.frame_id = f"f{edge}"
    transform.header.stamp = Time(nanoseconds=round(stamp * SECOND)).to_msg()
    t, q = transform.transform.translation, transform.transform.rotation
    t.x, t.y, t.z, q.x, q.y, q.z, q.w = map(float, pose)
    return transform


def timed(look_up: Callable[[float], Any], times: np.ndarray) -> dict[str, float]:
    """Median and 99th percentile [ms]."""
    taken = []
    for t in times:
        start = time.perf_counter()
        look_up(float(t))
        taken.append(1e3 * (time.perf_counter() - start))
    quantiles = {"median_ms": float(np.median(taken)), "p99_ms": float(np.quantile(taken, 0.99))}
    return {name: round(value, 4) for name, value in quantiles.items()}


def main() -> None:
    """Entry point."""
    args = tyro.cli(Args)
    stamps, poses = samples(args.edges)
    buffer = Buffer()
    for i, stamp in enumerate(stamps):
        for edge in range(args.edges):
            buffer.set_transform(message(edge, stamp, poses[edge, i]), "benchmark")
    end = f"f{args.edges}"
    times = np.random.default_rng(1).uniform(stamps[0] + 0.1, stamps[-1], args.lookups)

    def at(t: float) -> TransformStamped:
        return buffer.lookup_transform("f0", end, Time(nanoseconds=round(t * SECOND)))

    results = {"at a time": timed(at, times)}
    results["latest"] = timed(lambda _: buffer.lookup_transform("f0", end, Time()), times)
    done = threading.Event()

    def keep_inserting() -> None:
        """A side branch at its real rate, so that the chain that is asked for stays as it is."""
        tick = 0
        while not done.wait(1.0 / RATE):
            for edge in range(args.edges):
                side = message(edge, stamps[-1] + tick / RATE, poses[edge, tick % len(stamps)])
                side.child_frame_id = f"side{edge}"
                buffer.set_transform(side, "benchmark")
            tick += 1

    writer = threading.Thread(target=keep_inserting)
    writer.start()
    results["while inserting"] = timed(at, times)
    done.set()
    writer.join()
    oracle = TemporalTransformManager()
    for edge in range(args.edges):
        series = NumpyTimeseriesTransform(stamps, poses[edge][:, [0, 1, 2, 6, 3, 4, 5]])
        oracle.add_transform(f"f{edge + 1}", f"f{edge}", series)
    results["pytransform3d"] = timed(
        lambda t: oracle.get_transform_at_time(end, "f0", t), times[: max(args.lookups // 20, 1)]
    )
    print(f"{args.edges} edges, {len(stamps)} samples each, back end {BACK_END}")
    for name, r in results.items():
        print(f"{name:<18}{r['median_ms']:>9.4f} ms median {r['p99_ms']:>9.4f} ms p99")
    met = results["at a time"]["median_ms"] <= AIM_MS
    print(f"aim {AIM_MS} ms median: {'met' if met else 'MISSED'}")
    if args.output is not None:
        settings = {**asdict(args), "output": str(args.output), "back_end": BACK_END}
        figures = {"settings": settings, "results": results, "device": device(), "versions": versions()}
        args.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
