"""A bring-up with tasks to do: the nodes are looked after in this thread while another one drives the episodes."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from spatial_vla.bringup.arguments import BringupArguments
from spatial_vla.bringup.domain import DomainTaken, claimed_domain
from spatial_vla.bringup.node_list import bringup_nodes
from spatial_vla.bringup.runner import Runner
from spatial_vla.nodes.episode_client import EpisodeClient, NoAnswer, Progress
from spatial_vla.nodes.latency_probe import ChunkTiming

from .progress import InstructionLine
from .signals import stop_on_signal

START_TIMEOUT = 90.0
"""From the start of the first process until everything answers [s]."""
LOG_TAIL = 25
"""Lines of the log shown when something breaks."""


class RunFailed(RuntimeError):
    """The run cannot go on; the message says why."""


class Interrupted(RuntimeError):
    """The user asked to stop."""


@dataclass(frozen=True)
class TaskPlan:
    """What to do: ``tasks`` scenes from ``seed`` on.

    Attributes:
        task: touch, point, pick or empty (drawn from the seed).
        timeout: simulated seconds that one task may take.
    """

    tasks: int
    seed: int
    task: str
    timeout: float


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
    verb: str
    success: bool
    failure: str
    message: str
    distance: float
    duration: float
    chunks: int
    chunk_ms: float


@dataclass
class TaskResults:
    """What has been done so far: the outcomes, and the latency of every chunk that led to a command."""

    outcomes: list[TaskOutcome] = field(default_factory=list)
    timings: list[ChunkTiming] = field(default_factory=list)


def run_tasks(
    plan: TaskPlan, arguments: BringupArguments, log: Path, results: TaskResults, *, out: TextIO = sys.stdout
) -> None:
    """Bring everything up, do the tasks, and take everything down.

    Args:
        plan: the tasks.
        arguments: of the bring-up; a node that dies is started again in any case.
        log: file for everything that the nodes print.
        results: grows by every task; what was done is there also when this raises.
        out: where each task's outcome is printed.

    Raises:
        RunFailed: a node is missing, does not answer or keeps dying; the message has the end of the log.
        Interrupted: SIGINT or SIGTERM came.
    """
    stop = stop_on_signal()
    node_log = NodeLog(log)
    nodes = bringup_nodes(replace(arguments, use_respawn=True))
    try:
        with claimed_domain(any_free=True), InstructionLine("starting the nodes") as line:
            runner = Runner(nodes, output=node_log)
            try:
                runner.start()
                with EpisodeClient(arguments.namespace) as client:
                    try:
                        _supervise(_Session(plan, client, line, out, results.outcomes), runner, stop)
                    finally:
                        results.timings = client.timings
            finally:
                line.label("stopping the nodes")
                runner.stop()
    except (NoAnswer, FileNotFoundError, DomainTaken) as error:
        raise RunFailed(f"{node_log.tail()}{error}\nEverything the nodes said: {log}") from error
    finally:
        node_log.close()


def _supervise(session: _Session, runner: Runner, stop: threading.Event) -> None:
    with ThreadPoolExecutor(1, "tasks") as worker:
        tasks = worker.submit(session.run)
        try:
            while not tasks.done():
                if stop.wait(0.1):
                    raise Interrupted
                if fatal := runner.poll():
                    raise NoAnswer(fatal)
        except BaseException:
            # Wakes the other thread, which the executor waits for.
            session.client.close()
            raise
        tasks.result()


@dataclass
class _Session:
    """The tasks, one after the other; runs in a thread of its own."""

    plan: TaskPlan
    client: EpisodeClient
    line: InstructionLine
    out: TextIO
    outcomes: list[TaskOutcome]

    def run(self) -> None:
        self._wait_until_ready()
        for index in range(self.plan.tasks):
            self.outcomes.append(self._do_task(self.plan.seed + index, self.outcomes))
            print(describe(self.outcomes[-1]), file=self.out, flush=True)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while missing := self.client.missing(sim=True):
            self.line.label(f"waiting for {missing[0]}")
            if time.monotonic() > deadline:
                raise NoAnswer(f"after {START_TIMEOUT:g} s still missing: {', '.join(missing)}")
            self.client.pause(0.1)

    def _do_task(self, seed: int, before: list[TaskOutcome]) -> TaskOutcome:
        scene = self.client.reset(seed, self.plan.task)
        done = sum(outcome.success for outcome in before)
        self.line.label(
            f"task {len(before) + 1} of {self.plan.tasks}, {done} done so far: “{scene.instruction}”"
        )
        chunk_ms = 0.0

        def progress(report: Progress) -> None:
            nonlocal chunk_ms
            chunk_ms = report.chunk_ms
            self.line.update(report)

        result = self.client.follow(scene.instruction, self.plan.timeout, progress)
        verdict = self.client.verdict()
        return TaskOutcome(
            seed=seed,
            instruction=scene.instruction,
            verb=scene.verb,
            success=verdict.success,
            failure=verdict.failure,
            message=result.message,
            distance=float(verdict.distance),
            duration=float(result.duration),
            chunks=int(result.chunks),
            chunk_ms=float(chunk_ms),
        )


def describe(outcome: TaskOutcome) -> str:
    """Return one line about a task for a person to read."""
    sign = "✓" if outcome.success else "✗"
    reason = "" if outcome.success else f", {outcome.failure or 'not done'}: {outcome.message}"
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
