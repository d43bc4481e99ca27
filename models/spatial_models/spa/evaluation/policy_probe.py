"""Policy probe: how well does a small policy on frozen features imitate Meta-World's own scripted experts?

    python -m spatial_models.spa.evaluation.policy_probe CHECKPOINT hammer-v3 --out probe.json

The protocol is VC-1's single-task one, which SPA's paper follows: 25 expert demonstrations, class token of the frozen
encoder, three frames fused with their differences, the state of hand and gripper added, an MLP 256-256-256 with batch
normalisation, mean squared error, rate 1e-3, batches of 256, 100 epochs, 25 rollouts every 5 epochs, the best kept.

What the best of twenty evaluations reaches is flattered by the choice. So the best policy is rolled out once more from
starts that had no part in choosing it; that is the success rate to quote, with its 95 % interval (Wilson). Both are
reported. Pictures reach the encoder in [0, 1] and are normalised once, inside it.
"""

from __future__ import annotations

import copy
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich import print
from scipy.stats import binomtest
from torch import Tensor

from .behaviour_cloning import Episode, Policy, acting, imitate
from .frozen import Encoder, frozen, summaries
from .metaworld import MetaWorld, interpreter
from .metaworld.client import Renderer

#: First seeds of the three sets of starts. They never meet.
DEMONSTRATION_SEEDS, SELECTION_SEEDS, TEST_SEEDS = 0, 1_000_000, 2_000_000

#: What decides: episodes that go on, to their actions (n, A). None lets the expert act.
Actor = Callable[[Sequence[Episode]], Tensor]


@dataclass
class PolicyProbeArgs:
    """Success rate of a policy on frozen features that imitates Meta-World's scripted expert."""

    checkpoint: Annotated[str, tyro.conf.Positional]
    """checkpoint of the encoder: a file or owner/name:file on the Hub"""
    task: Annotated[str, tyro.conf.Positional]
    """Meta-World's name of the task; VC-1 uses assembly-v3, bin-picking-v3, button-press-topdown-v3, drawer-open-v3,
    hammer-v3"""
    out: Path = Path("policy_probe.json")
    """where the figures go"""
    demonstrations: int = 25
    """successful demonstrations of the expert"""
    rollouts: int = 25
    """rollouts of every evaluation"""
    epochs: int = 100
    """epochs of training"""
    every: int = 5
    """epochs between evaluations"""
    horizon: int = 500
    """steps after which a rollout has failed; 500 is Meta-World's, the experts need 80 on average"""
    camera: str = "corner2"
    """camera of Meta-World's scene"""
    renderer: Renderer = "gl"
    """gl: MuJoCo's own, wants EGL or OSMesa; rays: no graphics library, flat colours"""
    workers: int = 2
    """environments that run at once, each a process"""
    seed: int = 0
    """of the policy's weights and batches; the starts are always the same"""
    device: str = "cpu"
    """where encoder and policy run"""
    python: Path | None = None
    """interpreter with Meta-World; the default looks for .venv-metaworld"""


def play(
    environments: Sequence[MetaWorld],
    encoder: Encoder,
    seeds: Iterable[int],
    horizon: int,
    act: Actor | None,
) -> Iterator[Episode]:
    """Play an episode from every seed, as many at once as there are environments.

    Args:
        horizon: most steps. act: who acts; None for the scripted expert.

    Yields:
        Episodes as they end: at the first success, or at the horizon.
    """
    waiting, running = deque(seeds), dict[MetaWorld, Episode]()
    while waiting or running:
        _ask_for_steps(running, act)
        for environment in environments:
            if waiting and environment not in running:
                running[environment] = Episode(waiting.popleft())
                environment.request("reset", running[environment].seed)
        seen = [environment.observe() for environment in running]
        features = summaries(encoder, [o.image for o in seen])
        for (environment, episode), observation, feature in zip(
            list(running.items()), seen, features, strict=True
        ):
            episode.features.append(feature)
            episode.proprioception.append(torch.from_numpy(observation.proprioception))
            episode.success |= observation.success
            if observation.action is not None:
                episode.actions.append(torch.from_numpy(observation.action))
            if episode.success or len(episode.features) > horizon:
                del running[environment]
                yield episode


