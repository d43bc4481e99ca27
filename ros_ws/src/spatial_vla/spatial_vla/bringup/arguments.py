"""What a bring-up can be told, with nav2's names where nav2 has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, get_args, get_type_hints

from typing_extensions import Doc

from ..description import ROBOTS


@dataclass(frozen=True)
class BringupArguments:
    """Arguments of ``ros2 launch spatial_vla bringup.launch.py`` and of ``spatial-vla bringup``."""

    namespace: Annotated[str, Doc("Namespace of all nodes; empty for none.")] = ""
    sim: Annotated[bool, Doc("Start the simulated robot and cameras.")] = True
    robot: Annotated[str, Doc("The arm: panda or fr3. The simulated one is a panda.")] = "panda"
    backend: Annotated[
        str,
        Doc(
            "What moves the arm: auto, embedded, jtc_ik, servo (starts MoveIt Servo) or plan (starts move_group)."
        ),
    ] = "auto"
    dry_run: Annotated[str, Doc("Only imagine the motion: true, false, or auto: true on a real robot.")] = (
        "auto"
    )
    mock_hardware: Annotated[bool, Doc("Start ros2_control with mock hardware in place of a robot.")] = False
    use_sim_time: Annotated[bool, Doc("Take the time from /clock. Set it to false on a real robot.")] = True
    params_file: Annotated[str, Doc("YAML file of parameters that override the ones shipped.")] = ""
    autostart: Annotated[bool, Doc("Nodes configure and activate themselves.")] = True
    log_level: Annotated[str, Doc("debug, info, warn, error or fatal.")] = "info"
    use_respawn: Annotated[bool, Doc("Restart a node that dies, instead of ending everything.")] = False
    use_robot_state_pub: Annotated[bool, Doc("Publish the robot's transforms from /joint_states.")] = True
    visualize: Annotated[bool, Doc("Publish feature maps, clouds, grids and paths for display.")] = True
    questions: Annotated[bool, Doc("Answer questions about where things are (ask_spatial).")] = True
    board_pose: Annotated[
        str, Doc("YAML of a calibration board that is watched for drift; empty: none is.")
    ] = ""
    scene_plane: Annotated[
        str,
        Doc("Plane watched for drift: 'x_low x_high y_low y_high z' in the base frame [m]; empty: none is."),
    ] = ""
    rviz: Annotated[bool, Doc("Open rviz, where it is installed.")] = False

    record: Annotated[str, Doc("Folder to record the run into; empty: do not record.")] = ""

    def __post_init__(self) -> None:
        choices = {"robot": tuple(ROBOTS), "backend": ("auto", "embedded", "jtc_ik", "servo", "plan")}
        choices["dry_run"] = ("auto", "true", "false")
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}:={getattr(self, name)} must be one of {', '.join(allowed)}")
        if self.sim and (self.robot != "panda" or self.mock_hardware or self.backend in ("servo", "plan")):
            raise ValueError(
                "the simulated robot is a panda that takes trajectories from motion_node alone; add sim:=false for "
                "another robot, mock hardware or MoveIt"
            )

    @classmethod
    def from_strings(cls, values: Mapping[str, str]) -> BringupArguments:
        """Make arguments from the texts that launch hands over.

        Raises:
            ValueError: an unknown name, or a truth value that is neither true nor false.
        """
        known = {described.name: described.default for described in described_arguments()}
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"unknown bring-up arguments {unknown}; known are {sorted(known)}")
        typed: dict[str, Any] = {
            name: _boolean(name, text) if isinstance(known[name], bool) else text
            for name, text in values.items()
        }
        return cls(**typed)


@dataclass(frozen=True)
class DescribedArgument:
    """One argument as a launch file declares it."""

    name: str
    default: Any
    description: str

    @property
    def default_text(self) -> str:
        """The default in the spelling of launch: true, false or the text."""
        return str(self.default).lower() if isinstance(self.default, bool) else self.default


def described_arguments() -> tuple[DescribedArgument, ...]:
    """Return name, default and description of every field of :class:`BringupArguments`."""
    hints = get_type_hints(BringupArguments, include_extras=True)
    described = []
    for field in fields(BringupArguments):
        assert field.default is not MISSING, f"{field.name} needs a default"
        _, doc = get_args(hints[field.name])
        described.append(DescribedArgument(field.name, field.default, doc.documentation))
    return tuple(described)


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name}:={text} is not a truth value; write true or false")
    return text.lower() == "true"
