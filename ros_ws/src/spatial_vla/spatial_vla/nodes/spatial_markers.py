"""An answer as markers: boxes of the things named, the points, and the sentence over them."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ..geometry import SE3
from ..grounding import SpatialAnswer
from ..language.spatial_grammar import SpatialQuestion
from ..spatial import SpatialScene
from .conversions import pose_message
from .viz_messages import point

SUBJECT, REFERENCE, POINT = (0.95, 0.75, 0.1, 0.45), (0.2, 0.5, 0.95, 0.45), (0.2, 0.85, 0.3, 1.0)
POINT_DIAMETER, TEXT_HEIGHT, ABOVE = 0.012, 0.025, 0.08


def answer_markers(
    header: Header, question: SpatialQuestion, found: SpatialAnswer, scene: SpatialScene
) -> MarkerArray:
    """Markers of an answer, after one that takes those of the last away; ``scene`` is in the header's frame."""
    markers = [Marker(header=header, ns="spatial_answer", action=Marker.DELETEALL)]
    subjects = {question.subject, *found.names} - {question.reference, question.other}
    references = {question.reference, question.other}
    for names, colour in ((subjects, SUBJECT), (references, REFERENCE)):
        for name in sorted(n for n in names if n is not None):
            box = scene.objects[scene.index(name)].box
            marker = _marker(header, len(markers), Marker.CUBE, box.size, colour)
            marker.pose = pose_message(SE3(box.rotation, box.centre))
            markers.append(marker)
    if question.kind in ("free", "room") and len(found.points):
        marker = _marker(header, len(markers), Marker.SPHERE_LIST, np.full(3, POINT_DIAMETER), POINT)
        marker.points = [point(p) for p in found.points]
        markers.append(marker)
    text = _marker(
        header, len(markers), Marker.TEXT_VIEW_FACING, np.full(3, TEXT_HEIGHT), (1.0, 1.0, 1.0, 1.0)
    )
    anchor = question.reference or question.subject
    assert anchor is not None  # every kind of question names a thing
    row = scene.index(anchor)
    text.pose.position = point(np.array([*scene.boxes.centre[row, :2], scene.boxes.high[row] + ABOVE]))
    text.text = found.text
    return MarkerArray(markers=[*markers, text])


def _marker(
    header: Header,
    number: int,
    kind: int,
    size: NDArray[np.float64],
    colour: tuple[float, float, float, float],
) -> Marker:
    marker = Marker(header=header, ns="spatial_answer", id=number, type=kind, action=Marker.ADD)
    x, y, z = size.tolist()
    marker.scale, marker.pose.orientation.w = Vector3(x=x, y=y, z=z), 1.0
    r, g, b, a = colour
    marker.color = ColorRGBA(r=r, g=g, b=b, a=a)
    return marker
