"""The generated message types, however they were built."""

import re
from pathlib import Path

import pytest
from spatial_vla_interfaces import action, msg, srv
from tf2_msgs.msg import TFMessage

SOURCE = Path(__file__).parents[2] / "ros_ws/src/spatial_vla_interfaces"


def test_every_definition_is_listed_and_importable():
    listed = set(re.findall(r'"((?:msg|srv|action)/\w+\.\w+)"', (SOURCE / "CMakeLists.txt").read_text()))
    files = {
        str(path.relative_to(SOURCE))
        for kind in ("msg", "srv", "action")
        for path in SOURCE.glob(f"{kind}/*")
    }
    assert listed == files
    for file in map(Path, files):
        assert hasattr({"msg": msg, "srv": srv, "action": action}[file.parts[0]], file.stem)


def test_every_field_is_explained():
    for path in SOURCE.glob("msg/*.msg"):
        fields = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        bare = [line for line in fields if "#" not in line and not line.startswith("std_msgs/Header")]
        assert not bare, (path.name, bare)
        assert path.read_text().startswith("#"), path.name


def test_installed_types_are_those_of_the_sources():
    text = (SOURCE / "msg/ActionChunk.msg").read_text()
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    names = [words[1] for words in lines if len(words) == 2]
    assert list(msg.ActionChunk.get_fields_and_field_types()) == names, (
        "run ./setup to build the interfaces anew"
    )


def test_the_transform_message_has_the_one_field_of_geometry2():
    assert TFMessage.get_fields_and_field_types() == {
        "transforms": "sequence<geometry_msgs/TransformStamped>"
    }


@pytest.mark.parametrize("name", ["moveit_msgs", "octomap_msgs", "object_recognition_msgs"])
def test_every_definition_of_the_part_of_moveit_is_listed(name):
    source = SOURCE.parent / name
    listed = set(re.findall(r'"((?:msg|action)/\w+\.\w+)"', (source / "CMakeLists.txt").read_text()))
    assert listed == {
        str(path.relative_to(source)) for kind in ("msg", "action") for path in source.glob(f"{kind}/*")
    }
    assert (source / "COLCON_IGNORE").exists(), "a full ROS 2 has the real package"


def test_what_is_sent_to_move_group_has_the_layout_of_moveit_msgs():
    reason = (
        "needs moveit_msgs: ./setup --dev builds what is needed of it, or apt install ros-$ROS_DISTRO-moveit"
    )
    actions = pytest.importorskip("moveit_msgs.action", reason=reason)
    from moveit_msgs.msg import MotionPlanRequest

    assert MotionPlanRequest.get_fields_and_field_types() == {
        "workspace_parameters": "moveit_msgs/WorkspaceParameters",
        "start_state": "moveit_msgs/RobotState",
        "goal_constraints": "sequence<moveit_msgs/Constraints>",
        "path_constraints": "moveit_msgs/Constraints",
        "trajectory_constraints": "moveit_msgs/TrajectoryConstraints",
        "reference_trajectories": "sequence<moveit_msgs/GenericTrajectory>",
        "pipeline_id": "string",
        "planner_id": "string",
        "group_name": "string",
        "num_planning_attempts": "int32",
        "allowed_planning_time": "double",
        "max_velocity_scaling_factor": "double",
        "max_acceleration_scaling_factor": "double",
        "cartesian_speed_limited_link": "string",
        "max_cartesian_speed": "double",
    }
    assert list(actions.MoveGroup.Result.get_fields_and_field_types()) == [
        *("error_code", "trajectory_start", "planned_trajectory", "executed_trajectory", "planning_time")
    ]
    assert list(actions.ExecuteTrajectory.Goal.get_fields_and_field_types()) == [
        "trajectory",
        "controller_names",
    ]
