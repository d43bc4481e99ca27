"""Node parameters as a small table: name, default, meaning and range in one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

Value = bool | int | float | str | Sequence[str] | Sequence[float]


@dataclass(frozen=True)
class NodeParameter:
    """One row of a node's parameter table.

    Attributes:
        name: as in the YAML file.
        default: also fixes the type; a number written ``1.0`` wants floats in the YAML file, too.
        description: what it does, with its unit in brackets.
        low, high: inclusive range; both or none.
        read_only: cannot change while the node runs, because it is only read when the node is configured.
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    read_only: bool = True

    def descriptor(self) -> ParameterDescriptor:
        """The row as ROS wants it, for ``declare_parameter``."""
        descriptor = ParameterDescriptor(description=self.description, read_only=self.read_only)
        if self.low is None or self.high is None:
            return descriptor
        if isinstance(self.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.low), to_value=float(self.high))
            ]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(self.high))]
        return descriptor


RELIABLE_CAMERA = NodeParameter(
    "reliable_camera",
    False,
    "Subscribe reliably to camera topics: right for a publisher on this machine. False, as REP-2003 has it, meets any.",
)
