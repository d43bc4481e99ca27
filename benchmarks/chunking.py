"""How rough are the borders between chunks, and how far off is the arm, by the way one chunk follows another?

    python benchmarks/chunking.py --output benchmarks/results/chunking.json

The streams of ``tracking.py`` (a figure-eight, random walks; 4 steps of 0.2 s, a new chunk every 0.2 s) go through the
motion stage to the simulated Panda, once for each way of putting chunks together:

* naive: each chunk's way-points joined by straight lines, from where the arm was when the chunk came;
* cross-fade: the default of the motion stage;
* real-time: ``real_time_chunking``, the chunk itself goes over from what is being executed of the last one.

Chunks arrive 50, 150 or 300 ms after what they were made from. Those that "agree" all tell the same future; those that
"disagree" are each off by errors of their own. As a policy that sees the scene would, a stream steers back to its path
by a share of how far the command was off it at the observation, so that "off the path" does not grow without end.
"Borders" are the 50 ms after a chunk's arrival; accelerations and jerks are differences of what was commanded, behind
the limits that hold for all, and for "asked" of what the limits were given.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pinocchio as pin
import tyro
from numpy.typing import NDArray
from spatial_vla.actions import ActionChunk
from spatial_vla.actions.chunk import NANOSECONDS
from spatial_vla.geometry import SE3
from spatial_vla.motion import CartesianLimits, MotionController
from spatial_vla.motion.history import Setpoint
from spatial_vla.motion.measurement import pose_error
from spatial_vla.motion.panda import panda_limits, panda_model
from spatial_vla.motion.reference import ReferenceGenerator
from spatial_vla.report.environment import device, versions
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World
from tracking import BORDER, DT, STEPS, TICK, figure_eight, random_walk, rms

Array = NDArray[np.float64]
Velocity = Callable[[float], Array]

TICKS_PER_CHUNK = round(DT / TICK)
WARM_UP = 200  # ticks that do not count: the streams begin at full speed
STEERING = 1.0  # 1/s
#: Error of each step of a chunk that disagrees, standard deviation per axis [m, rad].
DISAGREEMENT = np.array([0.01] * 3 + [0.05] * 3)
AGES = (0.05, 0.15, 0.3)


@dataclass
class Args:
    """Compare ways of putting chunks together."""

    seconds: float = 20.0
    """simulated time per stream"""
    walks: int = 3
    """random streams"""
    output: Path | None = None
    """file for the figures"""


class NaiveConcatenation(ReferenceGenerator):
    """Plays each chunk from its first step on when it comes, at the constant speed of each step."""

    _begun_ns = 0

    def accept(self, chunk: ActionChunk, now_ns: int) -> int:
        """Begin with the chunk at once, whatever its age."""
        self._chunk, self._begun_ns = chunk, max(now_ns, self._history.last_ns)
        self._begun_at = self._history.last.pose
        return 0

    @property
    def end_ns(self) -> int:
        """When no step is left."""
        chunk = self._chunk
        return 0 if chunk is None else self._begun_ns + chunk.steps * round(chunk.dt * NANOSECONDS)

    def sample(self, stamp_ns: int) -> Setpoint:
        """Where the straight line is at a time."""
        chunk = self._chunk
        if chunk is None or not self.active(stamp_ns):
            return Setpoint.at_rest(self._history.last.pose)
        pose, left = self._begun_at, (stamp_ns - self._begun_ns) * 1e-9 / chunk.dt
        for delta in chunk.deltas:
            part = min(left, 1.0)
            pose = SE3(pin.exp3(part * delta[3:]) @ pose.rotation, pose.translation + part * delta[:3])
            if left <= 1.0:
                return Setpoint(pose, delta / chunk.dt)
            left -= 1.0
        return Setpoint.at_rest(pose)


WAYS: dict[str, Callable[[CartesianLimits], ReferenceGenerator]] = {
    "naive": NaiveConcatenation,
    "cross-fade": ReferenceGenerator,
    "real-time": lambda limits: ReferenceGenerator(limits, continuous=True),
}


@dataclass
class Run:
    """What happened, tick by tick: poses asked for, commanded, reached by the tool, and of the stream's own path."""

    asked: list[SE3] = field(default_factory=list)
    commanded: list[SE3] = field(default_factory=list)
    tool: list[SE3] = field(default_factory=list)
    path: list[SE3] = field(default_factory=list)


def follow(way: str, velocity: Velocity, age: float, disagreement: Array, seconds: float) -> Run:
    """One stream through the motion stage to the arm.

    Raises:
        RuntimeError: the arm does not start, stops, or refuses a chunk.
    """
    world, model = World(camera_size=32), panda_model()
    world.reset(sample_scene(0, "touch"))
    controller = MotionController(model, panda_limits())
    generator = WAYS[way](controller.limits.cartesian)
    controller._reference = generator
    rng = np.random.default_rng(0)
    q, dq, _ = world.joint_state()
    controller.on_joint_state(q, dq, world.time_ns)
    if not (verdict := controller.arm(q, world.time_ns)):
        raise RuntimeError(verdict.reason)
    run, begun_ns = Run(), world.time_ns
    path = [model.forward(q)]
    for tick in range(round(seconds / TICK)):
        now = world.time_ns
        q, dq, _ = world.joint_state()
        controller.on_joint_state(q, dq, now)
        if tick % TICKS_PER_CHUNK == 0:
            stamp = now - round(age * 1e9)
            start = (stamp - begun_ns) * 1e-9
            seen = max(tick - round(age / TICK), 0)
            back = STEERING * DT * apart(generator.commanded(stamp).pose, path[seen])
            deltas = np.array([velocity(max(start + i * DT, 0.0)) * DT - back for i in range(STEPS)])
            deltas += rng.normal(0.0, 1.0, deltas.shape) * disagreement
            chunk = ActionChunk(stamp, DT, "panda_link0", deltas, np.ones(STEPS), tick + 1)
            if not (verdict := controller.on_chunk(chunk, now)):
                raise RuntimeError(verdict.reason)
        run.asked.append(generator.sample(now + round(TICK * 1e9)).pose)
        command = controller.step(now)
        reference = controller.status().reference
        if command is None or reference is None:
            raise RuntimeError(f"the arm stopped: {controller.status().reason}")
        world.set_arm_command([(p.time_from_start, p.positions, p.velocities) for p in command.points])
        world.step(TICK)
        step = velocity(tick * TICK) * TICK
        path.append(SE3(pin.exp3(step[3:]) @ path[-1].rotation, path[-1].translation + step[:3]))
        run.commanded.append(reference)
        run.tool.append(world.tcp_pose())
        run.path.append(path[-1])
    return run


