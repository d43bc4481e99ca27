"""Real-time chunking: a new chunk goes on from what is being executed of the last one.

After Black, Galliker and Levine, "Real-Time Execution of Action Chunking Flow Policies" (arXiv 2506.07339). There a
diffusion policy is guided while it samples; a policy that decodes tokens has no such thing, so here their soft mask
weighs the two finished chunks. Both are aligned by time. Steps that have begun stay as they were decided before
(they are executed); the steps after that go over from the last chunk to the new one, by weights that fall off
exponentially; where the last chunk has ended, the new one is free.

Translations are mixed linearly and rotations along the geodesic of SO(3). Grippers are never mixed: half an opening of
"open" and "closed" is neither. A chunk without motion means "stop" and is obeyed at once.
"""

from __future__ import annotations

from dataclasses import replace
from math import e, exp

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from ..actions import ActionChunk
from ..actions.chunk import NANOSECONDS

Array = NDArray[np.float64]


def continued(last: ActionChunk, new: ActionChunk, now_ns: int) -> ActionChunk:
    """``new`` as it is to be followed from ``now_ns`` on by an arm that follows ``last``.

    ``new`` itself, if they do not belong together: another frame, step or instruction, or one of them without motion.
    """
    alike = (last.frame, last.dt, last.instruction_id) == (new.frame, new.dt, new.instruction_id)
    if not alike or last.is_zero_motion or new.is_zero_motion or new.stamp_ns < last.stamp_ns:
        return new
    dt_ns = round(new.dt * NANOSECONDS)
    begun = -(-(now_ns - new.stamp_ns) // dt_ns)
    shared = (last.horizon_ns - new.stamp_ns) // dt_ns
    weights = mask(new.steps, begun, shared)
    deltas = np.array(new.deltas, dtype=np.float64)
    for i in np.flatnonzero(weights):
        before = planned(last, new.stamp_ns + i * dt_ns, dt_ns)
        deltas[i] = mixed(before, deltas[i], weights[i])
    return replace(new, deltas=deltas)


def mask(steps: int, begun: int, shared: int) -> Array:
    """How much of the last chunk remains in each step (steps,): 1 in the first ``begun``, 0 from ``shared`` on."""
    weights = np.zeros(steps)
    weights[: max(min(begun, shared), 0)] = 1.0
    for i in range(max(begun, 0), min(steps, shared)):
        left = (shared - i) / (shared - begun + 1)
        weights[i] = left * (exp(left) - 1.0) / (e - 1.0)
    return weights


def mixed(before: Array, after: Array, weight: float) -> Array:
    """A step (6,) between two: ``weight`` 1 is ``before``, 0 is ``after``."""
    turn = pin.log3(pin.exp3(before[3:]) @ pin.exp3(after[3:]).T)
    rotation = pin.log3(pin.exp3(weight * turn) @ pin.exp3(after[3:]))
    return np.concatenate((after[:3] + weight * (before[:3] - after[:3]), rotation))


def planned(chunk: ActionChunk, start_ns: int, duration_ns: int) -> Array:
    """The motion (6,) of ``chunk`` from ``start_ns`` on, each step at constant speed; it has none outside its time."""
    dt_ns = round(chunk.dt * NANOSECONDS)
    translation, rotation = np.zeros(3), np.eye(3)
    for i, delta in enumerate(chunk.deltas):
        begin = chunk.stamp_ns + i * dt_ns
        part = (min(begin + dt_ns, start_ns + duration_ns) - max(begin, start_ns)) / dt_ns
        if part > 0.0:
            translation = translation + part * delta[:3]
            rotation = pin.exp3(part * delta[3:]) @ rotation
    return np.concatenate((translation, pin.log3(rotation)))
