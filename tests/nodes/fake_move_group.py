"""A stand-in for a move_group node: its two actions and its stop event over real DDS, kept strictly.

Run as a program. Plans and moves are those of the stand-in for moveit_py. Its rules: only empty differences as start
state and scene; a scaling of 0 means 1; a trajectory must begin within 0.01 rad of where the arm is, in increasing
times, and one moves at a time; cancelling a plan preempts it; cancelling a move is accepted and does nothing; a "stop"
on ``trajectory_execution_event`` preempts the move.
"""

import itertools
import os
import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import rclpy
from builtin_interfaces.msg import Duration
from fake_moveit import FakeMoveIt, FakeState
from moveit_msgs.action import ExecuteTrajectory, MoveGroup
from moveit_msgs.msg import MoveItErrorCodes as Codes
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectoryPoint

JOINTS = [f"panda_joint{i}" for i in range(1, 8)]
#: Plans name the joints in another order than anybody asked for.
SAID = JOINTS[::-1]
#: A goal with the base joint here is thought about until somebody cancels.
PONDERED = -2.2
#: And one with it here is the last that is ever asked for.
FATAL = -2.3


class FakeMoveGroup(Node):
    def __init__(self):
        super().__init__("move_group")
        self.arm = FakeMoveIt()
        self.component = self.arm.get_planning_component("panda_arm")
        during = ReentrantCallbackGroup()
        accept = {"cancel_callback": lambda _: CancelResponse.ACCEPT, "callback_group": during}
        ActionServer(self, MoveGroup, "move_action", self.on_plan, **accept)
        ActionServer(self, ExecuteTrajectory, "execute_trajectory", self.on_execute, **accept)
        self.create_subscription(
            String, "trajectory_execution_event", self.on_event, 10, callback_group=during
        )

    def on_event(self, message):
        if message.data == "stop":
            self.arm.stopped.set()

    def on_plan(self, handle):
        result = MoveGroup.Result()
        code, why = self.objection(handle.request)
        if code is None:
            code, why = self.plan(handle, result)
        result.error_code = Codes(val=code, message=why, source="fake")
        if code == Codes.SUCCESS:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return result

    def objection(self, goal):
        options, request = goal.planning_options, goal.request
        if not options.plan_only:
            return Codes.FAILURE, "this suite plans and executes apart"
        if not (options.planning_scene_diff.is_diff and options.planning_scene_diff.robot_state.is_diff):
            return Codes.FAILURE, "the scene would be replaced by an empty one"
        if not request.start_state.is_diff or request.start_state.joint_state.name:
            return Codes.INVALID_ROBOT_STATE, "start state is not the current one"
        if request.group_name != "panda_arm":
            return Codes.INVALID_GROUP_NAME, f"no group {request.group_name!r}"
        if request.pipeline_id not in ("", "ompl"):
            return Codes.FAILURE, f"no pipeline {request.pipeline_id!r}"
        if not request.goal_constraints or not request.goal_constraints[0].joint_constraints:
            return Codes.INVALID_GOAL_CONSTRAINTS, "no goal"
        for one in request.goal_constraints[0].joint_constraints:
            if one.joint_name not in JOINTS or not np.isfinite(one.position) or one.weight <= 0.0:
                return Codes.INVALID_GOAL_CONSTRAINTS, f"{one.joint_name} at {one.position}"
        return None, ""

    def plan(self, handle, result):
        request = handle.request.request
        wanted = {one.joint_name: one.position for one in request.goal_constraints[0].joint_constraints}
        state = FakeState(None)
        state.set_joint_group_positions("panda_arm", [wanted[name] for name in JOINTS])
        state.update()
        if wanted[JOINTS[0]] == FATAL:
            os._exit(139)
        while wanted[JOINTS[0]] == PONDERED:
            if handle.is_cancel_requested:
                return Codes.PREEMPTED, "cancelled"
            time.sleep(0.01)
        speed = request.max_velocity_scaling_factor
        self.component.set_start_state_to_current_state()
        self.component.set_goal_state(robot_state=state)
        # Out of range means 1, as in the real one.
        parameters = SimpleNamespace(max_velocity_scaling_factor=speed if 0.0 < speed <= 1.0 else 1.0)
        response = self.component.plan(single_plan_parameters=parameters)
        if not response:
            return Codes.PLANNING_FAILED, "no solution found"
        told = result.planned_trajectory.joint_trajectory
        told.joint_names = SAID
        for point in response.trajectory.get_robot_trajectory_msg().joint_trajectory.points:
            when = point.time_from_start
            told.points.append(
                JointTrajectoryPoint(
                    positions=point.positions[::-1].tolist(),
                    velocities=point.velocities[::-1].tolist(),
                    time_from_start=Duration(sec=when.sec, nanosec=when.nanosec),
                )
            )
        return Codes.SUCCESS, ""

    def on_execute(self, handle):
        code, why = self.execute(handle.request)
        result = ExecuteTrajectory.Result(error_code=Codes(val=code, message=why, source="fake"))
        if code == Codes.SUCCESS:
            handle.succeed()
        else:
            handle.abort()
        return result

    def execute(self, goal):
        told = goal.trajectory.joint_trajectory
        if sorted(told.joint_names) != JOINTS or not told.points:
            return Codes.INVALID_MOTION_PLAN, "empty, or not of the arm"
        if goal.controller_names:
            return Codes.CONTROL_FAILED, f"no controllers {goal.controller_names}"
        times = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in told.points]
        if any(b <= a for a, b in itertools.pairwise(times)):
            return Codes.INVALID_MOTION_PLAN, "times do not increase"
        order = [list(told.joint_names).index(name) for name in JOINTS]
        start, end = (np.array(told.points[i].positions)[order] for i in (0, -1))
        if np.max(np.abs(start - self.arm.q)) > 0.01:
            return Codes.CONTROL_FAILED, "start point deviates from the current state"
        try:
            arrived = self.arm.execute(SimpleNamespace(start=start, goal=end), controllers=[])
        except RuntimeError as error:
            return Codes.CONTROL_FAILED, str(error)
        return (Codes.SUCCESS, "") if arrived else (Codes.PREEMPTED, "stopped")


def main():
    rclpy.init()
    executor = MultiThreadedExecutor(num_threads=6)
    executor.add_node(FakeMoveGroup())
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        executor.spin()


if __name__ == "__main__":
    main()