def _ask_for_steps(running: dict[MetaWorld, Episode], act: Actor | None) -> None:
    if act is None:
        for environment in running:
            environment.request("expert_step")
    elif running:
        for (environment, episode), action in zip(running.items(), act(list(running.values())), strict=True):
            episode.actions.append(action)
            environment.request("step", action.numpy())


def demonstrate(
    environments: Sequence[MetaWorld], encoder: Encoder, number: int, horizon: int
) -> list[Episode]:
    """The expert's first ``number`` successful episodes.

    Raises:
        RuntimeError: the expert fails more often than it succeeds.
    """
    done: list[Episode] = []
    seeds = count(DEMONSTRATION_SEEDS)
    tried = 0
    while len(done) < number:
        if tried >= 2 * number:
            raise RuntimeError(
                f"the expert of {environments[0].task} succeeded in {len(done)} of {tried} episodes of {horizon} "
                "steps; a longer horizon may help"
            )
        batch = list(islice(seeds, number - len(done)))
        tried += len(batch)
        done += [e for e in play(environments, encoder, batch, horizon, None) if e.success]
    return sorted(done, key=lambda episode: episode.seed)


def success_rate(successes: int, trials: int) -> dict[str, Any]:
    """Share of successes with its 95 % interval (Wilson)."""
    low, high = binomtest(successes, trials).proportion_ci(method="wilson")
    return {"successes": successes, "rollouts": trials, "success": successes / trials, "ci95": [low, high]}


def probe(encoder: Encoder, environments: Sequence[MetaWorld], args: PolicyProbeArgs) -> dict[str, Any]:
    """Run the protocol; the result is what is written as JSON."""
    started = time.monotonic()
    demonstrations = demonstrate(environments, encoder, args.demonstrations, args.horizon)

    def rolled_out(policy: Policy, first: int) -> dict[str, Any]:
        seeds = range(first, first + args.rollouts)
        act = acting(policy, args.device)
        return success_rate(
            sum(e.success for e in play(environments, encoder, seeds, args.horizon, act)), args.rollouts
        )

    evaluations: list[dict[str, Any]] = []
    best, kept = -1.0, None
    for epoch, loss, policy in imitate(demonstrations, args.epochs, seed=args.seed, device=args.device):
        if epoch % args.every and epoch != args.epochs:
            continue
        evaluations.append({"epoch": epoch, "loss": loss, **rolled_out(policy, SELECTION_SEEDS)})
        print(f"epoch {epoch}: loss {loss:.4f}, success {evaluations[-1]['success']:.2f}")
        if evaluations[-1]["success"] > best:
            best, kept = evaluations[-1]["success"], copy.deepcopy(policy)
    assert kept is not None
    return {
        "test": rolled_out(kept, TEST_SEEDS),
        "best_of_evaluations": best,
        "evaluations": evaluations,
        "demonstration_steps": sum(len(e.actions) for e in demonstrations),
        "settings": {name: str(v) if isinstance(v, Path) else v for name, v in asdict(args).items()},
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> None:
    """Command line."""
    args = tyro.cli(PolicyProbeArgs, description=__doc__)
    python = interpreter(args.python)
    encoder = frozen(args.checkpoint, device=args.device)
    with ExitStack() as stack:
        environments = [
            stack.enter_context(MetaWorld(args.task, args.camera, encoder.image_size, args.renderer, python))
            for _ in range(args.workers)
        ]
        figures = probe(encoder, environments, args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    test = figures["test"]
    low, high = test["ci95"]
    print(
        f"{args.task}: success {test['success']:.2f} [{low:.2f}, {high:.2f}] of {test['rollouts']} fresh rollouts; "
        f"best of {len(figures['evaluations'])} evaluations {figures['best_of_evaluations']:.2f}. Written to {args.out}"
    )


if __name__ == "__main__":
    main()
