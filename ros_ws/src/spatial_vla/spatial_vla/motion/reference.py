"""From action chunks to one continuous commanded motion of the tool centre point.

A chunk is tied to the pose that was *commanded* at its observation time, not to the measured one: recomputing targets
from feedback would shrink every motion by the arm's lag. A newer chunk replaces the older one at once; what separates
the motion under way from the new curve is carried over as an offset that fades to zero within one step, which leaves
position and velocity continuous. What has faded by the time the next chunk comes is kept. Nothing is ever extrapolated:
after the last step the motion has come to rest.

An arm that moves cannot be where it was observed to be a moment ago. So a chunk without motion means "come to rest",
not "go back", and a motion that is faster than a new curve keeps the way it takes to brake. Otherwise every chunk would
be tied to a motion back, begun by the one before it, and a stream of chunks that say "stay" would never come to rest.
"""

from __future__ import annotations

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from ..actions import ActionChunk
from ..actions.chunk import NANOSECONDS
from ..geometry import SE3
from .continuity import continued
from .history import PoseHistory, Setpoint
from .limits import CartesianLimits
from .path import ChunkPath, hermite, left_jacobian, left_jacobian_inverse

Array = NDArray[np.float64]

#: Share of the acceleration that fading may use to brake; the rest is for the curve itself.
FADING_SHARE = 0.5
LONG_NS = 1 << 62


