"""What happened in a run, read from its bag: episodes with their outcomes, and the latency of every stage."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bag import read_bag
from .recorder import BAG, SUMMARY

TOPICS = ("/instruction", "/action_chunk", "/policy_status", "/motion_status", "/sim/state")


@dataclass
class Episode:
    """One instruction from its beginning to its end. Times are nanoseconds of the bag.

    Attributes:
        success: what the simulation's referee said at the end; None if nobody judged (a real robot).
        failure: the referee's class of failure, empty when none.
        distance: tool centre point to the named object at the end [m], NaN when not judged.
        displacement: largest displacement of another object [m], NaN when not judged.
    """

    instruction_id: int
    text: str
    start_ns: int
    end_ns: int
    chunks: int = 0
    success: bool | None = None
    failure: str = ""
    distance: float = float("nan")
    displacement: float = float("nan")

    @property
    def seconds(self) -> float:
        """Duration [s]."""
        return (self.end_ns - self.start_ns) * 1e-9

    def judge(self, state: Any) -> None:
        """Take the referee's word from a SimState message; None leaves the episode as it is."""
        if state is not None:
            self.success, self.failure = bool(state.success), state.failure
            self.distance, self.displacement = float(state.distance), float(state.distractor_displacement)


@dataclass
class Latency:
    """Samples in milliseconds, one per chunk, of each stage between an image and the joint command it led to."""

    encode: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    ros_overhead: list[float] = field(default_factory=list)
    image_to_command: list[float] = field(default_factory=list)

    def stages(self) -> dict[str, NDArray[np.float64]]:
        """Samples by the name a reader sees, the whole last."""
        return {
            "Encode": np.array(self.encode),
            "Decode": np.array(self.decode),
            "ROS overhead": np.array(self.ros_overhead),
            "Image stamp → joint command": np.array(self.image_to_command),
        }


@dataclass
class Run:
    """A recorded run.

    Attributes:
        summary: ``run.json``: started, wall_seconds, namespace, device, versions, messages by topic.
    """

    directory: Path
    summary: dict[str, Any]
    episodes: list[Episode]
    latency: Latency

    @property
    def bag(self) -> Path:
        """Folder of the bag."""
        return self.directory / BAG

    def messages(self, *topics: str) -> Iterator[tuple[str, int, Any]]:
        """Messages of the robot's topics in order of time; see :func:`~spatial_vla.report.bag.read_bag`."""
        return read_bag(self.bag, topics, self.summary["namespace"])


def read_run(directory: Path) -> Run:
    """Read a run that :class:`RunRecorder` wrote.

    Raises:
        FileNotFoundError: if there is no completed run in the directory.
    """
    if not (directory / SUMMARY).exists():
        raise FileNotFoundError(
            f"no {SUMMARY} in {directory}: not a run, or its recorder did not end in order"
        )
    summary = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))
    story = _Story()
    run = Run(directory, summary, story.episodes, story.latency)
    story.read(run.messages(*TOPICS))
    return run


class _Story:
    """Goes through the messages once and keeps what the report tells."""

    def __init__(self) -> None:
        self.episodes: list[Episode] = []
        self.latency = Latency()
        self._current: Episode | None = None
        self._just_ended: Episode | None = None
        self._state: Any = None  # of the scene, in this episode
        self._seen_chunks = 0  # PolicyStatus.chunks at the last overhead sample
        self._seen_command = 0  # MotionStatus.chunk_id at the last image-to-command sample

    def read(self, messages: Iterable[tuple[str, int, Any]]) -> None:
        handlers = {
            "/instruction": self._instruction,
            "/action_chunk": self._chunk,
            "/policy_status": self._policy,
            "/motion_status": self._motion,
            "/sim/state": self._verdict,
        }
        time_ns = 0
        for topic, time_ns, message in messages:
            handlers[topic](message, time_ns)
        self._end(time_ns)

    def _instruction(self, message: Any, time_ns: int) -> None:
        if self._current is not None and (not message.active or message.id != self._current.instruction_id):
            self._end(time_ns)
        if message.active and self._current is None:
            self._state = self._just_ended = None
            self._current = Episode(message.id, message.text, time_ns, time_ns)

    def _end(self, time_ns: int) -> None:
        episode, self._current = self._current, None
        if episode is None:
            return
        episode.end_ns = time_ns
        episode.judge(self._state)
        self.episodes.append(episode)
        self._just_ended = episode

    def _chunk(self, message: Any, _: int) -> None:
        self.latency.encode.append(float(message.encode_ms))
        self.latency.decode.append(float(message.decode_ms))
        if self._current is not None and message.instruction_id == self._current.instruction_id:
            self._current.chunks += 1

    def _policy(self, message: Any, _: int) -> None:
        if message.chunks != self._seen_chunks:
            self._seen_chunks = message.chunks
            self.latency.ros_overhead.append(float(message.ros_overhead_ms))

    def _motion(self, message: Any, _: int) -> None:
        if message.chunk_id not in (0, self._seen_command):
            self._seen_command = message.chunk_id
            self.latency.image_to_command.append(float(message.image_to_command_ms))

    def _verdict(self, message: Any, _: int) -> None:
        # The first state after the end is the fairest: nothing has been reset yet, and the arm has come to rest.
        if self._just_ended is not None:
            self._just_ended.judge(message)
            self._just_ended = None
        self._state = message
