"""The nodes of a bring-up. The only such list: launch/bringup.launch.py and the runner both read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ..description import robot
from .arguments import BringupArguments

ParameterValue = bool | int | float | str


@dataclass(frozen=True)
class NodeEntry:
    """One process to start.

    Attributes:
        package: ROS package that holds the executable.
        executable: name of the program.
        name: node name.
        namespace: absolute namespace, "/" for none.
        arguments: arguments before the ROS ones.
        parameter_files: YAML files, the later ones win.
        parameters: single parameters, stronger than the files.
        remappings: (from, to) names.
        log_level: severity from which messages are logged.
        condition: whether to start it at all.
        required: the bring-up ends with an error when this node is gone for good.
        respawn: start it again when it dies.
    """

    package: str
    executable: str
    name: str
    namespace: str = "/"
    arguments: tuple[str, ...] = ()
    parameter_files: tuple[Path, ...] = ()
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    log_level: str = "info"
    condition: bool = True
    required: bool = True
    respawn: bool = False


def package_file(relative: str) -> Path:
    """Return the path of a file of this package's data, for example ``launch/config/spatial_vla.yaml``."""
    return Path(str(resources.files("spatial_vla") / relative))


def bringup_nodes(arguments: BringupArguments) -> tuple[NodeEntry, ...]:
    """Return the entries whose condition holds, in the order they are started.

    Raises:
        FileNotFoundError: ``params_file`` does not exist.
    """
    return tuple(entry for entry in all_nodes(arguments) if entry.condition)


def all_nodes(arguments: BringupArguments) -> tuple[NodeEntry, ...]:
    """Return every entry, also those whose condition does not hold."""
    files = _parameter_files(arguments)

    def node(
        executable: str,
        *,
        package: str = "spatial_vla",
        condition: bool = True,
        required: bool = True,
        **parameters: ParameterValue,
    ) -> NodeEntry:
        return NodeEntry(
            package=package,
            executable=executable,
            name=executable,
            namespace="/" + arguments.namespace.strip("/"),
            parameter_files=files,
            parameters={
                "use_sim_time": arguments.use_sim_time,
                "autostart": arguments.autostart,
                **parameters,
            },
            log_level=arguments.log_level,
            condition=condition,
            required=required,
            respawn=arguments.use_respawn,
        )

    from .moveit import moveit_nodes  # which makes entries itself

    real = not (arguments.sim or arguments.mock_hardware)
    dry_run = arguments.dry_run == "true" or (arguments.dry_run == "auto" and real)
    watched = _watched_for_drift(arguments)

    return (
        _simulation(arguments, files),
        node("robot_state_publisher", condition=arguments.use_robot_state_pub, **_description(arguments)),
        node("encoder_node", reliable_camera=arguments.sim),
        node("decoder_node", reliable_camera=arguments.sim),
        # A simulated arm is armed at once; a real one waits for somebody to call motion_node/arm.
        node(
            "motion_node",
            arm_on_start=arguments.sim,
            teleports=arguments.sim,
            # On a real robot nothing moves until somebody says dry_run:=false and holds the deadman switch.
            dry_run=dry_run,
            require_deadman=real,
            backend=arguments.backend,
        ),
        node("watchdog_node", condition=not dry_run, **_description(arguments)),
        node("instruction_node"),
        node(
            "spatial_question_node",
            condition=arguments.questions,
            required=False,
            source="simulator" if arguments.sim else "detections",
        ),
        node(
            "calibration_monitor_node",
            condition=bool(watched),
            required=False,
            reliable_camera=arguments.sim,
            **watched,
        ),
        node(
            "visualizer_node",
            condition=arguments.visualize,
            required=False,
            reliable_camera=arguments.sim,
        ),
        _recorder(arguments, files),
        _rviz(arguments),
        *moveit_nodes(arguments),
    )


def _simulation(arguments: BringupArguments, files: tuple[Path, ...]) -> NodeEntry:
    return NodeEntry(
        package="spatial_vla_sim",
        executable="sim_node",
        name="sim_node",
        namespace="/" + arguments.namespace.strip("/"),
        parameter_files=files,
        # It makes the time that the others take.
        parameters={"use_sim_time": False},
        log_level=arguments.log_level,
        condition=arguments.sim,
        respawn=arguments.use_respawn,
    )


def _recorder(arguments: BringupArguments, files: tuple[Path, ...]) -> NodeEntry:
    return NodeEntry(
        package="spatial_vla",
        executable="recorder_node",
        name="recorder_node",
        namespace="/" + arguments.namespace.strip("/"),
        parameter_files=files,
        parameters={
            "use_sim_time": arguments.use_sim_time,
            "autostart": True,
            "directory": str(Path(arguments.record).expanduser().resolve()),
            "reliable_camera": arguments.sim,
        },
        log_level=arguments.log_level,
        condition=bool(arguments.record),
        required=False,
    )


def _rviz(arguments: BringupArguments) -> NodeEntry:
    return NodeEntry(
        package="rviz2",
        executable="rviz2",
        name="rviz2",
        namespace="/" + arguments.namespace.strip("/"),
        arguments=("-d", str(package_file("launch/rviz/bringup.rviz"))),
        parameters={"use_sim_time": arguments.use_sim_time},
        log_level=arguments.log_level,
        condition=arguments.rviz,
        required=False,
    )


def _watched_for_drift(arguments: BringupArguments) -> dict[str, Any]:
    """What the calibration is held against, if anything."""
    watched: dict[str, Any] = {}
    if arguments.board_pose:
        watched["board_pose"] = str(Path(arguments.board_pose).expanduser().resolve())
    if arguments.scene_plane:
        watched["scene_plane"] = arguments.scene_plane
        # The simulated camera and table stand still; a board may be in the gripper.
        watched["moving_frames"] = not arguments.sim or bool(arguments.board_pose)
    return watched


def _description(arguments: BringupArguments) -> dict[str, Any]:
    """The arm's URDF, where it is not the one that nodes take by themselves."""
    return {} if arguments.robot == "panda" else {"robot_description": robot(arguments.robot).urdf()}


def _parameter_files(arguments: BringupArguments) -> tuple[Path, ...]:
    files = [package_file("launch/config/spatial_vla.yaml")]
    if arguments.robot != "panda":
        files.append(package_file(f"launch/config/{arguments.robot}.yaml"))
    if arguments.params_file:
        files.append(Path(arguments.params_file).expanduser().resolve())
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f"no parameter file {path}; params_file takes the path of a YAML file")
    return tuple(files)
