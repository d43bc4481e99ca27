"""moveit_py in a process of its own, as :class:`~spatial_vla.motion.planning.Planner`.

Its ``plan()`` holds the interpreter lock and it may crash on the way out: neither must touch the process that watches
over the arm. Requests go over one pipe and wait for their answer; a stop goes over another and waits for nothing.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..motion import BackendUnavailable
from ..motion.planning import JointPlan

Array = NDArray[np.float64]

#: Planning and moving may take this long [s].
PATIENCE = 60.0
#: For a stop to reach the controllers, before a process that does not answer is ended [s].
LAST_WORD = 0.5


class MoveItSession:
    """One planning group of one ``MoveItPy``."""

    def __init__(self, moveit: Any, parameters: Any, state: type[Any], group: str) -> None:
        """``parameters``: a PlanRequestParameters; ``state``: the class RobotState."""
        self._moveit, self._parameters, self._state, self._group = moveit, parameters, state, group
        self._component = moveit.get_planning_component(group)
        self._tokens = itertools.count(1)
        self._trajectories: dict[int, Any] = {}

    def plan(self, goal: Array, speed: float, acceleration: float) -> JointPlan | None:
        """As :meth:`Planner.plan`."""
        state = self._state(self._moveit.get_robot_model())
        state.set_joint_group_positions(self._group, goal)
        state.update()
        self._component.set_start_state_to_current_state()
        self._component.set_goal_state(robot_state=state)
        # 0 would mean 1 to MoveIt.
        self._parameters.max_velocity_scaling_factor = min(max(speed, 1e-3), 1.0)
        self._parameters.max_acceleration_scaling_factor = min(max(acceleration, 1e-3), 1.0)
        response = self._component.plan(single_plan_parameters=self._parameters)
        if not response:
            return None
        token = next(self._tokens)
        self._trajectories = {token: response.trajectory}
        points = response.trajectory.get_robot_trajectory_msg().joint_trajectory.points
        times = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in points]
        positions, velocities = ([list(getattr(p, k)) for p in points] for k in ("positions", "velocities"))
        return JointPlan(np.array(times), np.array(positions), np.array(velocities), token)

    def execute(self, plan: JointPlan) -> bool:
        """As :meth:`Planner.execute`."""
        trajectory = self._trajectories.pop(plan.token, None)
        # Both arguments are required; an empty list lets MoveIt choose the controllers.
        return trajectory is not None and bool(self._moveit.execute(trajectory, controllers=[]))

    def stop(self) -> None:
        """As :meth:`Planner.stop`. Cancelling the action would not stop the robot; this does."""
        self._moveit.get_trajectory_execution_manager().stop_execution()


def real_session(group: str, configuration: Mapping[str, Any]) -> MoveItSession:
    """A session with the installed moveit_py and these parameters. Raises BackendUnavailable where it is missing."""
    try:
        from moveit.core.robot_state import RobotState
        from moveit.planning import MoveItPy, PlanRequestParameters
    except ImportError as error:
        raise BackendUnavailable(
            f"moveit_py is not installed ({error}); on a full ROS 2: apt install ros-$ROS_DISTRO-moveit-py"
        ) from error
    moveit = MoveItPy(node_name="spatial_vla_planner", config_dict=dict(configuration))
    return MoveItSession(moveit, PlanRequestParameters(moveit, ""), RobotState, group)


class MoveItProcess:
    """A planner in a child process. One request at a time; :meth:`stop` from any thread, at any time."""

    def __init__(
        self,
        group: str,
        configuration: Mapping[str, Any],
        session: Callable[[str, Mapping[str, Any]], Any] = real_session,
    ) -> None:
        """Start the process; the session is made there, by ``session(group, configuration)``.

        Raises:
            BackendUnavailable: with the child's own words if the session cannot be made.
        """
        context = multiprocessing.get_context("spawn")
        self._requests, theirs = context.Pipe()
        self._stops, their_stops = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, their_stops, group, configuration, session), daemon=True
        )
        self._process.start()
        theirs.close()
        their_stops.close()
        self._turn = threading.Lock()
        self._answer()

    def plan(self, goal: Array, speed: float, acceleration: float) -> JointPlan | None:
        """Plan in the child. Raises BackendUnavailable if it has gone or something broke there."""
        return self._ask("plan", np.asarray(goal), speed, acceleration)

    def execute(self, plan: JointPlan) -> bool:
        """Move; blocks until the arm arrived or was stopped."""
        return bool(self._ask("execute", plan))

    def stop(self) -> None:
        """Stop the motion under way. A child that has gone cannot move the arm either."""
        try:
            self._stops.send(None)
        except (OSError, ValueError):
            return

    def close(self) -> None:
        """Stop, and end the process."""
        self.stop()
        self._requests.close()
        self._stops.close()
        self._process.join(2.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, *request: Any) -> Any:
        with self._turn:
            try:
                self._requests.send(request)
            except (OSError, ValueError) as error:
                raise BackendUnavailable(f"the planner's process has ended ({error}); start anew") from error
            return self._answer()

    def _answer(self) -> Any:
        try:
            if not self._requests.poll(PATIENCE):
                # Whatever it does, the arm stops; and its answer must not be taken for that of another request.
                self.stop()
                self._process.join(LAST_WORD)
                self._process.kill()
                raise BackendUnavailable(
                    f"the planner's process did not answer within {PATIENCE:.0f} s and was ended; start anew"
                )
            good, answer = self._requests.recv()
        except (EOFError, OSError) as error:
            raise BackendUnavailable(
                "the planner's process has ended; see its output, then start anew"
            ) from error
        if not good:
            raise BackendUnavailable(answer)
        return answer


def _serve(
    requests: Connection,
    stops: Connection,
    group: str,
    configuration: Mapping[str, Any],
    session: Callable[[str, Mapping[str, Any]], Any],
) -> None:
    """The child: answer requests until the pipe closes."""
    try:
        _leave_signals_to_parent()
        planner = session(group, configuration)
        _leave_signals_to_parent()  # whatever was installed by it
    except Exception as error:
        requests.send((False, str(error)))
        return
    requests.send((True, None))
    threading.Thread(target=_stop_when_told, args=(stops, planner), daemon=True).start()
    while True:
        try:
            name, *arguments = requests.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, getattr(planner, name)(*arguments))
        except Exception as error:
            answer = (False, f"the planner failed: {type(error).__name__}: {error}")
        requests.send(answer)


def _leave_signals_to_parent() -> None:
    """A Ctrl-C reaches the whole group; were the child to end of it, nobody could stop the motion under way."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _stop_when_told(stops: Connection, planner: Any) -> None:
    while True:
        try:
            stops.recv()
        except (EOFError, OSError):
            return
        planner.stop()
