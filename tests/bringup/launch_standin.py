"""A strict stand-in for launch and launch_ros, where they are not installed (they are not on PyPI).

It knows the calls that our launch files make, refuses every other argument, and composes a node's command line by the
rules documented for launch_ros.actions.Node: executable, arguments, ROS arguments, name, namespace, parameters in the
order given (a file as --params-file, a Parameter as -p with the value dumped as YAML), remappings.
"""

import sys
from pathlib import Path
from types import ModuleType

import yaml


class LaunchContext:
    def __init__(self):
        self.launch_configurations = {}


class LaunchDescriptionEntity:
    pass


class LaunchDescription(LaunchDescriptionEntity):
    def __init__(self, initial_entities):
        assert all(isinstance(entity, LaunchDescriptionEntity) for entity in initial_entities)
        self.entities = initial_entities


class DeclareLaunchArgument(LaunchDescriptionEntity):
    def __init__(self, name, *, default_value=None, description=None, choices=None):
        assert isinstance(default_value, str), f"{name}: launch takes texts only"
        assert choices is None or default_value in choices
        self.name, self.default_value, self.description, self.choices = (
            name,
            default_value,
            description,
            choices,
        )

    def visit(self, context):
        value = context.launch_configurations.setdefault(self.name, self.default_value)
        if self.choices is not None and value not in self.choices:
            raise RuntimeError(f"{self.name}:={value} is not one of {self.choices}")
        return []


class OpaqueFunction(LaunchDescriptionEntity):
    def __init__(self, *, function):
        self.function = function

    def visit(self, context):
        return self.function(context)


class Shutdown(LaunchDescriptionEntity):
    def __init__(self, *, reason):
        self.reason = reason


class LaunchConfiguration:
    def __init__(self, variable_name):
        self.variable_name = variable_name

    def perform(self, context):
        return context.launch_configurations[self.variable_name]


class Parameter:
    def __init__(self, name, value):
        assert isinstance(name, str)
        assert isinstance(value, (bool, int, float, str))
        self.name, self.value = name, value


class ParameterFile:
    def __init__(self, param_file):
        assert isinstance(param_file, str)
        self.param_file = param_file


class Node(LaunchDescriptionEntity):
    def __init__(
        self, *, executable, package, name, namespace, arguments, ros_arguments, parameters, remappings,
        respawn, respawn_delay, on_exit, output,
    ):  # fmt: skip
        assert isinstance(parameters, list)
        assert output in ("screen", "log", "both")
        assert on_exit is None or isinstance(on_exit, Shutdown)
        self.package, self.executable, self.name = package, executable, name
        self.respawn, self.respawn_delay, self.on_exit = respawn, respawn_delay, on_exit
        self._arguments, self._ros_arguments = arguments, ros_arguments
        self._namespace, self._parameters, self._remappings = namespace, parameters, remappings

    def visit(self, context):
        return [self]

    def command(self, find_executable):
        cmd = [find_executable(self.package, self.executable), *self._arguments]
        cmd += ["--ros-args", *self._ros_arguments, "--ros-args", "-r", f"__node:={self.name}"]
        assert self._namespace.startswith("/")
        cmd += ["-r", f"__ns:={self._namespace}"]
        for parameter in self._parameters:
            if isinstance(parameter, ParameterFile):
                assert Path(parameter.param_file).is_file()
                cmd += ["--params-file", parameter.param_file]
            else:
                cmd += ["-p", f"{parameter.name}:={yaml.dump(parameter.value)}"]
        for source, target in self._remappings:
            cmd += ["-r", f"{source}:={target}"]
        return cmd


MODULES = {
    "launch": (LaunchContext, LaunchDescription, LaunchDescriptionEntity),
    "launch.actions": (DeclareLaunchArgument, OpaqueFunction, Shutdown),
    "launch.substitutions": (LaunchConfiguration,),
    "launch_ros": (),
    "launch_ros.actions": (Node,),
    "launch_ros.parameter_descriptions": (Parameter, ParameterFile),
}


def install(monkeypatch):
    """Make the stand-in importable under launch's names for one test."""
    for module_name, members in MODULES.items():
        module = ModuleType(module_name)
        for member in members:
            setattr(module, member.__name__, member)
        monkeypatch.setitem(sys.modules, module_name, module)
