"""Asking servers from a thread other than the executor's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rclpy.executors import Executor
from rclpy.task import Future

REPLY_TIMEOUT = 30.0
"""How long a server may take to answer, and be silent while it obeys an instruction [s, real time]."""
ASK_AGAIN = 5.0
"""A request that was not answered for so long is sent again [s, real time]."""


class NoAnswer(RuntimeError):
    """A node that should have answered did not."""


class Requests:
    """Sends requests and waits for answers.

    Args:
        executor: spins in another thread. closing: once set, whoever waits is told NoAnswer.
    """

    def __init__(self, executor: Executor, closing: threading.Event) -> None:
        self._executor = executor
        self._closing = closing

    def ask(self, send: Callable[[], Future], what: str) -> Future:
        """Send a request until it is answered: an answer is lost while the server has not discovered this client.

        Raises:
            NoAnswer: none comes, or closed meanwhile.
        """
        for _ in range(round(REPLY_TIMEOUT / ASK_AGAIN)):
            with suppress(NoAnswer):
                # In the executor's thread: rclpy ignores an answer that comes before the request has been written down.
                future = self.wait(self._executor.create_task(send), ASK_AGAIN, what)
                self.wait(future, ASK_AGAIN, what)
                return future
            if self._closing.is_set():
                break
        raise NoAnswer(f"no answer from {what} within {REPLY_TIMEOUT:g} s")

    def wait(self, future: Future, timeout: float, what: str, news: threading.Event | None = None) -> Any:
        """What ``future`` comes to; whoever sets ``news`` gives it another ``timeout`` [s, real time].

        Raises:
            NoAnswer: nothing within the timeout, or closed meanwhile.
        """
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        deadline = time.monotonic() + timeout
        while not done.wait(0.05):
            if news is not None and news.is_set():
                # As long as it reports, it may take its time: on a slow machine simulated seconds are long.
                news.clear()
                deadline = time.monotonic() + timeout
            if self._closing.is_set():
                raise NoAnswer(f"closed while waiting for {what}")
            if time.monotonic() > deadline:
                raise NoAnswer(f"no answer from {what} within {timeout:g} s")
        return future.result()
