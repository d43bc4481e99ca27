"""Ctrl-C that is not lost."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupt:
    """A context that remembers Ctrl-C, for a main thread that waits in short steps and calls :meth:`check` in each.

    Python raises KeyboardInterrupt wherever the main thread happens to be. In a destructor, such as rclpy's futures
    have, it is printed and forgotten. Handlers other than Python's own, and other threads, are left as they are.
    """

    def __init__(self) -> None:
        self._pending = self._installed = False

    def __enter__(self) -> Interrupt:
        mine = threading.current_thread() is threading.main_thread()
        self._installed = mine and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._installed:
            signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.forget()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._pending = True
        signal.default_int_handler(number, frame)

    def check(self) -> None:
        """Raise the KeyboardInterrupt that got lost, if one did."""
        if self._pending:
            self.forget()
            raise KeyboardInterrupt

    def forget(self) -> None:
        """The interrupt has been heard."""
        self._pending = False
