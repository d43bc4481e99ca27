"""The scripted expert: from ground truth to the next steps of motion.

A function of the present state alone, so that any state can be labelled: demonstrations, states that noise has pushed
off the path, and states that a half-trained policy has got itself into (DAgger, arXiv 1011.0686).

The tool flies above the objects, sinks into a funnel over the named one, and closes, stops or lifts as the verb asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from spatial_vla.geometry import SE3, matrix_to_rotvec, rotvec_to_matrix

from .scene import ObjectSpec
from .shapes import half_extents, reach_along
from .world import World

Array = NDArray[np.float64]

DT = 0.2  # s, duration of a step
MAX_STEP = 0.05  # m per step
MAX_TURN = 0.3  # rad per step
GAIN = 0.6  # share of the remaining way per step, so that the approach slows down
HOVER = 0.14  # m, height at which closed fingers and hand clear every object
LIFT_HEIGHT = 0.20  # m, TCP height at the end of a pick
CLEARANCE = {"touch": 0.002, "point": 0.007}  # m above the object's highest point
FUNNEL_NECK, FUNNEL_SLOPE = 0.012, 1.6
OPEN_WIDTH, OPEN_ENOUGH, CLOSING_SPEED = 0.08, 0.07, 0.2  # m, m, m/s, both fingers together
GRASP_HEIGHT = 0.027  # m, lowest TCP height that keeps the fingertips off the table
ALIGNED = 0.2  # rad, yaw error with which the fingers still fit around the object
STILL = 0.0015  # m, remaining way that counts as none
TOOL_DOWN = Rotation.from_euler("x", np.pi).as_matrix()


@dataclass(frozen=True, eq=False)
class State:
    """What the expert looks at: tool pose, opening of the hand [m], and one object with its pose."""

    tcp: SE3
    width: float
    object: ObjectSpec
    pose: SE3

    @classmethod
    def of(cls, world: World, index: int) -> State:
        """The world's present state, with the object of that index."""
        return cls(
            world.tcp_pose(),
            2.0 * world.joint_state()[2],
            world.scene.objects[index],
            world.object_poses()[index],
        )


def grasp_width(item: ObjectSpec) -> float:
    """Extent [m] of the object between the fingers when it is grasped as the expert does."""
    return 2.0 * float(half_extents(item.shape, item.size)[0])


def holds(state: State) -> bool:
    """True if the object is between closed fingers."""
    near = np.linalg.norm(state.pose.translation - state.tcp.translation) < 0.022
    return bool(near) and state.width < grasp_width(state.object) + 0.006


def answer(state: State, verb: str, steps: int = 4) -> tuple[Array, Array]:
    """The expert's next steps from a state, imagining that they are carried out exactly.

    Returns:
        deltas (steps, 6) in base axes [m, rad] and gripper (steps,) 0 or 1, as in ``spatial_vla.actions.ActionChunk``.
    """
    deltas, gripper = np.zeros((steps, 6)), np.zeros(steps)
    for i in range(steps):
        deltas[i], gripper[i] = act(state, verb)
        state = _imagine(state, deltas[i], gripper[i])
    return deltas, gripper


def act(state: State, verb: str) -> tuple[Array, float]:
    """The expert's next step: delta (6,) and gripper."""
    if verb == "pick":
        return _pick(state)
    top = state.pose.translation[2] + reach_along(
        state.object.shape, state.object.size, state.pose.rotation[2]
    )
    goal = np.array([*state.pose.translation[:2], top + CLEARANCE[verb]])
    return approach(state.tcp, goal, 0.0, HOVER), 0.0


