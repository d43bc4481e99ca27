"""One node as a child process: started in a session of its own, its output passed on, stopped by growing force."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

Output = Callable[[str, str], None]
"""Takes (node name, line without its end)."""

# How long a node may take to end after each signal [s]; the same as launch.
STOP_SEQUENCE = ((signal.SIGINT, 5.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 2.0))
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class NodeProcess:
    """A running node. Its session is its own, so that a Ctrl-C in the terminal reaches the runner alone."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], output: Output
    ) -> None:
        self.name = name
        self._popen = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        self._reader = threading.Thread(target=self._pass_on, args=(output,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its session."""
        return self._popen.pid

    def exit_reason(self) -> str | None:
        """Return how the process ended, for example "exit code 1" or "SIGKILL"; None while it runs."""
        code = self._popen.poll()
        if code is None:
            return None
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def send(self, number: int) -> None:
        """Send a signal to the process and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def finish(self) -> None:
        """Take away what an ended node may have left running, and pass on its last lines."""
        self.send(signal.SIGKILL)
        self._reader.join(timeout=1.0)

    def _pass_on(self, output: Output) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            output(self.name, line.rstrip("\n"))


def stop_all(processes: Sequence[NodeProcess]) -> None:
    """End all processes together: SIGINT once, after 5 s SIGTERM, after 3 s more SIGKILL."""
    running = [process for process in processes if process.exit_reason() is None]
    for number, patience in STOP_SEQUENCE:
        for process in running:
            process.send(number)
        deadline = time.monotonic() + patience
        while running and time.monotonic() < deadline:
            time.sleep(0.02)
            running = [process for process in running if process.exit_reason() is None]
    for process in processes:
        process.finish()


def _end_with_parent() -> None:
    # Without this a runner that is killed outright leaves its nodes behind, and the next bring-up has every node twice.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    # A shell's background job hands down "ignore SIGINT", and then nothing ends on the first signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
