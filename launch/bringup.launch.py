"""Camera, policy, motion and (by default) a simulated robot: ``ros2 launch spatial_vla bringup.launch.py``.

What is started is listed in ``spatial_vla.bringup.node_list``; here it only becomes launch_ros actions.
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import Parameter, ParameterFile
from spatial_vla.bringup.arguments import BringupArguments, described_arguments
from spatial_vla.bringup.node_list import NodeEntry, bringup_nodes

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

RESPAWN_DELAY = 1.0


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, and the nodes once the arguments are known."""
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default_text,
            description=argument.description,
            choices=["true", "false"] if isinstance(argument.default, bool) else None,
        )
        for argument in described_arguments()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=nodes)])


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the actions for the arguments of this launch."""
    values = {
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in described_arguments()
    }
    return [action(entry) for entry in bringup_nodes(BringupArguments.from_strings(values))]


def action(entry: NodeEntry) -> Node:
    """Turn one entry of the node list into a launch_ros action."""
    parameters = [Parameter(name, value) for name, value in entry.parameters.items()]
    return Node(
        package=entry.package,
        executable=entry.executable,
        name=entry.name,
        namespace=entry.namespace,
        arguments=list(entry.arguments),
        ros_arguments=["--log-level", entry.log_level],
        parameters=[*(ParameterFile(str(file)) for file in entry.parameter_files), *parameters],
        remappings=list(entry.remappings),
        respawn=entry.respawn,
        respawn_delay=RESPAWN_DELAY,
        on_exit=Shutdown(reason=f"{entry.name} ended") if entry.required and not entry.respawn else None,
        output="screen",
    )