class ReferenceGenerator:
    """Follows the newest chunk. Feed back what was really commanded with :meth:`record`."""

    def __init__(self, limits: CartesianLimits, continuous: bool = False) -> None:
        """``continuous``: a new chunk goes over from the one under way (:mod:`.continuity`), or else replaces it."""
        self._continuous = continuous
        acceleration = [limits.acceleration] * 3 + [limits.angular_acceleration] * 3
        self._fading = FADING_SHARE * np.array(acceleration)
        self._history = PoseHistory()
        self._path: ChunkPath | None = None
        self._chunk: ActionChunk | None = None
        self._skipped = 0
        self._offset, self._offset_rate, self._offset_end = np.zeros(6), np.zeros(6), np.zeros(6)
        self._fade_start_ns = 0

    def anchor(self, pose: SE3, now_ns: int) -> None:
        """Forget everything and stand still at ``pose``."""
        self.stop()
        self._history.clear()
        self._history.append(now_ns, Setpoint.at_rest(pose))

    def record(self, stamp_ns: int, setpoint: Setpoint) -> None:
        """What was commanded for a time: the base of chunks observed then."""
        self._history.append(stamp_ns, setpoint)

    def commanded(self, stamp_ns: int) -> Setpoint:
        """What was commanded for a time (for comparison with a measurement of that time)."""
        return self._history.at(stamp_ns)

    def stop(self) -> None:
        """Drop the chunk; from now on the reference stands still at the last recorded pose."""
        self._path = self._chunk = None

    def accept(self, chunk: ActionChunk, now_ns: int) -> int:
        """Follow ``chunk`` from now on; the number of steps whose time has passed, which are skipped.

        A skipped step is not made up for: the rest starts from where the reference was when the step under way began.
        """
        now_ns = max(now_ns, self._history.last_ns)
        stamp_ns = min(chunk.stamp_ns, now_ns)
        dt_ns = round(chunk.dt * NANOSECONDS)
        skipped = (now_ns - stamp_ns) // dt_ns
        if skipped >= chunk.steps:
            return chunk.steps
        current = self._history.at(now_ns)
        if self._continuous and self._chunk is not None:
            chunk = continued(self._chunk, chunk, now_ns)
        if chunk.is_zero_motion:
            path = resting_path(current, chunk, now_ns)
        else:
            start_ns = stamp_ns + skipped * dt_ns
            path = ChunkPath(start_ns, chunk.dt, self._start(start_ns, now_ns), chunk.deltas[skipped:])
        self._fade_from(current, path.sample(now_ns), chunk.dt)
        self._path, self._chunk, self._skipped, self._fade_start_ns = path, chunk, skipped, now_ns
        return skipped

    def _start(self, start_ns: int, now_ns: int) -> Setpoint:
        """Where a chunk that is followed from now on begins at ``start_ns``: where the command was, less its fading.

        What has faded since is kept. Taken for a motion to be undone, it would come back as the next offset: with
        chunks nearly one step old the sign alternates and hardly anything is lost, and the arm rings.
        """
        start = self._history.at(start_ns)
        if self._path is None:
            return start
        then, rate = self._offset_at(max(start_ns, self._fade_start_ns))
        now, _ = self._offset_at(now_ns)
        twist = np.array(start.twist)
        if start_ns >= self._fade_start_ns:
            twist -= np.concatenate((rate[:3], left_jacobian(then[3:]) @ rate[3:]))
        rotation = pin.exp3(now[3:]) @ pin.exp3(then[3:]).T @ start.pose.rotation
        return Setpoint(SE3(rotation, start.pose.translation + now[:3] - then[:3]), twist)

    def _offset_at(self, stamp_ns: int) -> tuple[Array, Array]:
        """Offset (6,) from the path being followed at a time since it began, and its rate."""
        if self._path is None:
            return np.zeros(6), np.zeros(6)
        s = (stamp_ns - self._fade_start_ns) * 1e-9 / self._path.dt
        value, slope = hermite(
            min(max(s, 0.0), 1.0),
            self._offset_end - self._offset,
            self._offset_rate * self._path.dt,
            np.zeros(6),
        )
        return self._offset + value, slope / self._path.dt

    def _fade_from(self, current: Setpoint, planned: Setpoint, dt: float) -> None:
        """Offset of the motion under way from the new curve, and its rate: what has to fade.

        A motion faster than the curve keeps the way it takes to brake.
        """
        turn = pin.log3(current.pose.rotation @ planned.pose.rotation.T)
        spin = left_jacobian_inverse(turn) @ (current.twist[3:] - pin.exp3(turn) @ planned.twist[3:])
        self._offset = np.concatenate((current.pose.translation - planned.pose.translation, turn))
        self._offset_rate = np.concatenate((current.twist[:3] - planned.twist[:3], spin))
        slope = self._offset_rate * dt
        direction = np.sign(slope) * (slope * current.twist > 0.0)
        # A cubic from `slope` to rest begins with an acceleration of (6 distance - 4 slope) / dt^2.
        distance = (4.0 * np.abs(slope) - self._fading * dt * dt) / 6.0
        self._offset_end = direction * np.maximum(distance + direction * self._offset, 0.0)

    @property
    def chunk(self) -> ActionChunk | None:
        """The chunk being followed."""
        return self._chunk

    @property
    def end_ns(self) -> int:
        """When there is nothing left to do of the chunk; long ago if there is none."""
        if self._path is None:
            return -LONG_NS
        return max(self._path.end_ns, self._fade_start_ns + round(self._path.dt * NANOSECONDS))

    def active(self, stamp_ns: int) -> bool:
        """True while a chunk still has something to do at a time."""
        return stamp_ns < self.end_ns

    def sample(self, stamp_ns: int) -> Setpoint:
        """The motion wanted at a time at or after the last :meth:`record`."""
        if self._path is None:
            return Setpoint.at_rest(self._history.last.pose)
        planned = self._path.sample(stamp_ns)
        offset, rate = self._offset_at(stamp_ns)
        turned = pin.exp3(offset[3:])
        pose = SE3(turned @ planned.pose.rotation, planned.pose.translation + offset[:3])
        spin = left_jacobian(offset[3:]) @ rate[3:] + turned @ planned.twist[3:]
        return Setpoint(pose, np.concatenate((planned.twist[:3] + rate[:3], spin)))

    def gripper(self, stamp_ns: int) -> float | None:
        """Opening wanted at a time, 1 open and 0 closed; None without a chunk."""
        if self._path is None or self._chunk is None:
            return None
        step = self._skipped + self._path.step_at(stamp_ns)
        # A path to rest has all the chunk's steps, whatever was skipped.
        return float(self._chunk.gripper[min(step, self._chunk.steps - 1)])


def resting_path(current: Setpoint, chunk: ActionChunk, now_ns: int) -> ChunkPath:
    """From the motion under way to rest, at constant deceleration over one step."""
    deltas = np.zeros((chunk.steps, 6))
    deltas[0] = current.twist * (chunk.dt / 2.0)
    return ChunkPath(now_ns, chunk.dt, current, deltas)
