"""What is said to a move_group and what its answers mean."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..motion import BackendUnavailable
from ..motion.planning import JointPlan

Array = NDArray[np.float64]

#: Planning: at most this long [s] and this often, as ``plan_request_params`` has it for moveit_py.
PLANNING_TIME, ATTEMPTS = 2.0, 3
#: Joint goals are met within this [rad].
TOLERANCE = 1e-4


def move_group_interfaces() -> SimpleNamespace:
    """The message types that move_group speaks. Raises BackendUnavailable where they are not installed."""
    try:
        from moveit_msgs.action import ExecuteTrajectory, MoveGroup
        from moveit_msgs.msg import Constraints, JointConstraint, MoveItErrorCodes
    except ImportError as error:
        raise BackendUnavailable(
            f"MoveIt's messages are not installed ({error}); on a full ROS 2: apt install ros-$ROS_DISTRO-moveit, "
            "elsewhere ros_ws/build_interfaces.py --moveit or ./setup --dev build them"
        ) from error
    return SimpleNamespace(
        plan=MoveGroup,
        execute=ExecuteTrajectory,
        constraints=Constraints,
        joint=JointConstraint,
        codes=MoveItErrorCodes,
    )


def plan_request(
    kinds: SimpleNamespace,
    group: str,
    joints: tuple[str, ...],
    goal: Array,
    speed: float,
    acceleration: float,
) -> Any:
    """A MoveGroup goal that plans to joint positions ``goal`` (n,) [rad] and does not move."""
    request = kinds.plan.Goal()
    # Empty differences: from the state and in the scene that move_group has.
    request.planning_options.planning_scene_diff.is_diff = True
    request.planning_options.planning_scene_diff.robot_state.is_diff = True
    request.planning_options.plan_only = True
    wanted = request.request
    wanted.start_state.is_diff = True
    wanted.group_name = group
    wanted.num_planning_attempts, wanted.allowed_planning_time = ATTEMPTS, PLANNING_TIME
    # 0 would mean 1 to MoveIt.
    wanted.max_velocity_scaling_factor = min(max(speed, 1e-3), 1.0)
    wanted.max_acceleration_scaling_factor = min(max(acceleration, 1e-3), 1.0)
    width = {"tolerance_above": TOLERANCE, "tolerance_below": TOLERANCE, "weight": 1.0}
    constraints = [
        kinds.joint(joint_name=name, position=float(position), **width)
        for name, position in zip(joints, goal, strict=True)
    ]
    wanted.goal_constraints = [kinds.constraints(joint_constraints=constraints)]
    return request


def plan_from_message(trajectory: Any, joints: tuple[str, ...], token: int) -> JointPlan:
    """A RobotTrajectory as a plan in our order of joints.

    Raises:
        BackendUnavailable: it is of other joints, or nobody timed it.
    """
    told, points = trajectory.joint_trajectory, trajectory.joint_trajectory.points
    if set(told.joint_names) != set(joints):
        raise BackendUnavailable(
            f"move_group planned for the joints {list(told.joint_names)}; expected {list(joints)}"
        )
    order = [told.joint_names.index(name) for name in joints]
    if any(len(p.velocities) != len(order) or len(p.positions) != len(order) for p in points):
        raise BackendUnavailable(
            "a plan of move_group lacks positions or velocities; it needs a response adapter that times plans, such as "
            "AddTimeOptimalParameterization"
        )
    times = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in points]
    positions, velocities = (
        np.array([getattr(p, kind) for p in points], dtype=np.float64).reshape(-1, len(order))[:, order]
        for kind in ("positions", "velocities")
    )
    return JointPlan(np.array(times), positions, velocities, token)


def words(code: Any) -> str:
    """Name, number and message of a MoveItErrorCodes."""
    constants = vars(type(code)).items()
    name = next((name for name, value in constants if name.isupper() and value == code.val), "unknown error")
    return f"{name} ({code.val})" + (f": {code.message}" if code.message else "")
