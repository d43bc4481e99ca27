"""Messages about things, and transforms, to the objects of a spatial scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3
from spatial_vla_interfaces.msg import SimState
from vision_msgs.msg import Detection3D, Detection3DArray

from ..geometry import SE3
from ..spatial import OrientedBox, SceneObject, Traits, Uncertainty, traits_of
from .refusal import RefusedInput

DETECTIONS, STATE = "detections_refused", "sim_state_refused"


def objects_from_detections(
    message: Detection3DArray, floor: Uncertainty, fronts: Sequence[str] = ()
) -> list[SceneObject]:
    """Detected things, in the frame of the message; several of a class are numbered, by their ids where they have.

    The hypothesis with the best score gives the class; twice the standard deviations of its covariance are the
    uncertainty, if that is more than ``floor``.

    Args:
        fronts: classes whose box's +x is a front, besides those known to have one.

    Raises:
        RefusedInput: naming a detection without hypothesis, whose box has a side of 0, or in another frame.
    """
    best = [_best(detection, number, message) for number, detection in enumerate(message.detections)]
    count = Counter(hypothesis.hypothesis.class_id for hypothesis in best)
    seen: Counter[str] = Counter()
    out = []
    for detection, hypothesis in zip(message.detections, best, strict=True):
        kind = hypothesis.hypothesis.class_id
        seen[kind] += 1
        name = kind if count[kind] == 1 else f"{kind} {detection.id or seen[kind]}"
        box = _box(detection.bbox.center, detection.bbox.size, name, DETECTIONS)
        sure = _uncertainty(hypothesis.pose, floor)
        out.append(SceneObject(name, kind, box, sure, _traits(kind, fronts)))
    names = Counter(item.name for item in out)
    if twice := [name for name, times in names.items() if times > 1]:
        raise RefusedInput(DETECTIONS, f"detections {twice} have the same class and id; ids must differ")
    return out


def objects_from_state(message: SimState, fronts: Sequence[str] = ()) -> list[SceneObject]:
    """The simulated things as they are, in the frame of the message.

    Raises:
        RefusedInput: names, poses and sizes are not equally many.
    """
    if not len(message.names) == len(message.poses) == len(message.sizes):
        lengths = f"{len(message.names)} names, {len(message.poses)} poses, {len(message.sizes)} sizes"
        raise RefusedInput(STATE, f"sim/state has {lengths}; expected as many of each")
    return [
        SceneObject(name, name.split()[-1], _box(pose, size, name, STATE), traits=_traits(name, fronts))
        for name, pose, size in zip(message.names, message.poses, message.sizes, strict=True)
    ]


def _best(detection: Detection3D, number: int, message: Detection3DArray):  # noqa: ANN202 (a generated type)
    frame = detection.header.frame_id
    if frame and frame != message.header.frame_id:
        raise RefusedInput(
            DETECTIONS,
            f"detection {number} is in {frame!r}, the array in {message.header.frame_id!r}; expected one frame",
        )
    if not detection.results:
        raise RefusedInput(DETECTIONS, f"detection {number} has no hypothesis; expected at least one class")
    return max(detection.results, key=lambda row: row.hypothesis.score)


def _box(pose: Pose, size: Vector3, name: str, counter: str) -> OrientedBox:
    p, q = pose.position, pose.orientation
    try:
        at = SE3.from_quaternion((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
        return OrientedBox(at.translation, np.array((size.x, size.y, size.z)), at.rotation)
    except ValueError as error:
        raise RefusedInput(counter, f"{name!r}: {error}") from error


def _uncertainty(pose: PoseWithCovariance, floor: Uncertainty) -> Uncertainty:
    variance = np.array(pose.covariance, np.float64).reshape(6, 6)
    off = [
        2.0 * float(np.sqrt(max(np.linalg.eigvalsh(part)[-1], 0.0)))
        for part in (variance[:3, :3], variance[3:, 3:])
    ]
    return Uncertainty(max(off[0], floor.position), max(off[1], floor.angle), floor.size)


def _traits(category: str, fronts: Sequence[str]) -> Traits | None:
    known = traits_of(category)
    if not any(category == kind or category.endswith(f" {kind}") for kind in fronts):
        return None
    return Traits(True, known.flat_top, known.container, known.canopy, known.movable, known.environment)
