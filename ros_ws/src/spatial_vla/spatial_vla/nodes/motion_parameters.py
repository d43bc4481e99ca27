"""The parameters of motion_node, and what they mean for the motion core."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ..description import ARM_JOINTS, BASE_FRAME, FINGER_JOINTS, TCP_FRAME, robot
from ..motion import (
    Box,
    CartesianLimits,
    GateSettings,
    MotionController,
    MotionLimits,
    MotionSettings,
    Obstacle,
    RobotModel,
    Scaling,
)
from .parameters import NodeParameter as P

_SHARE = "Share of the robot's own limit that is used"

PARAMETERS = (
    P("robot", "panda", "Which of the descriptions that ship: panda or fr3."),
    P("robot_description", "", "URDF text; empty: the robot's that ships."),
    P("joint_limits_file", "", "MoveIt-style joint_limits.yaml; empty: the robot's that ships."),
    P("joints", list(ARM_JOINTS), "The arm's joints, from the base on."),
    P("arm_topic", "panda_arm_controller/joint_trajectory", "Where the arm's trajectories go."),
    P("hand_topic", "panda_hand_controller/joint_trajectory", "Where the hand's trajectories go."),
    P("finger_joint", FINGER_JOINTS[0], "Joint that gripper commands name."),
    P("base_frame", BASE_FRAME, "Frame of chunks and limits."),
    P("tcp_frame", TCP_FRAME, "Frame that chunks move."),
    P("body_frames", ["panda_link4", "panda_link8"], "Elbow and flange: kept in the body box."),
    P(
        "backend",
        "auto",
        "What moves the joints: auto, servo (MoveIt Servo), embedded (this package alone), jtc_ik (the same, one "
        "trajectory per chunk) or plan (embedded, and MoveIt for ~/go_home and ~/move_to).",
    ),
    P(
        "planner",
        "auto",
        "What plans, with backend plan: move_action (a move_group node), moveit_py (in a process of its own), or auto: "
        "the first of them that can be used.",
    ),
    P("move_group_wait", 20.0, "A move_group may take this long to start [s].", 0.0, 300.0),
    P("home", [0.0, -0.6, 0.0, -2.4, 0.0, 1.8, 0.785], "Where ~/go_home leads (with backend plan) [rad]."),
    P("servo_node", "/servo_node", "Name of MoveIt's Servo node."),
    P("watchdog", "watchdog_node", "Name of the node that may command the arm, too, to stop it."),
    P("rate", 100.0, "Commands per second.", 50.0, 200.0),
    P("realtime_priority", 20, "Real-time priority to ask the system for, 1 to 99; 0: none.", 0, 99),
    P("arm_on_start", False, "Arm by itself, also after a reset. For simulation only."),
    P(
        "teleports",
        False,
        "Joint positions may jump, and the arm starts again from there. For simulation only; else that is a fault.",
    ),
    P("watched_nodes", ["encoder_node", "decoder_node"], "The arm holds unless all of these are alive."),
    P(
        "watched_once_seen",
        [""],
        "The arm holds when one of these dies, but does not wait for them at first.",
    ),
    P("velocity_scaling", 0.6, f"{_SHARE}: joint velocity.", 0.01, 1.0),
    P("acceleration_scaling", 0.8, f"{_SHARE}: joint acceleration.", 0.01, 1.0),
    P("jerk_scaling", 0.15, f"{_SHARE}: joint jerk.", 0.01, 1.0),
    P("stop_acceleration_scaling", 0.98, f"{_SHARE}: joint acceleration while stopping.", 0.01, 1.0),
    P("stop_jerk_scaling", 0.4, f"{_SHARE}: joint jerk while stopping.", 0.01, 1.0),
    P("stop_time", 0.12, "No joint goes faster than it can be stopped from in this time [s].", 0.02, 10.0),
    P("position_margin", 0.03, "Distance kept from the joint stops [rad].", 0.0, 0.49),
    P("max_speed", 0.25, "Tool centre point [m/s].", 0.01, 1.5),
    P("max_acceleration", 2.0, "Tool centre point [m/s^2].", 0.1, 10.0),
    P("max_angular_speed", 1.6, "Tool centre point [rad/s].", 0.05, 2.5),
    P("max_angular_acceleration", 12.0, "Tool centre point [rad/s^2].", 0.5, 25.0),
    P("workspace_lower", [0.15, -0.65, 0.012], "Lower corner of the tool centre point's box [m]."),
    P("workspace_upper", [0.85, 0.65, 0.95], "Upper corner of the tool centre point's box [m]."),
    P("body_lower", [-0.5, -0.8, 0.08], "Lower corner of the body frames' box [m]."),
    P("body_upper", [0.9, 0.8, 1.25], "Upper corner of the body frames' box [m]."),
    P(
        "self_clearance",
        0.01,
        "Distance that the robot's links keep from each other [m]; negative: not checked.",
        -1.0,
        0.1,
    ),
    P("table_height", -1.0, "Table top that links stay above, base frame [m]; -1: none.", -1.0, 2.0),
    P("obstacles", [0.0] * 6, "Boxes to keep away from: centre x y z, size x y z, ...; size 0: none [m]."),
    P("scene_clearance", 0.005, "Distance that links keep from table and obstacles [m].", 0.0, 0.2),
    P("singularity", 0.01, "Smallest singular value of the Jacobian to go down to; 0: any.", 0.0, 0.2),
    P("require_deadman", False, "Move only while ~/deadman says true, at 5 Hz or more."),
    P("deadman_timeout", 0.3, "A deadman message holds for this long, in real time [s].", 0.05, 2.0),
    P("dry_run", False, "Command an imagined arm: trajectories go to ~/dry_run and nowhere else."),
    P("max_step_translation", 0.06, "Longest translation of one step of a chunk [m].", 0.001, 0.5),
    P("max_step_rotation", 0.35, "Largest rotation of one step of a chunk [rad].", 0.001, 1.5),
    P("over_limit", "clamp", "Steps beyond that are shortened (clamp), or their chunk refused (reject)."),
    P("real_time_chunking", False, "A new chunk goes over from the one under way instead of replacing it."),
    P("joint_state_timeout", 0.1, "Oldest joint state to move on [s].", 0.02, 1.0),
    P("hold_distance", 0.03, "Distance from the reference at which the arm freezes [m].", 0.005, 0.2),
    P("hold_angle", 0.2, "Angle from the reference at which the arm freezes [rad].", 0.02, 1.0),
    P("fault_after", 1.0, "A freeze that lasts this long is a fault [s].", 0.1, 10.0),
    P("freezes_allowed", 3, "More freezes than these within ten seconds are a fault.", 0, 100),
)


def obstacles_from(value: Callable[[str], Any]) -> tuple[Obstacle, ...]:
    """Table and boxes from parameters. Raises ValueError if the numbers are not six per box."""
    numbers = list(value("obstacles"))
    if len(numbers) % 6:
        raise ValueError(
            f"parameter 'obstacles' has {len(numbers)} numbers; give six per box: centre and size"
        )
    rows = [numbers[i : i + 6] for i in range(0, len(numbers), 6)]
    boxes = [
        Obstacle(f"obstacle {i + 1}", tuple(row[:3]), tuple(row[3:]))
        for i, row in enumerate(rows)
        if any(row)
    ]
    height = value("table_height")
    return (*([Obstacle.table(height)] if height > -1.0 else []), *boxes)


def joint_limits_from(value: Callable[[str], Any], **parts: Any) -> MotionLimits:
    """Limits of the joints from parameters, read by ``value(name)``; ``parts``: the others, if not the defaults."""
    file = value("joint_limits_file")
    table = yaml.safe_load(Path(file).expanduser().read_text()) if file else robot(value("robot")).limits()
    return MotionLimits.from_urdf(
        value("robot_description") or robot(value("robot")).urdf(),
        table["joint_limits"],
        list(value("joints")),
        velocity_by_position=table.get("velocity_by_position"),
        **parts,
    )


def limits_from(value: Callable[[str], Any]) -> MotionLimits:
    """Limits from parameters, read by ``value(name)``."""
    return joint_limits_from(
        value,
        scaling=Scaling(
            velocity=value("velocity_scaling"),
            acceleration=value("acceleration_scaling"),
            jerk=value("jerk_scaling"),
            stop_acceleration=value("stop_acceleration_scaling"),
            stop_jerk=value("stop_jerk_scaling"),
            stop_time=value("stop_time"),
            position_margin=value("position_margin"),
        ),
        cartesian=CartesianLimits(
            speed=value("max_speed"),
            acceleration=value("max_acceleration"),
            angular_speed=value("max_angular_speed"),
            angular_acceleration=value("max_angular_acceleration"),
        ),
        workspace=Box(tuple(value("workspace_lower")), tuple(value("workspace_upper"))),
        body_box=Box(tuple(value("body_lower")), tuple(value("body_upper"))),
        body_frames=tuple(value("body_frames")),
        self_clearance=value("self_clearance"),
        obstacles=obstacles_from(value),
        scene_clearance=value("scene_clearance"),
        singularity=value("singularity"),
    )


def model_from(value: Callable[[str], Any]) -> RobotModel:
    """Kinematics of the arm. Raises ValueError if the URDF lacks a joint or frame."""
    urdf = value("robot_description") or robot(value("robot")).urdf()
    return RobotModel(urdf, list(value("joints")), value("base_frame"), value("tcp_frame"))


def controller_from(value: Callable[[str], Any]) -> MotionController:
    """The motion core that the parameters, read by ``value(name)``, describe.

    Raises:
        ValueError: a value makes no sense, or the URDF lacks a joint or frame.
        OSError: the limits file cannot be read.
    """
    over_limit = value("over_limit")
    if over_limit not in ("clamp", "reject"):
        raise ValueError(f"parameter 'over_limit' is {over_limit!r}; it must be 'clamp' or 'reject'")
    gate = GateSettings(
        frame=value("base_frame"),
        max_translation=value("max_step_translation"),
        max_rotation=value("max_step_rotation"),
        over_limit=over_limit,
    )
    settings = MotionSettings(
        gate=gate,
        joint_state_timeout=value("joint_state_timeout"),
        hold_error=(value("hold_distance"), value("hold_angle")),
        fault_after=value("fault_after"),
        freezes_allowed=value("freezes_allowed"),
        teleports=value("teleports"),
        real_time_chunking=value("real_time_chunking"),
    )
    return MotionController(model_from(value), limits_from(value), 1.0 / value("rate"), settings)
