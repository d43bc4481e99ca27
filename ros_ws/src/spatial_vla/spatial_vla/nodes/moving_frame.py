"""The pose of a frame that moves, as long as it moves as a robot can."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Transform

from ..geometry import SE3
from ..tf import TransformSource
from .conversions import se3_from_transform
from .frame_intake import transform_at
from .refusal import RefusedInput

#: No arm beside people moves its tool faster [m/s].
FASTEST = 2.0
#: What rounding and interpolation may add [m].
SLACK = 0.05


class MovingFrame:
    """Poses of ``source`` in ``target``. One that nothing could have reached since the one before is refused.

    It is refused once: an arm that was put elsewhere is where it is. Transforms that jump all the time are refused all
    the time.
    """

    def __init__(self, transforms: TransformSource, target: str, source: str) -> None:
        self._transforms, self._target, self._source = transforms, target, source
        self._last: tuple[int, np.ndarray] | None = None

    def at(self, stamp_ns: int) -> SE3:
        """The pose at a stamp.

        Raises:
            NotYet: not known (yet) for that time.
            RefusedInput: it jumped, or a frame name is malformed.
        """
        found: Transform = transform_at(self._transforms, self._target, self._source, stamp_ns)
        pose, last = se3_from_transform(found), self._last
        self._last = stamp_ns, pose.translation
        if last is not None and stamp_ns > last[0]:
            jumped = float(np.linalg.norm(pose.translation - last[1]))
            passed = (stamp_ns - last[0]) * 1e-9
            if jumped > FASTEST * passed + SLACK:
                story = f"'{self._source}' jumped {jumped:.3f} m in {passed:.3f} s"
                raise RefusedInput("transforms_jumped", f"transform of {story}: {FASTEST:g} m/s is possible")
        return pose
