"""The planner contract against the real move_group and moveit_py: `make test-moveit`, on a full ROS 2.

The clauses are those that the stand-ins keep in tests/nodes/test_planner_contract.py; mock hardware moves.
"""

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from spatial_vla.bringup.moveit import moveit_configuration
from spatial_vla.description import ARM_JOINTS, robot
from spatial_vla.nodes.conversions import header, pose_message
from spatial_vla.nodes.move_group import MoveGroupPlanner
from spatial_vla.nodes.moveit_process import MoveItProcess
from spatial_vla_interfaces.srv import MoveTo

from ..nodes.planner_contract import ASIDE, PlannerContract
from .bench import Bench

pytestmark = pytest.mark.moveit
# The part of moveit_msgs that tests build for themselves has no Servo.
if not hasattr(pytest.importorskip("moveit_msgs.msg"), "ServoStatus"):
    pytest.skip("needs a full ROS 2 with MoveIt: apt install ros-$ROS_DISTRO-moveit", allow_module_level=True)


@pytest.fixture(scope="module")
def bench():
    bench = Bench("plan", armed=False)
    bench.until(lambda: bool(bench.positions), "joint states")
    yield bench
    bench.close()


@pytest.fixture(scope="module", params=["move_action", "moveit_py"])
def planner(request, bench):
    if request.param == "move_action":
        planner = MoveGroupPlanner("panda_arm", tuple(ARM_JOINTS), 60.0, "/", bench.context)
    else:
        pytest.importorskip("moveit", reason="apt install ros-$ROS_DISTRO-moveit-py")
        planner = MoveItProcess("panda_arm", moveit_configuration(robot("panda"), False))
    yield planner
    planner.close()


class TestRealPlanners(PlannerContract):
    """The clauses."""


def test_motion_node_moves_the_tool_to_a_pose(bench):
    goal = bench.model.forward(ASIDE)
    pose = PoseStamped(header=header(0, "panda_link0"), pose=pose_message(goal))
    client = bench.node.create_client(MoveTo, "motion_node/move_to")
    bench.until(client.service_is_ready, "move_to")
    future = client.call_async(MoveTo.Request(pose=pose))
    bench.until(future.done, "the end of the move")
    assert future.result().success, future.result().message
    bench.until(lambda: np.allclose(bench.tcp(), goal.translation, atol=0.01), "the tool at the pose")
