"""Our side of a worker: a script that another Python runs and that answers requests over its standard streams."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .pipe import receive, send

PATIENCE = 20.0  # s that a worker may take to end once its requests have


def find_interpreter(environment: str, given: str | Path | None, how_to_install: str) -> Path:
    """The Python to use: ``given``, or that of the folder ``environment`` here or beside our own environment.

    Raises:
        FileNotFoundError: there is none; the message ends with ``how_to_install``.
    """
    homes = dict.fromkeys((Path.cwd(), Path(sys.prefix).parent))
    places = [Path(given)] if given else [home / environment / "bin/python" for home in homes]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"no Python at {' or '.join(map(str, places))}. {how_to_install}")


class WorkerError(RuntimeError):
    """What a worker answered, or its last words if it ended. ``trace``: its stack trace, empty if it ended."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


class WorkerProcess:
    """A worker and the pipes to it; the worker may ``import pipe``.

    Args:
        python: its interpreter. script: what it runs. arguments: of the script.
        environment: variables besides our own, over them.
    """

    def __init__(
        self, python: Path, script: Path, arguments: Sequence[str], environment: dict[str, str]
    ) -> None:
        path = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [str(python), str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"} | environment,
        )
        assert self._process.stdin and self._process.stdout  # because of PIPE
        self._requests, self._replies = self._process.stdin, self._process.stdout
        self.pid = self._process.pid

    def request(self, call: str, argument: Any = None) -> None:
        """Ask without waiting, so that several workers are busy at once; :meth:`reply` gets the answer."""
        arguments = {} if argument is None else {"argument": argument}
        with suppress(BrokenPipeError):  # the reply says why
            send(self._requests, call=call, **arguments)

    def reply(self) -> dict[str, NDArray[Any]]:
        """Wait for an answer.

        Raises:
            WorkerError: the worker failed or ended.
        """
        try:
            answer = receive(self._replies)
        except EOFError:
            status = self._process.wait()
            raise WorkerError(f"its process ended with status {status}: {self._last_words()}") from None
        if "error" in answer:
            raise WorkerError(str(answer["error"]), str(answer["trace"]))
        return answer

    def close(self) -> None:
        """End the worker."""
        if self._process.poll() is None:
            with suppress(BrokenPipeError):
                self._requests.close()
            self._process.wait(timeout=PATIENCE)
        self._replies.close()
        self._said.close()

    def _last_words(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace").strip()[-800:] or "it said nothing"
