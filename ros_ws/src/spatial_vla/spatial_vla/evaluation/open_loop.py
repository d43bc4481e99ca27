"""``python -m spatial_vla.evaluation.open_loop``: how far is what a policy says from what was done in recorded steps?

    python -m spatial_vla.evaluation.open_loop RECORDING                                  # the policy that ships
    python -m spatial_vla.evaluation.open_loop RECORDING --policy spatialvla --policy-options folder=DIR key=bridge

An open-loop error says nothing about what a policy makes of its own mistakes; closed_loop does. Beside it stands the
error of doing nothing, which a policy that has learned anything must beat.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import tyro
from numpy.typing import ArrayLike, NDArray

from ..geometry import matrix_to_rotvec, rotvec_to_matrix
from ..report.environment import device, versions
from .named import DATA_SETS, POLICIES, made
from .observation import Observation, Policy

Array = NDArray[np.float64]
DIMENSIONS = ("x", "y", "z", "rx", "ry", "rz")
UNITS = np.array([1e3] * 3 + [180.0 / np.pi] * 3)  # m to mm, rad to degrees


@dataclass(frozen=True, eq=False)
class Sample:
    """A moment, and what was done from there on.

    Attributes:
        observation: what the policy is shown.
        actions: (T, 7) x, y, z [m], rotation vector [rad], gripper, as in an action chunk.
    """

    observation: Observation
    actions: Array


class ActionSet(Protocol):
    """Moments with what was done; a sequence of them will do."""

    def __len__(self) -> int:
        """Number of moments."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """One of them, counted from 0."""
        ...


def open_loop_error(predicted: ArrayLike, done: ArrayLike) -> dict[str, Any]:
    """Error of predicted steps.

    Args:
        predicted, done: (N, T, 7) x, y, z [m], rotation vector [rad], gripper in [0, 1].

    Returns:
        For JSON. ``mean`` absolute error and 99 % quantile ``p99`` by dimension [mm, degrees], mean length
        ``translation_mm`` of the error and mean angle ``rotation_deg`` between the rotations, ``gripper``: share of the
        steps with the gripper as it was, ``by_step``: the same three for each of the T steps.

    Raises:
        ValueError: shapes differ, or a number is NaN or infinite.
    """
    said, was = np.asarray(predicted, dtype=np.float64), np.asarray(done, dtype=np.float64)
    if said.shape != was.shape or said.ndim != 3 or said.shape[-1] != 7 or not said.size:
        raise ValueError(f"steps predicted {said.shape} and done {was.shape}; expected both (N, T, 7), N > 0")
    if not (np.isfinite(said).all() and np.isfinite(was).all()):
        raise ValueError(
            "steps hold NaN or infinite numbers; expected metres, radians and a gripper in [0, 1]"
        )
    off = np.abs(said - was)[..., :6] * UNITS
    length = np.linalg.norm(off[..., :3], axis=-1)
    angle = _angles(said[..., 3:6], was[..., 3:6])
    same = (said[..., 6] >= 0.5) == (was[..., 6] >= 0.5)
    flat = off.reshape(-1, 6)
    return {
        "mean": dict(zip(DIMENSIONS, flat.mean(0).tolist(), strict=True)),
        "p99": dict(zip(DIMENSIONS, np.quantile(flat, 0.99, axis=0).tolist(), strict=True)),
        "translation_mm": float(length.mean()),
        "rotation_deg": float(angle.mean()),
        "gripper": float(same.mean()),
        "by_step": {
            "translation_mm": length.mean(0).tolist(),
            "rotation_deg": angle.mean(0).tolist(),
            "gripper": same.mean(0).tolist(),
        },
    }


def _angles(first: Array, second: Array) -> Array:
    """Angle between rotations given as rotation vectors (..., 3) [degrees]."""
    pairs = zip(first.reshape(-1, 3), second.reshape(-1, 3), strict=True)
    between = [
        np.linalg.norm(matrix_to_rotvec(rotvec_to_matrix(a).T @ rotvec_to_matrix(b))) for a, b in pairs
    ]
    return np.rad2deg(np.reshape(between, first.shape[:-1]))


def evaluate(policy: Policy, samples: Iterable[Sample]) -> dict[str, Any]:
    """The policy's error on moments, each as if it were the first; beside it that of doing nothing.

    Raises:
        ValueError: there are no moments, or the policy's steps are fewer than were recorded.
    """
    said, was, taken = [], [], []
    for sample in samples:
        policy.reset()
        start = time.perf_counter()
        chunk = policy(sample.observation)
        taken.append(1e3 * (time.perf_counter() - start))
        steps = min(chunk.steps, len(sample.actions))
        said.append(np.column_stack((chunk.deltas, chunk.gripper))[:steps])
        was.append(sample.actions[:steps])
    if not said:
        raise ValueError("no moments to evaluate on; give a data set with at least one")
    done = np.stack(was)
    nothing = np.zeros_like(done)
    nothing[..., 6] = done[..., 6] >= 0.5  # the hand stays as it was asked to be
    return {
        "moments": len(said),
        "steps": done.shape[1],
        "policy": open_loop_error(np.stack(said), done),
        "standing still": open_loop_error(nothing, done),
        "answer_ms": {"median": float(np.median(taken)), "p99": float(np.quantile(taken, 0.99))},
    }


def spread(data: ActionSet, most: int) -> list[int]:
    """Indices of at most ``most`` moments, evenly spread over a data set."""
    return np.unique(np.linspace(0, len(data) - 1, min(most, len(data))).astype(int)).tolist()


def table(figures: dict[str, Any]) -> str:
    """The figures for a person to read."""
    head = ["", *(f"{d} [mm]" for d in DIMENSIONS[:3]), *(f"{d} [deg]" for d in DIMENSIONS[3:])]
    rows = [[*head, "length [mm]", "angle [deg]", "gripper"]]
    for name in ("policy", "standing still"):
        found = figures[name]
        cells = [f"{found['mean'][d]:.2f}" for d in DIMENSIONS]
        lengths = [f"{found['translation_mm']:.2f}", f"{found['rotation_deg']:.2f}"]
        rows.append([name, *cells, *lengths, f"{found['gripper']:.1%}"])
    lines = ["".join(f"{cell:>{16 if not i else 12}}" for i, cell in enumerate(row)) for row in rows]
    answer = figures["answer_ms"]
    lines.append(
        f"{figures['moments']} moments of {figures['steps']} steps; an answer takes {answer['median']:.1f} ms "
        f"(99 %: {answer['p99']:.1f})"
    )
    return "\n".join(lines)


@dataclass
class OpenLoop:
    """Error of a policy's steps on recorded ones, by dimension."""

    data: tyro.conf.Positional[str]
    """Folder of a recording; with --data-set, what that class takes first."""

    policy: str = "shipped"
    """shipped, spatialvla, or package.module:Class."""

    policy_options: tuple[str, ...] = ()
    """key=value for it, such as folder=CHECKPOINT key=bridge_orig/1.0.0"""

    data_set: str = "recorded"
    """recorded, or package.module:Class."""

    data_options: tuple[str, ...] = ()
    """key=value for it, such as only_last=2"""

    moments: int = 200
    """most moments, evenly spread"""

    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print one JSON object instead of a table."""

    output: Path | None = None
    """Also write the JSON object to this file."""

    def run(self) -> int:
        """Measure and print; 0 when done, 2 when the input cannot be used."""
        try:
            data = made(DATA_SETS, self.data_set, (f"root={json.dumps(self.data)}", *self.data_options))
            policy = made(POLICIES, self.policy, self.policy_options)
            figures = evaluate(policy, (data[i] for i in spread(data, self.moments)))
        except (OSError, ValueError, KeyError, ImportError) as error:
            print(f"spatial_vla.evaluation.open_loop: {error}", file=sys.stderr)
            return 2
        settings = {"policy": self.policy, "policy_options": self.policy_options, "data": self.data}
        write({**figures, "settings": settings}, self.output)
        print(json.dumps(figures, indent=1) if self.as_json else table(figures))
        return 0


def write(figures: dict[str, Any], path: Path | None) -> None:
    """Figures with device and versions as JSON, if there is a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**figures, "device": device(), "versions": versions()}, indent=1)
        path.write_text(text + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return tyro.cli(OpenLoop, args=arguments, description=__doc__).run()


if __name__ == "__main__":
    sys.exit(main())
