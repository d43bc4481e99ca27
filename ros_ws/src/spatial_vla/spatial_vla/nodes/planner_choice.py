"""Which MoveIt plans, and why."""

from __future__ import annotations

from ..bringup.moveit import moveit_configuration
from ..description import robot
from ..motion import BackendUnavailable
from ..motion.planning import Planner
from .move_group import MoveGroupPlanner
from .moveit_process import MoveItProcess
from .spatial_node import SpatialNode

#: In the order in which ``auto`` tries them: a move_group that runs anyway saves a second scene and a second process.
PLANNERS = ("move_action", "moveit_py")


def choose_planner(node: SpatialNode, joints: tuple[str, ...]) -> Planner:
    """The planner that the parameter ``planner`` names, or with "auto" the first that can be used; the log says why.

    Args:
        joints: names of the arm's joints, in our order.

    Raises:
        ValueError: an unknown name.
        BackendUnavailable: the one asked for, or both of them, cannot be used.
    """
    wanted = node.value("planner")
    if wanted not in ("auto", *PLANNERS):
        raise ValueError(f"parameter 'planner' is {wanted!r}; it must be one of {['auto', *PLANNERS]}")
    arm = robot(node.value("robot"))
    group = f"{arm.name}_arm"

    def move_action() -> Planner:
        return MoveGroupPlanner(
            group, joints, node.value("move_group_wait"), node.get_namespace(), node.context
        )

    def moveit_py() -> Planner:
        return MoveItProcess(group, moveit_configuration(arm, bool(node.value("use_sim_time"))))

    makers = {"move_action": move_action, "moveit_py": moveit_py}
    missing: list[str] = []
    for name in PLANNERS if wanted == "auto" else [wanted]:
        try:
            planner = makers[name]()
        except BackendUnavailable as error:
            missing.append(f"not {name}: {error}")
            continue
        reason = "; ".join(missing) or ("a move_group runs" if wanted == "auto" else "asked for")
        node.get_logger().info(f"planner {name}: {reason}")
        return planner
    raise BackendUnavailable("; ".join(missing))
