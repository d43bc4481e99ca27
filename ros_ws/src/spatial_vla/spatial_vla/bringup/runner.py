"""Runs the nodes of a bring-up without launch: starts, watches, restarts and stops them."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .command import node_command
from .environment import find_executable, node_environment
from .node_list import NodeEntry
from .process import NodeProcess, Output, stop_all

RESPAWN_DELAY = 1.0
"""From a node's death to its restart [s]."""
DEATHS_ALLOWED = 5
"""A node that dies more often than this within DEATHS_WINDOW keeps dying and is given up."""
DEATHS_WINDOW = 60.0
"""[s]"""


@dataclass
class _Supervised:
    entry: NodeEntry
    command: list[str]
    process: NodeProcess | None = None
    restart_at: float | None = None
    deaths: deque[float] = field(default_factory=deque)


class Runner:
    """The processes of one bring-up. Call :meth:`start`, then :meth:`poll` often, then :meth:`stop`.

    Args:
        entries: what to start.
        output: takes every line of every node; default: print it with the node's name in front.
        environment: of the node processes; default: :func:`node_environment`.
        respawn_delay: from a node's death to its restart [s].

    Raises:
        FileNotFoundError: the program of an entry does not exist.
    """

    def __init__(
        self,
        entries: Sequence[NodeEntry],
        *,
        output: Output | None = None,
        environment: Mapping[str, str] | None = None,
        respawn_delay: float = RESPAWN_DELAY,
    ) -> None:
        names = [entry.name for entry in entries]
        self._output = PrefixedOutput(names) if output is None else output
        self._environment = node_environment() if environment is None else environment
        self._respawn_delay = respawn_delay
        self._nodes = [
            _Supervised(entry, node_command(entry, find_executable(entry.package, entry.executable)))
            for entry in entries
        ]

    @property
    def pids(self) -> dict[str, int]:
        """Process id by node name, of the nodes that run."""
        return {node.entry.name: node.process.pid for node in self._nodes if node.process is not None}

    def start(self) -> None:
        """Start every node."""
        for node in self._nodes:
            self._start(node)

    def poll(self) -> str | None:
        """Look after the nodes once.

        Returns:
            Why the bring-up cannot go on (a required node is gone for good), or None.
        """
        now = time.monotonic()
        for node in self._nodes:
            if node.process is not None and (reason := node.process.exit_reason()) is not None:
                node.process.finish()
                node.process = None
                if fatal := self._died(node, reason, now):
                    return fatal
            if node.restart_at is not None and now >= node.restart_at:
                self._start(node)
        return None

    def stop(self) -> None:
        """Stop every node; returns when all are gone."""
        stop_all([node.process for node in self._nodes if node.process is not None])
        for node in self._nodes:
            node.process, node.restart_at = None, None

    def _start(self, node: _Supervised) -> None:
        node.restart_at = None
        node.process = NodeProcess(node.entry.name, node.command, self._environment, self._output)

    def _died(self, node: _Supervised, reason: str, now: float) -> str | None:
        entry = node.entry
        node.deaths.append(now)
        while node.deaths[0] < now - DEATHS_WINDOW:
            node.deaths.popleft()
        if entry.respawn and len(node.deaths) <= DEATHS_ALLOWED:
            node.restart_at = now + self._respawn_delay
            self._say(node, f"died ({reason}); starts again in {self._respawn_delay:g} s")
            return None
        story = f"keeps dying (last: {reason})" if entry.respawn else f"died ({reason})"
        if entry.required:
            return f"{entry.name} {story}, and nothing works without it"
        self._say(node, f"{story}; going on without it")
        return None

    def _say(self, node: _Supervised, text: str) -> None:
        self._output(node.entry.name, f"*** {node.entry.name} {text}")


class PrefixedOutput:
    """Prints lines with the node's name in front, in a colour of its own on a terminal."""

    COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95)

    def __init__(self, names: Sequence[str]) -> None:
        self._width = max(map(len, names), default=0)
        self._colour = {name: self.COLOURS[i % len(self.COLOURS)] for i, name in enumerate(names)}
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Print one line of a node."""
        prefix = f"[{name}]".ljust(self._width + 2)
        if sys.stdout.isatty():
            prefix = f"\033[{self._colour.get(name, 0)}m{prefix}\033[0m"
        with self._lock:
            print(prefix, line, flush=True)


def run_until_stopped(runner: Runner, stop: threading.Event) -> int:
    """Start the nodes and look after them until ``stop`` is set or a required node is gone.

    Returns:
        Exit code: 0 when stopped, 1 when a required node was gone for good.
    """
    fatal = None
    try:
        runner.start()
        while fatal is None and not stop.wait(0.1):
            fatal = runner.poll()
    finally:
        if fatal is not None:
            print(f"{fatal}: stopping everything", file=sys.stderr, flush=True)
        runner.stop()
    return 1 if fatal else 0
