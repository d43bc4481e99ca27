"""What faults do to the running graph."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Protocol

BURN = "import time; end = time.monotonic() + 2.5\nwhile time.monotonic() < end: pass"


class Patient(Protocol):
    """The running graph, as faults see it."""

    def pid(self, node: str) -> int:
        """Process id of a node."""
        ...

    def spoil(self, stream: str, change: Callable[[Any], list[Any]] | None) -> None:
        """Have every message of a stream replaced by a list of messages; None: pass them on again."""
        ...

    def set_clock(self, offset_s: float) -> None:
        """Publish one time that is off by this much."""
        ...

    def write_to_arm(self) -> None:
        """Publish to the arm beside motion_node, from another node."""
        ...

    def press_stop(self, pressed: bool) -> None:
        """The stop button."""
        ...

    def wait(self, seconds: float) -> None:
        """Let real time pass."""
        ...


def kill(node: str) -> Callable[[Patient, random.Random], None]:
    """End a process at once."""
    return lambda patient, _: os.kill(patient.pid(node), signal.SIGKILL)


def freeze(node: str) -> Callable[[Patient, random.Random], None]:
    """Stop a process for a second or so."""

    def inject(patient: Patient, rng: random.Random) -> None:
        pid = patient.pid(node)
        os.kill(pid, signal.SIGSTOP)
        try:
            patient.wait(rng.uniform(0.8, 1.4))
        finally:
            os.kill(pid, signal.SIGCONT)

    return inject


def spoiled(
    stream: str, change: Callable[[Any, random.Random], list[Any]], seconds: float = 1.9
) -> Callable[[Patient, random.Random], None]:
    """Change every message of a stream for a while."""

    def inject(patient: Patient, rng: random.Random) -> None:
        patient.spoil(stream, lambda message: change(message, rng))
        patient.wait(seconds)
        patient.spoil(stream, None)

    return inject


def dropped(_: Any, __: random.Random) -> list[Any]:
    """No message at all."""
    return []


def with_deltas(value: float) -> Callable[[Any, random.Random], list[Any]]:
    """One number of a chunk replaced."""

    def change(message: Any, rng: random.Random) -> list[Any]:
        message.deltas[rng.randrange(len(message.deltas))] = value
        return [message]

    return change


def shortened(message: Any, rng: random.Random) -> list[Any]:
    """Some numbers of a chunk are missing."""
    message.deltas = message.deltas[: -rng.randrange(1, 6)]
    return [message]


def in_frame(message: Any, rng: random.Random) -> list[Any]:
    """The chunk claims another frame."""
    message.header.frame_id = rng.choice(["panda_tcp", "", "map", "panda_link8"])
    return [message]


def twice(message: Any, _: random.Random) -> list[Any]:
    """The same message again."""
    return [message, message]


def aged(seconds: float) -> Callable[[Any, random.Random], list[Any]]:
    """The stamp is old: the message was under way for so long."""

    def change(message: Any, _: random.Random) -> list[Any]:
        stamp = message.header.stamp
        total = max(stamp.sec * 10**9 + stamp.nanosec - round(seconds * 1e9), 0)
        stamp.sec, stamp.nanosec = total // 10**9, total % 10**9
        return [message]

    return change


def swapped() -> Callable[[Any, random.Random], list[Any]]:
    """Every message comes after the next one."""
    held: list[Any] = []

    def change(message: Any, _: random.Random) -> list[Any]:
        if held:
            return [message, held.pop()]
        held.append(message)
        return []

    return change


def nan_positions(message: Any, rng: random.Random) -> list[Any]:
    """One position of the arm is not a number; the fingers come after its seven joints."""
    message.position[rng.randrange(7)] = float("nan")
    return [message]


def moved_away(message: Any, _: random.Random) -> list[Any]:
    """The arm seems to be elsewhere."""
    message.position = [x + 0.3 for x in message.position]
    return [message]


def jumping(message: Any, rng: random.Random) -> list[Any]:
    """Transforms jump by decimetres between messages."""
    for stamped in message.transforms:
        stamped.transform.translation.x += rng.uniform(-0.3, 0.3)
    return [message]


def burst(patient: Patient, rng: random.Random) -> None:
    """Chunks are held back, then all come at once."""
    held: list[Any] = []
    patient.spoil("chunks", lambda message: held.append(message) or [])
    patient.wait(rng.uniform(1.7, 2.0))
    patient.spoil("chunks", lambda message: [*held, message])
    patient.wait(0.3)
    patient.spoil("chunks", None)


def jump_of_clock(seconds: float) -> Callable[[Patient, random.Random], None]:
    """Somebody else publishes on /clock, too: another time by far."""

    def inject(patient: Patient, rng: random.Random) -> None:
        offset = seconds * rng.uniform(0.5, 1.5)
        for _ in range(20):
            patient.set_clock(offset)
            patient.wait(0.01)

    return inject


def no_processor(patient: Patient, _: random.Random) -> None:
    """Three busy processes per core."""
    count = 3 * len(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    for process in busy:
        process.wait()


def full_disk(patient: Patient, _: random.Random) -> None:
    """The recorder's files may not grow any more."""
    resource.prlimit(patient.pid("recorder_node"), resource.RLIMIT_FSIZE, (4096, 4096))
    patient.wait(1.5)


def stop_button(patient: Patient, rng: random.Random) -> None:
    """Pressed for a while."""
    patient.press_stop(True)
    try:
        patient.wait(rng.uniform(0.6, 1.0))
    finally:
        patient.press_stop(False)


def nothing(patient: Patient, _: random.Random) -> None:
    """No fault: what is heard then does not tell of any."""
    patient.wait(1.3)


def other_writer(patient: Patient, _: random.Random) -> None:
    """Another node publishes to the arm's controller."""
    patient.write_to_arm()
    patient.wait(0.8)
