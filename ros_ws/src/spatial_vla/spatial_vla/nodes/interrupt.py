"""SIGINT and SIGTERM: the graph is still there when a node is told to end, so that it can end in order."""

from __future__ import annotations

import os
import signal
import threading
import time

import rclpy
from rclpy.executors import Executor

SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: A signal this long [s] after the first is not an accident: whatever is being done is broken off.
PATIENCE = 1.0


class Interrupt:
    """Handles both signals from its construction on; rclpy's own handlers, which would end the context, must be off.

    A signal raises KeyboardInterrupt until :meth:`defer`; from then on it is seen between two callbacks.
    """

    def __init__(self) -> None:
        self._first = 0.0
        self._deferred = False
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    @property
    def came(self) -> bool:
        """True from the first signal on."""
        return self._first > 0.0

    def defer(self) -> None:
        """From now on what is being done is done to its end first."""
        self._deferred = True

    def spin(self, executor: Executor) -> None:
        """Execute callbacks until a signal comes or the context ends."""
        self.defer()
        self._wake_on_signal(executor)
        while not self.came and rclpy.ok():
            executor.spin_once()

    def end(self) -> None:
        """Ignore both signals from now on."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, *_: object) -> None:
        now = time.monotonic()
        impatient = self.came and now - self._first > PATIENCE
        self._first = self._first or now
        if impatient or not self._deferred:
            raise KeyboardInterrupt

    @staticmethod
    def _wake_on_signal(executor: Executor) -> None:
        """Python runs a handler only once the main thread is back from waiting in C, so another has to wake it."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def wake() -> None:
            while os.read(reader, 1):
                executor.wake()

        threading.Thread(target=wake, name="signals", daemon=True).start()
