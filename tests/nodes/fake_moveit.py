"""Stand-ins for moveit_py that keep its rules: required and exclusive arguments, start tolerance, no re-entrance."""

import threading
import time
from types import SimpleNamespace

import numpy as np

HOME = np.array([0.0, -0.6, 0.0, -2.4, 0.0, 1.8, 0.785])


class FakeState:
    def __init__(self, robot_model):
        self.positions, self.dirty = None, True

    def set_joint_group_positions(self, joint_model_group_name, position_values):
        self.positions, self.dirty = np.array(position_values, dtype=float), True

    def update(self, force=False, type="all"):
        self.dirty = False


class FakeTrajectory:
    def __init__(self, start, goal, seconds):
        self.start, self.goal = start, goal
        s = np.linspace(0, 1, 21)
        smooth, rate = 3 * s**2 - 2 * s**3, (6 * s - 6 * s**2) / seconds
        self.points = [
            SimpleNamespace(
                positions=start + a * (goal - start),
                velocities=b * (goal - start),
                time_from_start=SimpleNamespace(sec=int(t), nanosec=round((t - int(t)) * 1e9)),
            )
            for a, b, t in zip(smooth, rate, s * seconds, strict=True)
        ]

    def get_robot_trajectory_msg(self, joint_filter=()):
        return SimpleNamespace(joint_trajectory=SimpleNamespace(points=self.points))


class FakeResponse:
    def __init__(self, trajectory):
        self.trajectory = trajectory

    def __bool__(self):
        return self.trajectory is not None


class FakeComponent:
    def __init__(self, moveit):
        self.moveit, self.start, self.goal = moveit, None, None

    def set_start_state_to_current_state(self):
        self.start = self.moveit.q.copy()

    def set_goal_state(
        self,
        configuration_name=None,
        robot_state=None,
        pose_stamped_msg=None,
        pose_link=None,
        motion_plan_constraints=None,
    ):
        kinds = [configuration_name, robot_state, pose_stamped_msg, motion_plan_constraints]
        if sum(kind is not None for kind in kinds) != 1 or (pose_stamped_msg is None) != (pose_link is None):
            raise ValueError("exactly one kind of goal")
        if not isinstance(robot_state, FakeState):
            raise TypeError("incompatible function arguments")
        if robot_state.dirty:
            raise RuntimeError("state was not updated")
        self.goal = robot_state.positions
        return True

    def plan(self, single_plan_parameters=None, multi_plan_parameters=None):
        if (single_plan_parameters is None) == (multi_plan_parameters is None):
            raise ValueError("single or multi parameters")
        if self.goal[0] > 2.0:
            return FakeResponse(None)
        speed = single_plan_parameters.max_velocity_scaling_factor
        if not 0.0 < speed <= 1.0:
            raise ValueError("scaling must lie in (0, 1]")
        seconds = max(2.0 * float(np.abs(self.goal - self.start).max()) / (speed * 0.6), 0.5)
        return FakeResponse(FakeTrajectory(self.start, self.goal, seconds))


class FakeMoveIt:
    def __init__(self):
        self.q = HOME.copy()
        self.stopped = threading.Event()
        self.busy = False

    def get_robot_model(self):
        return object()

    def get_planning_component(self, planning_component_name):
        if planning_component_name != "panda_arm":
            raise RuntimeError(f"no group {planning_component_name}")
        return FakeComponent(self)

    def get_trajectory_execution_manager(self):
        return SimpleNamespace(stop_execution=lambda auto_clear=True: self.stopped.set())

    def execute(self, robot_trajectory, controllers):
        if self.busy:
            raise RuntimeError("a trajectory executes already")
        if np.max(np.abs(robot_trajectory.start - self.q)) > 0.01:
            return False
        self.busy = True
        self.stopped.clear()
        stopped = self.stopped.wait(5.0 if robot_trajectory.goal[0] > 1.0 else 0.0)
        self.busy = False
        self.q = 0.5 * (self.q + robot_trajectory.goal) if stopped else robot_trajectory.goal
        return not stopped


def fake_session(group, configuration):
    from spatial_vla.nodes.moveit_process import MoveItSession

    parameters = SimpleNamespace(max_velocity_scaling_factor=1.0, max_acceleration_scaling_factor=1.0)
    return MoveItSession(FakeMoveIt(), parameters, FakeState, group)


def crashing_session(group, configuration):
    class Crashing:
        def plan(self, *_):
            import os

            os._exit(139)

        def stop(self):
            time.sleep(0)

    return Crashing()
