"""One bring-up per DDS domain and namespace: two would answer each other's requests, and both would move the arm."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .environment import join_graph

LAST_DOMAIN = 101
"""With higher ones DDS may meet ports that Linux hands out to others."""


class DomainTaken(RuntimeError):
    """Another bring-up runs in the DDS domain; the message says which process and the way out."""


@contextmanager
def claimed_domain(namespace: str = "", *, any_free: bool = False) -> Iterator[int]:
    """Hold this process's DDS domain while nodes run in it; yields its number and leaves it in ROS_DOMAIN_ID.

    Args:
        namespace: bring-ups with different namespaces may share a domain.
        any_free: take the next free domain where the own one is taken, unless ROS_DOMAIN_ID was set by the user.

    Raises:
        DomainTaken: another bring-up on this machine holds it.
    """
    chosen_by_user = "ROS_DOMAIN_ID" in os.environ
    join_graph()
    first = int(os.environ.get("ROS_DOMAIN_ID", "0"))
    candidates = [first]
    if any_free and not chosen_by_user:
        candidates += [domain for domain in range(1, LAST_DOMAIN + 1) if domain != first]
    for domain in candidates:
        with _lock_file(domain, namespace).open("a+") as file:
            if not _locked(file.fileno()):
                continue
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            os.environ["ROS_DOMAIN_ID"] = str(domain)
            yield domain
            return
    holder = _lock_file(first, namespace).read_text() or "unknown"
    raise DomainTaken(
        f"a bring-up (process {holder}) already runs in DDS domain {first}; stop it, or give this one its own: "
        f"ROS_DOMAIN_ID={first % LAST_DOMAIN + 1}"
    )


def _lock_file(domain: int, namespace: str) -> Path:
    name = namespace.strip("/").replace("/", ".")
    return (
        Path(tempfile.gettempdir())
        / f"spatial_vla-{os.getuid()}-domain-{domain}{'-' if name else ''}{name}.lock"
    )


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