def _pick(state: State) -> tuple[Array, float]:
    tcp, centre = state.tcp.translation, state.pose.translation
    yaw = _grasp_yaw(state)
    if holds(state):
        return clipped(np.array([0.0, 0.0, LIFT_HEIGHT - tcp[2]]), np.zeros(3)), 0.0
    goal = np.array([centre[0], centre[1], max(centre[2], GRASP_HEIGHT)])
    aside, above = float(np.linalg.norm((tcp - goal)[:2])), float(abs(tcp[2] - goal[2]))
    aligned = abs(_turn_to(state.tcp, yaw)[2]) < ALIGNED
    closing = state.width < OPEN_ENOUGH and aside < 0.014 and above < 0.012
    if closing or (aside < 0.007 and above < 0.006 and aligned):
        return np.zeros(6), 0.0
    floor = 0.0
    if state.width < OPEN_ENOUGH:
        floor = HOVER  # a closed hand must not come down on the object
    elif aside < 0.03 and not aligned:
        floor = float(tcp[2])  # turn first, then sink
    return approach(state.tcp, goal, yaw, HOVER, floor), 1.0


def _grasp_yaw(state: State) -> float:
    """Tool yaw [rad] that puts the fingers across the object, of the equivalent ones the nearest to the present."""
    if state.object.shape in ("ball", "cylinder"):
        return 0.0
    period, offset = (np.pi / 2, 0.0) if state.object.shape == "cube" else (np.pi, np.pi / 2)
    yaw = float(np.arctan2(state.pose.rotation[1, 0], state.pose.rotation[0, 0])) + offset
    present = tool_yaw(state.tcp)
    near = yaw + period * np.round((present - yaw) / period)
    return float(near - period * np.round(near / np.pi)) if abs(near) > np.pi / 2 + 0.2 else float(near)


def tool_yaw(tcp: SE3) -> float:
    """Angle of the tool's x axis about the base's z [rad]."""
    return float(np.arctan2(tcp.rotation[1, 0], tcp.rotation[0, 0]))


def _turn_to(tcp: SE3, yaw: float) -> Array:
    """Rotation vector in base axes that turns the tool to point down with that yaw."""
    wanted = Rotation.from_euler("z", yaw).as_matrix() @ TOOL_DOWN
    return matrix_to_rotvec(wanted @ tcp.rotation.T)


def approach(tcp: SE3, goal: Array, yaw: float, hover: float, floor: float = 0.0) -> Array:
    """A step towards the goal through the funnel above it, never below ``floor``."""
    way = goal - tcp.translation
    aside = float(np.linalg.norm(way[:2]))
    funnel = goal[2] + min(max(aside - FUNNEL_NECK, 0.0) * FUNNEL_SLOPE, max(hover - goal[2], 0.0))
    way[2] = max(funnel, floor) - tcp.translation[2]
    if way[2] > 0.02:  # below the funnel: rise before moving sideways
        way[:2] *= 0.15
    return clipped(way, _turn_to(tcp, yaw))


def clipped(way: Array, turn: Array) -> Array:
    """Shorten both parts to a step; what is left near the goal is none at all."""
    length, angle = float(np.linalg.norm(way)), float(np.linalg.norm(turn))
    way = way * (min(GAIN, MAX_STEP / length) if length > STILL else 0.0)
    turn = turn * (min(GAIN, MAX_TURN / angle) if angle > 0.02 else 0.0)
    return np.concatenate((way, turn))


def _imagine(state: State, delta: Array, gripper: float) -> State:
    """The state after an ideal step."""
    tcp = SE3(rotvec_to_matrix(delta[3:]) @ state.tcp.rotation, state.tcp.translation + delta[:3])
    held = holds(state) and gripper < 0.5
    pose = SE3(state.pose.rotation, state.pose.translation + delta[:3]) if held else state.pose
    between = np.linalg.norm(pose.translation - tcp.translation) < 0.022
    narrowest = grasp_width(state.object) if between else 0.0
    change = CLOSING_SPEED * DT * (1.0 if gripper >= 0.5 else -1.0)
    width = float(np.clip(state.width + change, min(narrowest, state.width), OPEN_WIDTH))
    return replace(state, tcp=tcp, width=width, pose=pose)
