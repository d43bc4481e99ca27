"""One run on disk: an MCAP bag (a normal rosbag2 folder) and ``run.json`` beside it."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from .definitions import typestore
from .environment import device, versions

BAG = "bag"
SUMMARY = "run.json"


class RunRecorder:
    """Writes serialised messages into ``directory/bag/bag.mcap``; :meth:`close` completes the run.

    The bag holds the definition of every type in it, our own included: Foxglove opens the ``.mcap``, ``ros2 bag play``
    the folder.

    Args:
        directory: made if it is not there.
        namespace: of the robot's topics, such as "/left"; empty for none.

    Raises:
        FileExistsError: if the directory already holds a run.
    """

    def __init__(self, directory: Path, namespace: str = "") -> None:
        self.directory = directory
        self._namespace = namespace
        if (directory / BAG).exists():
            raise FileExistsError(f"{directory / BAG} exists; give every run a directory of its own")
        directory.mkdir(parents=True, exist_ok=True)
        self._types = typestore()
        self._connections: dict[str, Connection] = {}
        self._counts: Counter[str] = Counter()
        self._last_ns = 0
        self._started = time.time()
        self._writer = Writer(directory / BAG, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()

    def record(self, topic: str, message_type: str, time_ns: int, data: bytes) -> None:
        """Append a message.

        Args:
            topic: full name, for example ``/camera/external/image``.
            message_type: for example ``sensor_msgs/msg/Image``.
            time_ns: when it was received [ns]; a clock that steps back is held, so that times never decrease.
            data: the message in CDR, as rclpy's raw subscriptions give it.
        """
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, message_type, typestore=self._types)
        self._last_ns = max(self._last_ns, time_ns)
        self._writer.write(self._connections[topic], self._last_ns, data)
        self._counts[topic] += 1

    def close(self) -> None:
        """Write the bag's index and ``run.json``; the recorder cannot be used afterwards."""
        self._writer.close()
        summary = {
            "started": time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(self._started)),
            "wall_seconds": round(time.time() - self._started, 1),
            "namespace": self._namespace,
            "device": device(),
            "versions": versions(),
            "messages": dict(sorted(self._counts.items())),
        }
        (self.directory / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
