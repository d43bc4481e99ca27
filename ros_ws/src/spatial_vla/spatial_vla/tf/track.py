"""The history of one frame relative to its parent."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from .exceptions import ExtrapolationException
from .pose import IDENTITY, Pose, interpolate


class Track:
    """Samples of one child frame, sorted by stamp [ns]. The parent may change from sample to sample."""

    def __init__(self, cache_ns: int) -> None:
        self._cache_ns = cache_ns
        self._stamps: list[int] = []
        self._samples: list[tuple[str, Pose]] = []

    def insert(self, stamp: int, parent: str, pose: Pose) -> bool:
        """Add a sample. Returns False for one that is older than the cache or repeats a stamp: it is ignored."""
        stamps = self._stamps
        if stamps and stamp < stamps[-1] - self._cache_ns:
            return False
        at = bisect_left(stamps, stamp)
        if at < len(stamps) and stamps[at] == stamp:
            return False
        stamps.insert(at, stamp)
        self._samples.insert(at, (parent, pose))
        expired = bisect_left(stamps, stamps[-1] - self._cache_ns)
        if expired:
            del stamps[:expired], self._samples[:expired]
        return True

    def latest(self) -> tuple[int, str]:
        """Stamp and parent of the newest sample."""
        return self._stamps[-1], self._samples[-1][0]

    def at(self, stamp: int) -> tuple[str, Pose]:
        """Parent and pose at a time, interpolated; never extrapolated.

        Between two samples with different parents the older one holds.

        Raises:
            ExtrapolationException: ``stamp`` lies outside the samples.
        """
        stamps = self._stamps
        after = bisect_right(stamps, stamp)
        if after and stamps[after - 1] == stamp:
            return self._samples[after - 1]
        if after == 0 or after == len(stamps):
            raise ExtrapolationException(self._outside(stamp))
        (parent, older), (next_parent, newer) = self._samples[after - 1], self._samples[after]
        if parent != next_parent:
            return parent, older
        t0, t1 = stamps[after - 1], stamps[after]
        return parent, interpolate(older, newer, (stamp - t0) / (t1 - t0))

    def _outside(self, stamp: int) -> str:
        first, last = self._stamps[0], self._stamps[-1]
        if len(self._stamps) == 1:
            return f"requested time {seconds(stamp)} but there is a single sample, at {seconds(last)}"
        edge, end = (last, "after the latest") if stamp > last else (first, "before the earliest")
        gap = abs(stamp - edge)
        return f"requested time {seconds(stamp)} is {gap * 1e-9:.3f} s {end} data, {seconds(edge)}"


class StaticTrack:
    """A transform that holds at all times; the newest one replaces the others."""

    def __init__(self) -> None:
        self._sample = ("", IDENTITY)

    def insert(self, stamp: int, parent: str, pose: Pose) -> bool:
        """Replace the transform."""
        self._sample = (parent, pose)
        return True

    def latest(self) -> tuple[None, str]:
        """No stamp of its own, and the parent."""
        return None, self._sample[0]

    def at(self, stamp: int) -> tuple[str, Pose]:
        """Parent and pose."""
        return self._sample


def seconds(stamp: int) -> str:
    """A stamp [ns] as people read it."""
    return f"{stamp // 1_000_000_000}.{stamp % 1_000_000_000:09d}"[:-3] + " s"
