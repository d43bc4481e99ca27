"""Frames of a recorded run: poses at any time between the first and the last message, by the rules of tf2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from ..geometry import SE3


class RecordedFrames:
    """Transforms of ``/tf`` and ``/tf_static`` by child frame: interpolated, never extrapolated."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}
        self._static: dict[str, SE3] = {}
        self._moving: dict[str, dict[int, SE3]] = {}

    def add(self, transforms: Iterable[Any], static: bool) -> None:
        """Add a message's transforms (``geometry_msgs/TransformStamped``)."""
        for item in transforms:
            t, q, stamp = item.transform.translation, item.transform.rotation, item.header.stamp
            pose = SE3.from_quaternion((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
            child = item.child_frame_id
            self._parents[child] = item.header.frame_id
            if static:
                self._static[child] = pose
            else:
                self._moving.setdefault(child, {})[int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)] = pose

    def pose(self, target: str, source: str, time_ns: int) -> SE3:
        """``target`` from ``source`` at a time [ns].

        Raises:
            LookupError: if the two are not joined, or nothing was recorded before or after that time.
        """
        up, down = self._chain(source), self._chain(target)
        if up[-1] != down[-1]:
            raise LookupError(
                f"frames {target!r} and {source!r} are not joined in the bag: {' <- '.join(reversed(down))} and "
                f"{' <- '.join(reversed(up))}; expected one tree. Was /tf_static recorded?"
            )
        return self._from_root(target, time_ns).inverse() @ self._from_root(source, time_ns)

    def _chain(self, frame: str) -> list[str]:
        chain = [frame]
        while (parent := self._parents.get(chain[-1])) is not None:
            if parent in chain:
                raise LookupError(f"frames {chain} of the bag go round in a circle; expected a tree")
            chain.append(parent)
        return chain

    def _from_root(self, frame: str, time_ns: int) -> SE3:
        pose = SE3.identity()
        for child in self._chain(frame)[:-1]:
            pose = self._at(child, time_ns) @ pose
        return pose

    def _at(self, child: str, time_ns: int) -> SE3:
        if child in self._static:
            return self._static[child]
        samples = self._moving[child]
        if time_ns in samples:
            return samples[time_ns]
        times = np.array(sorted(samples))
        place = int(np.searchsorted(times, time_ns))
        if place in (0, len(times)):
            raise LookupError(
                f"frame {child!r} is asked for at {time_ns} ns, but was recorded from {times[0]} to {times[-1]} ns"
            )
        before, after = int(times[place - 1]), int(times[place])
        part = (time_ns - before) / (after - before)
        a, b = samples[before], samples[after]
        turn = Slerp([0.0, 1.0], Rotation.from_matrix(np.stack((a.rotation, b.rotation))))(part)
        return SE3(turn.as_matrix(), a.translation + part * (b.translation - a.translation))
