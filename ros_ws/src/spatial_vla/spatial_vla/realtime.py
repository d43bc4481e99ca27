"""First-in-first-out scheduling for what must not wait, as ros2_control's controller manager asks for it.

All nodes wake at the same tick of the clock or frame of the camera. On few cores the control loop then waits for its
turn behind the others, whatever their niceness; with this it comes first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

WAY_OUT = (
    "to allow it, put `@realtime - rtprio 99` into /etc/security/limits.d/realtime.conf and the user into the group "
    "realtime, or give a container --ulimit rtprio=99"
)


def threads() -> list[int]:
    """Ids of the threads of this process."""
    return [int(entry.name) for entry in Path("/proc/self/task").iterdir()]


def request_realtime(priority: int, thread_ids: Iterable[int]) -> str:
    """Give threads a real-time ``priority`` (1 to 99); id 0 is the calling one. Threads they start do not inherit it.

    Returns:
        Why the system refuses, and the way out; empty if it does not.
    """
    try:
        for thread in thread_ids:
            os.sched_setscheduler(thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except ProcessLookupError:  # a thread that has just ended
        return request_realtime(priority, threads())
    except PermissionError as error:
        return f"no real-time priority {priority} ({error.strerror}): other processes may delay this one; {WAY_OUT}"
    return ""


def come_first(priority: int, log: Callable[[str], object]) -> bool:
    """Ask for ``priority`` for all threads that this process has by now, and log what the system says.

    False if it refuses, or if ``priority`` is 0.
    """
    if priority == 0:
        return False
    refused = request_realtime(priority, threads())
    log(refused or f"real-time priority {priority}")
    return not refused
