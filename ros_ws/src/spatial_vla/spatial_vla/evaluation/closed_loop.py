"""``python -m spatial_vla.evaluation.closed_loop``: episodes of any policy in any environment, and how many succeed.

    python -m spatial_vla.evaluation.closed_loop --episodes 20                       # what ships, in our simulation
    python -m spatial_vla.evaluation.closed_loop --policy spatialvla --policy-options folder=DIR key=NAME --ensemble 4
    python -m spatial_vla.evaluation.closed_loop --environment libero --environment-options suite=libero_spatial task=3

Without ROS: policy and environment take turns, and time stands still while the policy thinks. What a robot makes of it
is measured through the ROS graph, by ``spatial-vla eval``.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import tyro

from ..actions import ActionChunk, ActionEnsemble
from ..cli.eval import wilson
from .named import ENVIRONMENTS, POLICIES, made
from .observation import Observation, Policy
from .open_loop import write


@dataclass(frozen=True)
class Verdict:
    """How an episode stands. ``reason``: in a word why it is no success, "" if it is one."""

    success: bool
    reason: str = ""


class Environment(Protocol):
    """Where a policy acts."""

    most_steps: int
    """steps that an episode may take"""

    def reset(self, seed: int) -> Observation:
        """Begin the episode of a seed."""
        ...

    def step(self, chunk: ActionChunk, steps: int) -> Observation:
        """Let the first ``steps`` steps of a chunk be done."""
        ...

    @property
    def ended(self) -> bool:
        """True if nothing that the policy does will change the verdict any more."""
        ...

    def verdict(self) -> Verdict:
        """Judge the episode as it stands."""
        ...

    def close(self) -> None:
        """Free what the environment holds."""
        ...


@dataclass(frozen=True)
class EpisodeResult:
    """One episode: its seed and instruction, the verdict, how many steps and decisions it took, how long these [ms]."""

    seed: int
    instruction: str
    success: bool
    reason: str
    steps: int
    decisions: int
    decision_ms: float


def run_episode(
    environment: Environment,
    policy: Policy,
    seed: int,
    *,
    execute: int = 1,
    ensemble: ActionEnsemble | None = None,
) -> EpisodeResult:
    """One episode.

    Args:
        execute: steps of a chunk that are done before the policy is asked again.
        ensemble: averages what the policy said of the same step at different times.

    Raises:
        ValueError: ``execute`` exceeds the steps of a chunk.
    """
    policy.reset()
    if ensemble is not None:
        ensemble.reset()
    observation = environment.reset(seed)
    instruction, steps, taken = observation.instruction, 0, []
    while steps < environment.most_steps and not environment.ended:
        start = time.perf_counter()
        chunk = policy(observation)
        taken.append(1e3 * (time.perf_counter() - start))
        if not 1 <= execute <= chunk.steps:
            raise ValueError(
                f"{execute} steps to do of a chunk of {chunk.steps}; expected 1 to {chunk.steps}"
            )
        if ensemble is not None:
            chunk = ensemble.chunk(chunk, execute)
        doing = min(execute, environment.most_steps - steps)
        observation = environment.step(chunk, doing)
        steps += doing
    verdict = environment.verdict()
    typical = float(np.median(taken)) if taken else 0.0
    return EpisodeResult(seed, instruction, verdict.success, verdict.reason, steps, len(taken), typical)


def run_episodes(
    environment: Environment,
    policy: Policy,
    seeds: Iterable[int],
    *,
    execute: int = 1,
    ensemble: ActionEnsemble | None = None,
) -> Iterator[EpisodeResult]:
    """Episodes one after the other, as :func:`run_episode`."""
    for seed in seeds:
        yield run_episode(environment, policy, seed, execute=execute, ensemble=ensemble)


def summary(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """Success with its 95 % interval, reasons of failure, and times, ready for JSON."""
    times = [r.decision_ms for r in results if r.decisions]
    successes = sum(r.success for r in results)
    return {
        "episodes": len(results),
        "success": successes / len(results),
        "ci95": list(wilson(successes, len(results))),
        "failures": dict(Counter(r.reason for r in results if not r.success)),
        "steps": float(np.mean([r.steps for r in results])),
        "decision_ms": float(np.median(times)) if times else None,
    }


@dataclass
class ClosedLoop:
    """Success of a policy in an environment."""

    environment: str = "tabletop"
    """tabletop, places, libero, or package.module:Class."""

    environment_options: tuple[str, ...] = ()
    """key=value for it, such as task=pick"""

    policy: str = "shipped"
    """shipped, spatialvla, package.module:Class, or expert: the environment's own, where it has one."""

    policy_options: tuple[str, ...] = ()
    """key=value for it, such as folder=CHECKPOINT key=bridge_orig/1.0.0"""

    episodes: int = 20
    """How many; each has a seed of its own."""

    seed: int = 1000
    """Of the first episode; the next ones follow."""

    execute: int = 1
    """Steps of a chunk to do before the policy is asked again."""

    ensemble: int = 1
    """Predictions of a step to average; 1 averages none, SimplerEnv's is 4."""

    temperature: float = -0.8
    """Of the average: below 0, newer predictions weigh more."""

    agreement: float | None = None
    """Weigh predictions by how far they agree with the newest instead, CogACT's way; its value is 0.1."""

    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print one JSON object instead of a table."""

    output: Path | None = None
    """Also write the JSON object, with every episode, to this file."""

    def run(self) -> int:
        """Measure and print; 0 when every episode was tried, 2 when the input cannot be used."""
        try:
            ensemble = ActionEnsemble(self.ensemble, self.temperature, self.agreement)
            if self.episodes < 1:
                raise ValueError(f"{self.episodes} episodes; expected one at least")
            policy = None if self.policy == "expert" else made(POLICIES, self.policy, self.policy_options)
            environment = made(ENVIRONMENTS, self.environment, self.environment_options)
            policy = policy or _expert(environment, self.environment)
            results = self._play(environment, policy, ensemble if self.ensemble > 1 else None)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            print(f"spatial_vla.evaluation.closed_loop: {error}", file=sys.stderr)
            return 2
        figures = summary(results)
        settings = {k: v for k, v in asdict(self).items() if k not in ("output", "as_json")}
        write({**figures, "settings": settings, "outcomes": [asdict(r) for r in results]}, self.output)
        print(json.dumps(figures, indent=1) if self.as_json else table(figures))
        return 0

    def _play(
        self, environment: Environment, policy: Policy, ensemble: ActionEnsemble | None
    ) -> list[EpisodeResult]:
        results = []
        seeds = range(self.seed, self.seed + self.episodes)
        try:
            for r in run_episodes(environment, policy, seeds, execute=self.execute, ensemble=ensemble):
                print(f"{r.seed}  {r.instruction}: {r.reason or 'success'}, {r.steps} steps", file=sys.stderr)
                results.append(r)
        finally:
            environment.close()
        return results


def _expert(environment: Any, name: str) -> Policy:
    if not hasattr(environment, "expert"):
        raise ValueError(f"environment {name!r} has no expert; name a policy, such as {', '.join(POLICIES)}")
    return environment.expert()


def table(figures: dict[str, Any]) -> str:
    """The figures for a person to read."""
    low, high = figures["ci95"]
    lines = [
        f"{figures['episodes']} episodes, success {figures['success']:.1%} (95 %: {low:.1%} to {high:.1%})"
    ]
    if figures["failures"]:
        lines.append("failures: " + ", ".join(f"{k} {n}" for k, n in figures["failures"].items()))
    decision = "" if figures["decision_ms"] is None else f", a decision takes {figures['decision_ms']:.1f} ms"
    lines.append(f"{figures['steps']:.1f} steps an episode{decision}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return tyro.cli(ClosedLoop, args=arguments, description=__doc__).run()


if __name__ == "__main__":
    sys.exit(main())
