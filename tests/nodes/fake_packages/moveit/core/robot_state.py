"""See the package."""

from fake_moveit import FakeState as RobotState

__all__ = ["RobotState"]
