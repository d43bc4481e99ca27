"""The external camera's frames with the decoded plan, the target and the instruction drawn in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_vla.actions import ActionChunk
from spatial_vla.geometry import SE3, PinholeCamera
from spatial_vla.tf.exceptions import TransformException
from spatial_vla.tf.pose import Pose
from spatial_vla.tf.tree import TransformTree
from spatial_vla.viz import Plan, draw_caption, draw_plan, enlarge

from . import bag
from .run import Episode, Run

CAMERA = "/camera/external"
TCP_FRAME = "panda_tcp"
TOPICS = ("/tf", "/tf_static", f"{CAMERA}/image", f"{CAMERA}/camera_info", "/action_chunk")
SCALE = 3
PLAN_AGE_NS = 1_000_000_000  # a plan older than this is no longer what the arm does
AFTERMATH_NS = 1_000_000_000  # shown after the end of an episode, with its outcome


@dataclass(frozen=True, eq=False)
class FilmFrame:
    """One finished picture (height, width, 3) RGB at a time of the bag [ns], and the episode it belongs to."""

    image: NDArray[np.uint8]
    time_ns: int
    episode: Episode


def film(run: Run) -> Iterator[FilmFrame]:
    """Frames of all episodes and of the second after each; what lies between is left out."""
    return _Camera(run.episodes).frames(run.messages(*TOPICS))


class _Camera:
    def __init__(self, episodes: list[Episode]) -> None:
        self._episodes = episodes
        self._tree = TransformTree()
        self._intrinsics: PinholeCamera | None = None
        self._chunk: ActionChunk | None = None
        self._plan: Plan | None = None

    def frames(self, messages: Iterable[tuple[str, int, Any]]) -> Iterator[FilmFrame]:
        for topic, time_ns, message in messages:
            if topic.startswith("/tf"):
                self._insert(message, static=topic == "/tf_static")
            elif topic == "/action_chunk":
                self._follow(bag.chunk(message))
            elif topic == f"{CAMERA}/camera_info":
                self._intrinsics = bag.camera(message)
            elif (episode := self._episode_at(time_ns)) is not None:
                yield FilmFrame(self._draw(message, time_ns, episode), time_ns, episode)

    def _insert(self, message: Any, static: bool) -> None:
        for stamped in message.transforms:
            t, q = stamped.transform.translation, stamped.transform.rotation
            pose = Pose((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
            self._tree.insert(
                stamped.header.frame_id, stamped.child_frame_id, bag.stamp_ns(stamped), pose, static
            )

    def _lookup(self, target: str, source: str, stamp: int) -> SE3 | None:
        """target_from_source, or None while the bag has not told enough."""
        try:
            pose, _ = self._tree.lookup(target, source, stamp)
        except TransformException:
            return None
        return SE3.from_quaternion(pose.translation, pose.rotation)

    def _follow(self, chunk: ActionChunk) -> None:
        tcp = self._lookup(chunk.frame, TCP_FRAME, chunk.stamp_ns)
        self._chunk, self._plan = chunk, None if tcp is None else Plan.of(chunk, tcp)

    def _episode_at(self, time_ns: int) -> Episode | None:
        """The latest episode that is running or has just ended."""
        fitting = (e for e in reversed(self._episodes) if e.start_ns <= time_ns < e.end_ns + AFTERMATH_NS)
        return next(fitting, None)

    def _draw(self, message: Any, time_ns: int, episode: Episode) -> NDArray[np.uint8]:
        image = enlarge(bag.picture(message), SCALE)
        plan = self._plan_at(message, episode)
        if plan is not None and self._intrinsics is not None:
            height, width = image.shape[:2]
            image = draw_plan(image, self._intrinsics.resized(width, height), plan)
        return draw_caption(image, episode.text, _state(episode, time_ns))

    def _plan_at(self, message: Any, episode: Episode) -> Plan | None:
        """The plan in force at an image, in the image's optical frame."""
        chunk, stamp = self._chunk, bag.stamp_ns(message)
        if chunk is None or self._plan is None or chunk.instruction_id != episode.instruction_id:
            return None
        camera_from_base = self._lookup(message.header.frame_id, chunk.frame, stamp)
        if camera_from_base is None or stamp - chunk.stamp_ns > PLAN_AGE_NS:
            return None
        return self._plan.seen_from(camera_from_base)


def _state(episode: Episode, time_ns: int) -> str:
    if time_ns < episode.end_ns:
        return f"{(time_ns - episode.start_ns) * 1e-9:.1f} s"
    if episode.success is None:
        return "ended"
    return "success" if episode.success else episode.failure.replace("_", " ") or "failed"
