"""Arrays of ``spatial_vla.viz`` as the messages that rviz and Foxglove draw, and the action grid's message back."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from spatial_vla_interfaces.msg import ActionGrid as ActionGridMessage
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ..actions import ActionGrid
from ..viz import POINT_DTYPE, Plan, PointSet
from ..viz.colours import PLAN, RGB, TARGET
from .refusal import RefusedInput

LIFETIME = Duration(sec=2)  # a plan older than this vanishes from the viewers by itself
LINE_WIDTH, STEP_DIAMETER, TARGET_DIAMETER = 0.004, 0.010, 0.030
_FIELD_TYPES = {"<f4": PointField.FLOAT32, "<u4": PointField.UINT32}


def grid_from_message(message: ActionGridMessage) -> ActionGrid:
    """Message to an ActionGrid for display; the message does not tell the rotation dead zone.

    Raises:
        RefusedInput: the edges are not those of a grid.
    """
    m = message
    try:
        return ActionGrid(
            *(np.array(edges) for edges in (m.theta_edges, m.phi_edges, m.r_edges)),
            *(np.array(edges) for edges in (m.roll_edges, m.pitch_edges, m.yaw_edges)),
            translation_scale=m.translation_scale,
            rotation_scale=m.rotation_scale,
            zero_motion=m.zero_motion,
        )
    except ValueError as error:
        raise RefusedInput("grid_refused", str(error)) from error


def cloud_message(header: Header, cloud: NDArray[np.void]) -> PointCloud2:
    """An unordered cloud (N,) of ``POINT_DTYPE``."""
    fields = []
    for name in POINT_DTYPE.names or ():
        kind, offset = POINT_DTYPE.fields[name][:2]  # type: ignore[index]
        fields.append(PointField(name=name, offset=offset, datatype=_FIELD_TYPES[kind.str], count=1))
    message = PointCloud2(header=header, height=1, width=len(cloud), fields=fields, is_dense=True)
    message.point_step = POINT_DTYPE.itemsize
    message.row_step = POINT_DTYPE.itemsize * len(cloud)
    message.data = array.array("B", cloud.tobytes())
    return message


def path_message(header: Header, plan: Plan) -> Path:
    """The plan's positions as a path; its orientations say nothing."""
    message = Path(header=header)
    for position in plan.positions:
        pose = PoseStamped(header=header)
        pose.pose.position = point(position)
        message.poses.append(pose)
    return message


def plan_markers(header: Header, plan: Plan) -> MarkerArray:
    """Line through the plan, a ball at the end of every step, and one at the target (without target: its removal)."""
    line = _marker(header, "trajectory", Marker.LINE_STRIP, LINE_WIDTH, PLAN)
    line.points = [point(p) for p in plan.positions]
    steps = _marker(header, "steps", Marker.SPHERE_LIST, STEP_DIAMETER, PLAN)
    steps.points = [point(p) for p in plan.positions[1:]]
    target = _marker(header, "target", Marker.SPHERE, TARGET_DIAMETER, TARGET, opacity=0.75)
    if plan.target is None:
        target.action = Marker.DELETE
    else:
        target.pose.position = point(plan.target)
    return MarkerArray(markers=[line, steps, target])


def cells_marker(header: Header, cells: PointSet, origin: NDArray[np.float64]) -> Marker:
    """The action grid's cells around ``origin`` (3,), all of one colour. Thousands of points: make it rarely."""
    marker = _marker(header, "cells", Marker.POINTS, cells.diameter, (0, 0, 0))
    marker.color = _colour(cells.colours[0])
    marker.points = [point(p) for p in cells.positions]
    return moved(marker, header, origin)


def chosen_marker(header: Header, cells: PointSet, origin: NDArray[np.float64]) -> Marker:
    """The chosen cells around ``origin`` (3,), each in its colour; removes the last ones if there are none."""
    marker = _marker(header, "chosen", Marker.SPHERE_LIST, cells.diameter, (255, 255, 255))
    marker.action = Marker.ADD if len(cells) else Marker.DELETE
    marker.points = [point(p) for p in cells.positions]
    marker.colors = [_colour(c) for c in cells.colours]
    return moved(marker, header, origin)


def moved(marker: Marker, header: Header, origin: NDArray[np.float64]) -> Marker:
    """The same marker, placed at another origin (3,) and time."""
    marker.header = header
    marker.pose.position = point(origin)
    return marker


def point(position: NDArray[np.float64]) -> Point:
    """A position (3,) [m]."""
    x, y, z = position.tolist()
    return Point(x=x, y=y, z=z)


def _marker(
    header: Header, namespace: str, kind: int, size: float, colour: RGB, opacity: float = 1.0
) -> Marker:
    marker = Marker(header=header, ns=namespace, type=kind, action=Marker.ADD, lifetime=LIFETIME)
    marker.scale.x = marker.scale.y = marker.scale.z = size
    marker.color = _colour(np.array([*colour, 255.0 * opacity]) / 255.0)
    return marker


def _colour(rgba: NDArray[np.floating]) -> ColorRGBA:
    r, g, b, a = rgba.tolist()
    return ColorRGBA(r=r, g=g, b=b, a=a)
