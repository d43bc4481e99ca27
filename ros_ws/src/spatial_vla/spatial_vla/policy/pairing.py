"""From single messages to whole, fresh observations: pair by stamp, keep the newest, drop the rest and count it.

Two small machines, joined by their caller. :class:`StampPairing` collects what belongs to one stamp.
:class:`LatestFrame` holds the newest complete frame until everything else it needs (a transform, say) is there too, or
it is too old.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Frame = TypeVar("Frame")
Observation = TypeVar("Observation")
#: Called with what to count and why, once for every frame that is dropped.
OnDrop = Callable[[str, str], None]

UNPAIRED = "frames_dropped_unpaired"
STALE = "frames_dropped_stale"
SUPERSEDED = "frames_superseded"
#: An item this many age limits older than the newest frame is not late: time has jumped back.
JUMP = 10
#: Number of frames remembered after they were completed or given up, so that their late items are not counted again.
MEMORY = 64


class NotYet(Exception):
    """Something that a frame needs has not arrived; the text names it."""


class StampPairing:
    """Collects one item per stream with exactly the same stamp.

    Frames are bounded in number and in age; an incomplete one that falls out is counted as unpaired. Once a frame is
    complete, older incomplete ones are given up: only the newest view matters.

    Args:
        streams: names of the streams; completed frames list their items in this order.
        max_age_ns: an incomplete frame this much older than the newest stamp is given up.
        on_drop: told of every frame given up.
        depth: most incomplete frames kept.
    """

    def __init__(self, streams: Sequence[str], max_age_ns: int, on_drop: OnDrop, depth: int = 10) -> None:
        self._streams = tuple(streams)
        self._max_age_ns = max_age_ns
        self._on_drop = on_drop
        self._depth = depth
        self._partial: dict[int, dict[str, Any]] = {}
        self._newest_done_ns = -1
        self._accounted: deque[int] = deque(maxlen=MEMORY)

    def add(self, stream: str, stamp_ns: int, item: Any) -> list[Any] | None:
        """Add an item; returns the frame's items if it completes one.

        An item that belongs to a frame already completed or given up is ignored, and so is one of an older frame, which
        is counted as stale. An item from long ago begins anew.

        Raises:
            KeyError: unknown stream.
        """
        if stream not in self._streams:
            raise KeyError(f"stream '{stream}' is not one of {', '.join(self._streams)}")
        if stamp_ns < self._newest_done_ns - JUMP * self._max_age_ns:
            self.clear()
        if stamp_ns in self._accounted:
            return None
        if stamp_ns <= self._newest_done_ns:
            self._account(stamp_ns)
            newer = seconds(self._newest_done_ns)
            self._on_drop(STALE, f"frame of {seconds(stamp_ns)} came after that of {newer}")
            return None
        frame = self._partial.setdefault(stamp_ns, {})
        frame[stream] = item
        if len(frame) == len(self._streams):
            del self._partial[stamp_ns]
            self._account(stamp_ns)
            self._give_up([s for s in self._partial if s < stamp_ns])
            return [frame[name] for name in self._streams]
        # Ages count from this item's stamp: one wrong stamp in the far future must not make all others look old.
        self._give_up([s for s in self._partial if s < stamp_ns - self._max_age_ns])
        self._give_up(list(self._partial)[: -self._depth])
        return None

    def clear(self) -> None:
        """Forget everything."""
        self._partial.clear()
        self._accounted.clear()
        self._newest_done_ns = -1

    def _give_up(self, stamps: list[int]) -> None:
        """Drop these incomplete frames."""
        for stamp_ns in stamps:
            frame = self._partial.pop(stamp_ns)
            self._accounted.append(stamp_ns)
            missing = ", ".join(name for name in self._streams if name not in frame)
            present = ", ".join(name for name in self._streams if name in frame)
            self._on_drop(
                UNPAIRED, f"{present} of {seconds(stamp_ns)} came without {missing} of the same stamp"
            )

    def _account(self, stamp_ns: int) -> None:
        self._accounted.append(stamp_ns)
        self._newest_done_ns = max(self._newest_done_ns, stamp_ns)


class LatestFrame(Generic[Frame]):
    """Holds the newest frame until it can be used or is too old. There is never a backlog.

    Args:
        max_age_ns: a frame older than this is dropped.
        on_drop: told of every frame dropped.
    """

    def __init__(self, max_age_ns: int, on_drop: OnDrop) -> None:
        self._max_age_ns = max_age_ns
        self._on_drop = on_drop
        self._held: tuple[int, Frame] | None = None
        self._obstacle = ""

    @property
    def waiting(self) -> bool:
        """Whether a frame is held."""
        return self._held is not None

    def offer(self, stamp_ns: int, frame: Frame) -> None:
        """Hold this frame; one that was still held is superseded."""
        if self._held is not None:
            old_ns = self._held[0]
            if self._obstacle:
                self._on_drop(UNPAIRED, f"frame of {seconds(old_ns)} waited in vain: {self._obstacle}")
            else:
                self._on_drop(
                    SUPERSEDED, f"frame of {seconds(old_ns)} gave way to one of {seconds(stamp_ns)}"
                )
        self._held, self._obstacle = (stamp_ns, frame), ""

    def take(self, now_ns: int, complete: Callable[[Frame], Observation]) -> Observation | None:
        """Try to use the held frame.

        Args:
            now_ns: present time on the clock of the stamps.
            complete: makes the observation, or raises NotYet; any other exception drops the frame and propagates.

        Returns:
            The observation, or None if nothing is held, the frame must wait, or it was dropped.
        """
        if self._held is None:
            return None
        stamp_ns, frame = self._held
        age_ns = now_ns - stamp_ns
        if age_ns < -self._max_age_ns:
            self._drop(
                STALE, f"is {-age_ns * 1e-9:.3f} s ahead of the clock; do camera and node use the same time?"
            )
        elif age_ns > self._max_age_ns and not self._obstacle:
            self._drop(STALE, f"is {age_ns * 1e-9:.3f} s old; the limit is {self._max_age_ns * 1e-9:.3f} s")
        elif age_ns > self._max_age_ns:
            self._drop(UNPAIRED, f"waited {age_ns * 1e-9:.3f} s in vain: {self._obstacle}")
        else:
            return self._complete(frame, complete)
        return None

    def clear(self) -> None:
        """Forget the held frame."""
        self._held, self._obstacle = None, ""

    def _complete(self, frame: Frame, complete: Callable[[Frame], Observation]) -> Observation | None:
        try:
            observation = complete(frame)
        except NotYet as obstacle:
            self._obstacle = str(obstacle)
            return None
        except Exception:
            self.clear()
            raise
        self.clear()
        return observation

    def _drop(self, counter: str, reason: str) -> None:
        assert self._held is not None
        stamp_ns = self._held[0]
        self.clear()
        self._on_drop(counter, f"frame of {seconds(stamp_ns)} {reason}")


def seconds(stamp_ns: int) -> str:
    """A stamp [ns] as people read it."""
    return f"{stamp_ns * 1e-9:.3f} s"
