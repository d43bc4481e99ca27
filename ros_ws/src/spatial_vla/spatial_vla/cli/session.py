"""A bring-up with tasks to do: the nodes are looked after in this thread while another one drives the episodes."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.domain import DomainTaken, claimed_domain
from spatial_vla.bringup.node_list import bringup_nodes
from spatial_vla.bringup.runner import Runner
from spatial_vla.nodes.episode_client import EpisodeClient, NoAnswer, Progress

from .progress import InstructionLine
from .signals import stop_on_signal

if TYPE_CHECKING:
    from .run import Run

START_TIMEOUT = 90.0
"""From the start of the first process until everything answers [s]."""
LOG_TAIL = 25
"""Lines of the log shown when something breaks."""


class RunFailed(RuntimeError):
    """The run cannot go on; the message says why."""


class Interrupted(RuntimeError):
    """The user asked to stop."""


@dataclass(frozen=True)
class TaskOutcome:
    """One task and how it ended.

    Attributes:
        success: the referee's verdict; the policy does not see it.
        failure: the referee's class of failure, empty when none.
        distance: tool centre point to the named object at the end [m].
        duration: simulated seconds.
        chunk_ms: image stamp to action chunk, last one [ms].
    """

    seed: int
    instruction: str
    success: bool
    failure: str
    message: str
    distance: float
    duration: float
    chunks: int
    chunk_ms: float


def run_tasks(run: Run, folder: Path) -> list[TaskOutcome]:
    """Bring everything up, do the tasks, and take everything down; the recording ends up in ``folder``.

    Raises:
        RunFailed: a node is missing, does not answer or keeps dying; the message has the end of the log.
        Interrupted: SIGINT or SIGTERM came.
    """
    stop = stop_on_signal()
    log = NodeLog(folder / "nodes.log")
    arguments = BringupArguments(use_respawn=True, rviz=run.rviz, record=str(folder))
    try:
        with claimed_domain(any_free=True), InstructionLine("starting the nodes") as line:
            runner = Runner(bringup_nodes(arguments), output=log)
            try:
                return _supervise(run, runner, line, stop)
            finally:
                line.label("stopping the nodes")
                runner.stop()
    except (NoAnswer, FileNotFoundError, DomainTaken) as error:
        raise RunFailed(f"{log.tail()}{error}\nEverything the nodes said: {log.path}") from error
    finally:
        log.close()


def _supervise(run: Run, runner: Runner, line: InstructionLine, stop: threading.Event) -> list[TaskOutcome]:
    runner.start()
    with EpisodeClient() as client, ThreadPoolExecutor(1, "tasks") as worker:
        tasks = worker.submit(_do_tasks, run, client, line)
        try:
            while not tasks.done():
                if stop.wait(0.1):
                    raise Interrupted
                if fatal := runner.poll():
                    raise NoAnswer(fatal)
        except BaseException:
            # Wakes the other thread, which the executor waits for.
            client.close()
            raise
        return tasks.result()


def _do_tasks(run: Run, client: EpisodeClient, line: InstructionLine) -> list[TaskOutcome]:
    deadline = time.monotonic() + START_TIMEOUT
    while missing := client.missing(sim=True):
        line.label(f"waiting for {missing[0]}")
        if time.monotonic() > deadline:
            raise NoAnswer(f"after {START_TIMEOUT:g} s still missing: {', '.join(missing)}")
        client.pause(0.1)
    outcomes: list[TaskOutcome] = []
    for index in range(run.tasks):
        outcome = _do_task(run, client, line, run.seed + index, outcomes)
        outcomes.append(outcome)
        print(describe(outcome), flush=True)
    return outcomes


def _do_task(
    run: Run, client: EpisodeClient, line: InstructionLine, seed: int, before: list[TaskOutcome]
) -> TaskOutcome:
    scene = client.reset(seed, run.task)
    done = sum(outcome.success for outcome in before)
    line.label(f"task {len(before) + 1} of {run.tasks}, {done} done so far: “{scene.instruction}”")
    latest = [0.0]

    def progress(report: Progress) -> None:
        latest[0] = report.chunk_ms
        line.update(report)

    result = client.follow(scene.instruction, run.timeout, progress)
    verdict = client.verdict()
    return TaskOutcome(
        seed=seed,
        instruction=scene.instruction,
        success=verdict.success,
        failure=verdict.failure,
        message=result.message,
        distance=float(verdict.distance),
        duration=float(result.duration),
        chunks=int(result.chunks),
        chunk_ms=float(latest[0]),
    )


def describe(outcome: TaskOutcome) -> str:
    """Return one line about a task for a person to read."""
    sign = "✓" if outcome.success else "✗"
    reason = "" if outcome.success else f", {outcome.failure or outcome.message or 'not done'}"
    return (
        f"{sign} {outcome.instruction} (scene {outcome.seed}): {outcome.distance * 100:.1f} cm from it after "
        f"{outcome.duration:.1f} s and {outcome.chunks} chunks of {outcome.chunk_ms:.0f} ms{reason}"
    )


class NodeLog:
    """Writes what the nodes print to a file, and remembers the end of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w")
        self._last: deque[str] = deque(maxlen=LOG_TAIL)
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Take one line of a node."""
        with self._lock:
            self._last.append(f"[{name}] {line}\n")
            if not self._file.closed:
                self._file.write(self._last[-1])
                self._file.flush()
        if line.startswith("***"):
            # The runner itself speaks: a node died.
            print(line, file=sys.stderr, flush=True)

    def tail(self) -> str:
        """Return the last lines."""
        with self._lock:
            return "".join(self._last)

    def close(self) -> None:
        """Close the file; later lines are dropped."""
        with self._lock:
            self._file.close()
