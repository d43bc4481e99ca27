"""Kinds of faults that `faults.py` puts into the running graph, and by what each must be noticed."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

BURN = "import time; end = time.monotonic() + 4.0\nwhile time.monotonic() < end: pass"


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

    def wait(self, seconds: float) -> None:
        """Let real time pass."""
        ...


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        inject: puts it in; may block for as long as the fault lasts.
        stops: the arm has to come to rest.
        noticed: counters or words of a reason, any of which must be heard.
    """

    name: str
    inject: Callable[[Patient, random.Random], None]
    stops: bool
    noticed: tuple[str, ...]


def kill(node: str) -> Callable[[Patient, random.Random], None]:
    """End a process at once."""
    return lambda patient, _: os.kill(patient.pid(node), signal.SIGKILL)


def freeze(node: str) -> Callable[[Patient, random.Random], None]:
    """Stop a process for one to two seconds."""

    def inject(patient: Patient, rng: random.Random) -> None:
        pid = patient.pid(node)
        os.kill(pid, signal.SIGSTOP)
        try:
            patient.wait(rng.uniform(1.0, 2.0))
        finally:
            os.kill(pid, signal.SIGCONT)

    return inject


def spoiled(
    stream: str, change: Callable[[Any, random.Random], list[Any]], seconds: float = 1.5
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
    """One position is not a number."""
    message.position[rng.randrange(len(message.position))] = float("nan")
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
    patient.wait(rng.uniform(1.2, 1.8))
    patient.spoil("chunks", lambda message: [*held, message])
    patient.wait(0.3)
    patient.spoil("chunks", None)


def jump_of_clock(seconds: float) -> Callable[[Patient, random.Random], None]:
    """One message on /clock is off."""
    return lambda patient, rng: patient.set_clock(seconds * rng.uniform(0.5, 1.5))


def no_processor(patient: Patient, _: random.Random) -> None:
    """Three busy processes per core."""
    count = 3 * len(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    for process in busy:
        process.wait()


def full_disk(patient: Patient, _: random.Random) -> None:
    """The recorder's files may not grow any more."""
    resource.prlimit(patient.pid("recorder_node"), resource.RLIMIT_FSIZE, (4096, 4096))
    patient.wait(2.0)


def other_writer(patient: Patient, _: random.Random) -> None:
    """Another node publishes to the arm's controller."""
    patient.write_to_arm()
    time.sleep(0.5)


DIED = ("died", "lost_nodes")
REFUSED = ("chunks_refused", "chunk_refused", "chunks_late")
NO_CHUNKS = ("STALLED", "stale", "frames_dropped", "policy", "IDLE", "late", "unpaired")
FAULTS = (
    *(
        Fault(f"{node} killed", kill(node), True, DIED)
        for node in ("encoder_node", "decoder_node", "instruction_node")
    ),
    Fault("robot_state_publisher killed", kill("robot_state_publisher"), True, DIED),
    Fault("visualizer_node killed", kill("visualizer_node"), True, DIED),
    # These two cannot say so themselves: the runner does.
    Fault("motion_node killed", kill("motion_node"), True, ("restarted",)),
    Fault("sim_node killed", kill("sim_node"), False, ("restarted",)),
    Fault("encoder_node frozen", freeze("encoder_node"), True, (*DIED, *NO_CHUNKS)),
    Fault("decoder_node frozen", freeze("decoder_node"), True, (*DIED, *NO_CHUNKS)),
    Fault("instruction_node frozen", freeze("instruction_node"), True, DIED),
    Fault("motion_node frozen", freeze("motion_node"), True, ("late", "jumped", "starting again")),
    Fault("camera frozen", spoiled("images", dropped), True, NO_CHUNKS),
    Fault("images 1 s old", spoiled("images", aged(1.0)), True, NO_CHUNKS),
    Fault(
        "transforms frozen", spoiled("transforms", dropped), True, ("transform", "tf", "stale", *NO_CHUNKS)
    ),
    Fault(
        "transforms jump",
        spoiled("transforms", jumping),
        False,
        ("transform", "tf", "jump", "clamped", "absurd"),
    ),
    Fault("joint states stop", spoiled("joints", dropped), True, ("joint states are stale",)),
    Fault("joint states 0.5 s old", spoiled("joints", aged(0.5)), True, ("stale", "jumped")),
    Fault("joint states NaN", spoiled("joints", nan_positions), True, ("stale", "joint_state")),
    Fault("chunks NaN", spoiled("chunks", with_deltas(float("nan"))), True, REFUSED),
    Fault("chunks infinite", spoiled("chunks", with_deltas(float("inf"))), True, REFUSED),
    Fault("chunks huge", spoiled("chunks", with_deltas(1e6)), True, REFUSED),
    Fault("chunks too short", spoiled("chunks", shortened), True, REFUSED),
    Fault("chunks in another frame", spoiled("chunks", in_frame), True, REFUSED),
    Fault("chunks duplicated", spoiled("chunks", twice), False, REFUSED),
    Fault("chunks reordered", spoiled("chunks", swapped()), False, REFUSED),
    Fault("chunks 2 s late", spoiled("chunks", aged(2.0)), True, REFUSED),
    Fault("no chunks", spoiled("chunks", dropped, 2.5), True, ("IDLE",)),
    Fault("network burst", burst, True, (*REFUSED, "IDLE")),
    Fault("clock jumps ahead", jump_of_clock(5.0), False, ("late", "jumped", "stale")),
    Fault("clock jumps back", jump_of_clock(-5.0), False, ("late", "jumped", "stale")),
    Fault(
        "no processor time",
        no_processor,
        False,
        ("late", "stale", "died", "IDLE", "HOLDING", "nothing happened"),
    ),
    Fault("disk full while recording", full_disk, False, ("recorder_node",)),
    Fault("another writer", other_writer, True, ("also publish", "other_writers")),
)
