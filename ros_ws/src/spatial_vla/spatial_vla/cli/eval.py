"""``spatial-vla eval``: seeded episodes through the ROS graph, and figures about them."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

if TYPE_CHECKING:
    from spatial_vla.nodes.latency_probe import ChunkTiming

    from .session import TaskOutcome, TaskResults


@dataclass
class Eval:
    """Let the policy do seeded tasks in simulation, measured through the ROS graph, and print the figures."""

    episodes: int = 100
    """How many episodes; each has a scene and an instruction of its own."""

    seed: int = 1000
    """Seed of the first scene; the next ones follow. Training uses seeds from one million on."""

    task: Literal["", "touch", "point", "pick", "place"] = ""
    """Kind of task; drawn from the seed if empty. "place" is refused: policies of this kind were not trained on it."""

    bundle: Path | None = None
    """Folder of the policy bundle; the weights that ship with the package if not given."""

    timeout: float = 20.0
    """Simulated seconds that one episode may take."""

    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print one JSON object instead of a table."""

    output: Path | None = None
    """Also write the JSON object, with every episode, to this file."""

    log: Path = Path("runs/eval.log")
    """Where everything that the nodes say goes."""

    def run(self) -> int:
        """Return 0 when every episode was tried; 1 when something broke; 2 when the policy does not know such tasks;
        130 when interrupted. The figures of the episodes done by then are printed and written all the same.
        """
        if self.task == "place":
            print(f"spatial-vla eval: {no_places(self.bundle)}", file=sys.stderr)
            return 2
        from spatial_vla.bringup.arguments import BringupArguments

        from .session import Interrupted, RunFailed, TaskPlan, TaskResults, run_tasks

        self.log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            arguments = BringupArguments(visualize=False, params_file=self._parameters(Path(folder)))
            plan = TaskPlan(self.episodes, self.seed, self.task, self.timeout)
            results, code = TaskResults(), 0
            try:
                run_tasks(plan, arguments, self.log, results, out=sys.stderr)
            except RunFailed as error:
                print(f"spatial-vla eval: {error}", file=sys.stderr)
                code = 1
            except Interrupted:
                code = 130
        if results.outcomes:
            self._tell(results)
        return code

    def _tell(self, results: TaskResults) -> None:
        figures = {"planned": self.episodes, **summary(results.outcomes, results.timings)}
        if len(results.outcomes) < self.episodes:
            print(f"only {len(results.outcomes)} of {self.episodes} episodes were done", file=sys.stderr)
        if self.output is not None:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            details = [vars(outcome) for outcome in results.outcomes]
            self.output.write_text(json.dumps({**figures, "outcomes": details}, indent=1) + "\n")
        print(json.dumps(figures, indent=1) if self.as_json else table(figures))

    def _parameters(self, folder: Path) -> str:
        """A parameter file that makes the nodes use :attr:`bundle`; empty if they shall use their own."""
        if self.bundle is None:
            return ""
        bundle = {"ros__parameters": {"bundle": str(self.bundle.resolve())}}
        path = folder / "bundle.yaml"
        names = ("encoder_node", "decoder_node", "instruction_node")
        path.write_text(json.dumps({f"/**/{name}": bundle for name in names}))
        return str(path)


def no_places(bundle: Path | None) -> str:
    """Why place tasks are not run through the graph."""
    from spatial_vla.language.grammar import VERBS
    from spatial_vla.policy import default_bundle, read_manifest

    folder = default_bundle() if bundle is None else bundle
    reserved = read_manifest(folder).reserved[:3]
    beyond = (
        f" (words such as {', '.join(reserved)} in its manifest are reserved, not trained)"
        if reserved
        else ""
    )
    return (
        f"no episode was run: the policy {folder} was trained to {', '.join(VERBS)} an object by its name, not on "
        f"tasks that name a place{beyond}. Such episodes, without ROS: python -m spatial_vla.evaluation.closed_loop "
        "--environment places --policy expert, or --policy of one that was trained on them"
    )


def summary(outcomes: list[TaskOutcome], timings: list[ChunkTiming]) -> dict[str, Any]:
    """The figures of an evaluation, ready for JSON."""
    from spatial_vla.report.environment import device, versions

    verbs = sorted({outcome.verb for outcome in outcomes})
    stages = {
        field.name: quantiles(getattr(t, field.name) for t in timings)
        for field in (fields(timings[0]) if timings else ())
    }
    return {
        "episodes": len(outcomes),
        **rate(outcomes),
        "by_task": {v: rate([o for o in outcomes if o.verb == v]) for v in verbs},
        "latency_ms": stages.pop("image_to_command", None),
        "stages_ms": stages,
        "chunks_timed": len(timings),
        "failures": dict(Counter(o.failure or o.message for o in outcomes if not o.success)),
        "duration_s": quantiles(o.duration for o in outcomes),
        "device": device(),
        "versions": versions(),
    }


def rate(outcomes: list[TaskOutcome]) -> dict[str, Any]:
    """Share of successes with its 95 % confidence interval (Wilson)."""
    n, k = len(outcomes), sum(outcome.success for outcome in outcomes)
    return {"episodes": n, "success": k / n, "ci95": list(wilson(k, n))}


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval for a proportion (JASA 22, 1927)."""
    p, spread = successes / trials, z * z / trials
    centre = (p + spread / 2) / (1 + spread)
    half = z / (1 + spread) * float(np.sqrt(p * (1 - p) / trials + spread / (4 * trials)))
    return round(centre - half, 4), round(centre + half, 4)


def quantiles(values: Iterable[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    array = np.array(list(values))
    return {"median": round(float(np.median(array)), 2), "p99": round(float(np.quantile(array, 0.99)), 2)}


def table(figures: dict[str, Any]) -> str:
    """The figures for a person to read."""
    rows = [("all", figures), *figures["by_task"].items()]
    lines = [f"{'task':<8}{'episodes':>9}{'success':>9}   95 % interval"]
    for name, r in rows:
        low, high = r["ci95"]
        lines.append(f"{name:<8}{r['episodes']:>9}{r['success']:>9.1%}   {low:.1%} to {high:.1%}")
    lines.append(f"\n{'stage [ms]':<18}{'median':>8}{'p99':>8}")
    for name, q in (("image_to_command", figures["latency_ms"]), *figures["stages_ms"].items()):
        if q is not None:
            lines.append(f"{name:<18}{q['median']:>8.1f}{q['p99']:>8.1f}")
    if figures["failures"]:
        lines.append("\nfailures: " + ", ".join(f"{k} {n}" for k, n in figures["failures"].items()))
    return "\n".join(lines)
