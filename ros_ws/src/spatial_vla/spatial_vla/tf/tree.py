"""Frames, joined into a tree that changes with time. No ROS in here."""

from __future__ import annotations

import math
import threading

from .exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
)
from .pose import IDENTITY, Pose, compose, invert
from .track import StaticTrack, Track

DEFAULT_CACHE_NS = 10_000_000_000


class TransformTree:
    """Stores transforms and answers look-ups by the rules of tf2: interpolate, never extrapolate. Thread-safe.

    Args:
        cache_ns: samples older than this relative to the newest one of the same frame are forgotten.
    """

    def __init__(self, cache_ns: int = DEFAULT_CACHE_NS) -> None:
        self._cache_ns = cache_ns
        self._tracks: dict[str, Track | StaticTrack] = {}
        self._frames: set[str] = set()
        self._lock = threading.Lock()

    def insert(self, parent: str, child: str, stamp: int, pose: Pose, static: bool = False) -> bool:
        """Store the pose of ``child`` in ``parent`` at a time [ns].

        Returns:
            False if the sample was ignored: older than the cache, or a stamp that is there already.

        Raises:
            InvalidArgumentException: empty or equal frame names, NaN, or a quaternion that is not of unit length.
        """
        check_frame(parent, "parent")
        check_frame(child, "child")
        if parent == child:
            raise InvalidArgumentException(f"frame '{child}' cannot be its own parent")
        pose = _checked(child, pose)
        with self._lock:
            track = self._tracks.get(child)
            if track is None or isinstance(track, StaticTrack) is not static:
                track = self._tracks[child] = StaticTrack() if static else Track(self._cache_ns)
            self._frames.update((parent, child))
            return track.insert(stamp, parent, pose)

    def lookup(self, target: str, source: str, stamp: int) -> tuple[Pose, int]:
        """Pose of ``source`` in ``target`` at a time [ns]; time 0 means the latest time at which all is known.

        Returns:
            The pose, and the stamp [ns] that it holds for (0 if everything on the way is static and 0 was asked).

        Raises:
            LookupException: a frame is unknown, or the frames form a loop.
            ConnectivityException: no chain joins them.
            ExtrapolationException: the time lies outside the data.
            InvalidArgumentException: malformed frame name.
        """
        check_frame(target, "target")
        check_frame(source, "source")
        with self._lock:
            for frame in (target, source):
                if frame not in self._frames:
                    raise LookupException(f"frame '{frame}' does not exist{self._known()}")
            if stamp == 0:
                stamp = self._latest_common(target, source)
            return self._walk(target, source, stamp), stamp

    def clear(self) -> None:
        """Forget everything but the static transforms."""
        with self._lock:
            self._tracks = {child: t for child, t in self._tracks.items() if isinstance(t, StaticTrack)}
            self._frames = set(self._tracks) | {t.latest()[1] for t in self._tracks.values()}

    def frames(self) -> list[str]:
        """Names of all known frames, sorted."""
        with self._lock:
            return sorted(self._frames)

    def _walk(self, target: str, source: str, stamp: int) -> Pose:
        """Climb from both frames to the first common ancestor."""
        gap: ExtrapolationException | None = None
        from_source = {source: IDENTITY}
        frame, pose = source, IDENTITY
        while frame != target and (track := self._tracks.get(frame)) is not None:
            try:
                parent, step = track.at(stamp)
            except ExtrapolationException as error:
                gap = _of_frame(error, frame)
                break
            frame, pose = parent, compose(step, pose)
            _refuse_loop(frame, from_source)
            from_source[frame] = pose
        frame, pose = target, IDENTITY
        visited = {target}
        while frame not in from_source:
            track = self._tracks.get(frame)
            if track is None:
                raise gap or self._not_connected(target, source)
            try:
                parent, step = track.at(stamp)
            except ExtrapolationException as error:
                raise _of_frame(error, frame) from None
            frame, pose = parent, compose(step, pose)
            _refuse_loop(frame, visited)
            visited.add(frame)
        return compose(invert(pose), from_source[frame])

    def _latest_common(self, target: str, source: str) -> int:
        """Newest time at which every moving transform between the two frames is known; 0 if none moves."""
        stamps_to: dict[str, int | None] = {source: None}
        frame, oldest = source, None
        while frame != target and frame in self._tracks:
            frame, oldest = self._climb(frame, oldest)
            _refuse_loop(frame, stamps_to)
            stamps_to[frame] = oldest
        frame, oldest = target, None
        visited = {target}
        while frame not in stamps_to:
            if frame not in self._tracks:
                raise self._not_connected(target, source)
            frame, oldest = self._climb(frame, oldest)
            _refuse_loop(frame, visited)
            visited.add(frame)
        return _older(oldest, stamps_to[frame]) or 0

    def _climb(self, frame: str, oldest: int | None) -> tuple[str, int | None]:
        stamp, parent = self._tracks[frame].latest()
        return parent, _older(oldest, stamp)

    def _known(self) -> str:
        known = sorted(self._frames)
        return f"; known frames: {', '.join(known)}" if known else "; no transform has been received yet"

    def _not_connected(self, target: str, source: str) -> ConnectivityException:
        return ConnectivityException(f"no chain of transforms joins '{target}' and '{source}'{self._known()}")


def check_frame(name: str, role: str) -> None:
    """Refuse an empty frame name and one with a leading slash (a ROS 1 habit)."""
    if not name or name.startswith("/"):
        raise InvalidArgumentException(
            f"{role} frame is '{name}'; expected a non-empty name without a leading slash"
        )


def _checked(child: str, pose: Pose) -> Pose:
    """``pose`` with a quaternion of exactly unit length: along a chain, small deviations would multiply."""
    norm = math.sqrt(sum(c * c for c in pose.rotation))
    if not all(map(math.isfinite, pose.translation)) or not abs(norm - 1.0) < 1e-3:
        raise InvalidArgumentException(
            f"transform of '{child}' is unusable: translation {pose.translation}, quaternion {pose.rotation}; "
            "expected finite numbers and a unit quaternion (x, y, z, w)"
        )
    x, y, z, w = pose.rotation
    return Pose(pose.translation, (x / norm, y / norm, z / norm, w / norm))


def _refuse_loop(frame: str, visited: dict[str, Pose] | dict[str, int | None] | set[str]) -> None:
    if frame in visited:
        raise LookupException(f"the transforms form a loop through '{frame}'; every frame needs one parent")


def _of_frame(error: ExtrapolationException, frame: str) -> ExtrapolationException:
    return ExtrapolationException(f"transform of '{frame}': {error}")


def _older(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)
