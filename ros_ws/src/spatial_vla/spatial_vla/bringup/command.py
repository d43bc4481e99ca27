"""The command line of a node, as launch_ros composes it."""

from __future__ import annotations

from pathlib import Path

import yaml

from .node_list import NodeEntry


def node_command(entry: NodeEntry, executable: Path) -> list[str]:
    """Return the command line of ``entry``, argument by argument the one that launch_ros makes.

    The order matters to rcl: of two values for one parameter the later wins, so files come before single parameters.
    """
    command = [str(executable), *entry.arguments, "--ros-args", "--log-level", entry.log_level]
    command += ["--ros-args", "-r", f"__node:={entry.name}", "-r", f"__ns:={entry.namespace}"]
    for file in entry.parameter_files:
        command += ["--params-file", str(file)]
    for name, value in entry.parameters.items():
        # launch_ros dumps the value as a YAML document; the end marker that comes with it is harmless to rcl.
        command += ["-p", f"{name}:={yaml.dump(value)}"]
    for source, target in entry.remappings:
        command += ["-r", f"{source}:={target}"]
    return command
