"""What a bring-up needs of MoveIt and ros2_control, both of a full ROS 2: processes and their parameters."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import yaml

from ..description import Robot, robot
from .arguments import BringupArguments
from .mock_hardware import with_mock_hardware
from .node_list import NodeEntry, ParameterValue, package_file

#: Group state of the SRDF in which mock hardware starts.
START = "ready"


def moveit_nodes(arguments: BringupArguments) -> tuple[NodeEntry, ...]:
    """Servo for ``backend:=servo``, move_group for ``backend:=plan``; ros2_control for ``mock_hardware:=true``."""
    arm = robot(arguments.robot)
    servo, plan = arguments.backend == "servo", arguments.backend == "plan"
    model: dict[str, Any] = {"robot_description": arm.urdf(), "robot_description_semantic": semantic(arm)}

    def node(
        package: str,
        executable: str,
        files: tuple[str, ...] = (),
        condition: bool = True,
        name: str = "",
        program_arguments: tuple[str, ...] = (),
        required: bool = True,
        remappings: tuple[tuple[str, str], ...] = (),
        **parameters: ParameterValue,
    ) -> NodeEntry:
        return NodeEntry(
            package=package,
            executable=executable,
            name=name or executable,
            namespace="/" + arguments.namespace.strip("/"),
            arguments=program_arguments,
            parameter_files=tuple(package_file(f"launch/config/moveit/{arm.name}/{file}") for file in files),
            parameters={"use_sim_time": arguments.use_sim_time, **parameters},
            remappings=remappings,
            log_level=arguments.log_level,
            condition=condition,
            required=required,
            respawn=required and arguments.use_respawn,
        )

    mock = arguments.mock_hardware
    return (
        node(
            "controller_manager",
            "ros2_control_node",
            ("controllers.yaml",),
            condition=mock,
            name="controller_manager",
            robot_description=with_mock_hardware(arm.urdf(), start_positions(arm)) if mock else "",
        ),
        node(
            "controller_manager",
            "spawner",
            condition=mock,
            program_arguments=("joint_state_broadcaster", *controllers(arm)),
            required=False,  # it ends when the controllers are up
        ),
        node("moveit_servo", "servo_node", ("model.yaml", "servo.yaml"), condition=servo, **model),
        node(
            "moveit_ros_move_group", "move_group", ("model.yaml", "move_group.yaml"), condition=plan, **model
        ),
    )


def moveit_configuration(arm: Robot, use_sim_time: bool) -> dict[str, Any]:
    """Parameters of a MoveIt that runs inside another program, as it wants them in one dictionary."""
    configuration: dict[str, Any] = {
        "robot_description": arm.urdf(),
        "robot_description_semantic": semantic(arm),
        # Inside the dictionary, or MoveIt waits for joint states of another time.
        "use_sim_time": use_sim_time,
    }
    for file in ("model.yaml", "move_group.yaml"):
        text = package_file(f"launch/config/moveit/{arm.name}/{file}").read_text(encoding="utf-8")
        configuration |= yaml.safe_load(text)["/**"]["ros__parameters"]
    return configuration


def controllers(arm: Robot) -> tuple[str, str]:
    """Names of the controllers of arm and hand."""
    return f"{arm.name}_arm_controller", f"{arm.name}_hand_controller"


def semantic(arm: Robot) -> str:
    """SRDF text."""
    return package_file(f"launch/config/moveit/{arm.name}/{arm.name}.srdf").read_text(encoding="utf-8")


def start_positions(arm: Robot) -> dict[str, float]:
    """Joint name -> position of the group state in which mock hardware starts, and of the open hand."""
    states = ElementTree.fromstring(semantic(arm)).findall("group_state")
    return {
        joint.attrib["name"]: float(joint.attrib["value"])
        for state in states
        if state.get("name") in (START, "open")
        for joint in state.findall("joint")
    }
