"""Being told by the kernel when another process of this machine ends: at once, and never by mistake.

Uses process file descriptors (Linux 5.3; pidfd_open(2)). Elsewhere nothing is ever told.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

UNKNOWN = "unknown"


def process_identity(pid: int | None = None) -> str:
    """Machine, process name space and number of a process (default: this one), as another process can check them."""
    return f"{_machine()} {os.getpid() if pid is None else pid}"


class ProcessWatch:
    """Watches one process per name.

    Args:
        on_end: called with the name, from a thread of this object, when its process has ended.
    """

    def __init__(self, on_end: Callable[[str], None]) -> None:
        self._on_end = on_end
        self._lock = threading.Lock()
        self._watched: dict[str, tuple[str, int]] = {}  # name -> identity, descriptor
        self._epoll = select.epoll()
        self._closing, self._wake = os.pipe()
        self._epoll.register(self._closing, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="process_watch", daemon=True)
        self._thread.start()

    def watch(self, name: str, identity: str) -> bool:
        """Watch the process ``identity`` from :func:`process_identity` as ``name``, and no other of that name.

        Returns False if it cannot be watched: it runs elsewhere, or this is not Linux.
        """
        machine, _, pid = identity.rpartition(" ")
        if (
            machine != _machine()
            or machine == UNKNOWN
            or not pid.isdecimal()
            or not hasattr(os, "pidfd_open")
        ):
            return False
        with self._lock:
            if self._watched.get(name, ("", -1))[0] == identity:
                return True
            self._forget(name)
            try:
                descriptor = os.pidfd_open(int(pid))
            except ProcessLookupError:
                self._on_end(name)
                return True
            self._watched[name] = identity, descriptor
            self._epoll.register(descriptor, select.EPOLLIN)
        return True

    def close(self) -> None:
        """Stop watching; no call of ``on_end`` begins after this."""
        os.write(self._wake, b".")
        self._thread.join()
        for name in list(self._watched):
            self._forget(name)
        self._epoll.close()
        os.close(self._closing)
        os.close(self._wake)

    def _forget(self, name: str) -> None:
        _, descriptor = self._watched.pop(name, ("", -1))
        if descriptor >= 0:
            self._epoll.unregister(descriptor)
            os.close(descriptor)

    def _run(self) -> None:
        while True:
            for ready, _ in self._epoll.poll():
                if ready == self._closing:
                    return
                with self._lock:
                    ended = [name for name, (_, watched) in self._watched.items() if watched == ready]
                    for name in ended:
                        self._forget(name)
                for name in ended:
                    self._on_end(name)


def _machine() -> str:
    """What has to be equal for a process number to mean the same process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return UNKNOWN