def apart(a: SE3, b: SE3) -> Array:
    """Translation and rotation vector (6,) from ``b`` to ``a``."""
    return np.concatenate((a.translation - b.translation, pin.log3(a.rotation @ b.rotation.T)))


def at_borders(poses: list[SE3]) -> dict[str, Array]:
    """Sizes of acceleration and jerk, of position and rotation, within ``BORDER`` ticks after a chunk's arrival."""
    twist = np.array([apart(b, a) for a, b in pairwise(poses)]) / TICK
    found = {}
    for order, name in ((1, "acceleration"), (2, "jerk")):
        change = np.diff(twist, n=order, axis=0) / TICK**order
        ticks = np.arange(len(change)) + order  # of the pose that came last but one: the newest is one later
        border = (ticks % TICKS_PER_CHUNK < BORDER) & (ticks >= WARM_UP)
        found[name] = np.linalg.norm(change[border, :3], axis=1)
        found[f"angular_{name}"] = np.linalg.norm(change[border, 3:], axis=1)
    return found


def errors(a: list[SE3], b: list[SE3]) -> tuple[Array, Array]:
    """Distances [mm] and angles [degrees] between poses of the same ticks."""
    distance, angle = np.array([pose_error(x, y) for x, y in zip(a[WARM_UP:], b[WARM_UP:], strict=True)]).T
    return 1e3 * distance, np.degrees(angle)


def figures(runs: list[Run]) -> dict[str, Any]:
    """Figures of runs taken together."""
    result: dict[str, Any] = {}
    for what in ("asked", "commanded"):
        borders = [at_borders(getattr(run, what)) for run in runs]
        result[what] = {
            name: spread(np.concatenate([border[name] for border in borders])) for name in borders[0]
        }
    for name, pair in (
        ("tool_to_command", ("tool", "commanded")),
        ("command_to_path", ("commanded", "path")),
    ):
        found = [errors(*(getattr(run, which) for which in pair)) for run in runs]
        distance, angle = (np.concatenate(values) for values in zip(*found, strict=True))
        result[name] = {"rms_mm": rms(distance), "rms_deg": rms(angle)}
    return result


def spread(values: Array) -> dict[str, float]:
    """Median, 99th percentile and root mean square."""
    median, p99 = np.percentile(values, (50, 99)).tolist()
    return {"median": median, "p99": p99, "rms": rms(values)}


def compare(args: Args) -> dict[str, Any]:
    """All ways on all streams; ratios are naive to cross-fade and cross-fade to real-time, of root mean squares."""
    kinds = {"figure-eight": [figure_eight], "random": [random_walk(i) for i in range(args.walks)]}
    results: dict[str, Any] = {}
    for kind, streams in kinds.items():
        for chunks, disagreement in (("agree", np.zeros(6)), ("disagree", DISAGREEMENT)):
            for age in AGES:
                found: dict[str, Any] = {}
                for way in WAYS:
                    runs = [follow(way, v, age, disagreement, args.seconds) for v in streams]
                    found[way] = figures(runs)
                found["ratios"] = {
                    f"{a} / {b}": {
                        name: found[a]["commanded"][name]["rms"] / found[b]["commanded"][name]["rms"]
                        for name in found[a]["commanded"]
                    }
                    for a, b in (("naive", "cross-fade"), ("cross-fade", "real-time"))
                }
                results[f"{kind}, {chunks}, {round(1e3 * age)} ms"] = found
    return results


def main() -> None:
    """Entry point."""
    args = tyro.cli(Args)
    results = compare(args)
    heads = ("asked, m/s2", "m/s3", "commanded, m/s2", "m/s3", "tool to command", "off the path")
    print(f"{'at borders':<14}" + "".join(f"{head:>{30 if i < 4 else 18}}" for i, head in enumerate(heads)))
    print(f"{'':<14}" + f"{'median':>10}{'p99':>10}{'RMS':>10}" * 4 + f"{'mm':>9}{'deg':>9}" * 2)
    for name, found in results.items():
        print(name)
        for way in WAYS:
            row = found[way]
            sizes = [row[what][size] for what in ("asked", "commanded") for size in ("acceleration", "jerk")]
            off = [row[what] for what in ("tool_to_command", "command_to_path")]
            print(
                f"  {way:<12}"
                + "".join(f"{s['median']:>10.2f}{s['p99']:>10.1f}{s['rms']:>10.2f}" for s in sizes)
                + "".join(f"{o['rms_mm']:>9.2f}{o['rms_deg']:>9.3f}" for o in off)
            )
    if args.output is not None:
        settings = {**asdict(args), "output": str(args.output), "disagreement": DISAGREEMENT.tolist()}
        content = {"settings": settings, "results": results, "device": device(), "versions": versions()}
        args.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
