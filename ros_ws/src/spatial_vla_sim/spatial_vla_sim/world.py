"""The simulated world: a Panda at a table under joint position control, with two cameras.

Commands behave as a joint_trajectory_controller's: a new trajectory replaces the old one, starts from the present
*desired* state, is interpolated with cubics at the physics rate, and its last position is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from spatial_vla.description import ARM_JOINTS, FINGER_JOINTS, FINGER_TRAVEL, TCP_FRAME, joint_limits
from spatial_vla.geometry import SE3

from .calibration_board import CalibrationBoard
from .contacts import ContactRecord
from .joint_path import JointPath, PathPoint
from .model import ARM_DAMPING, ARM_STIFFNESS, STEP, STEP_NS, build_model, object_body
from .ray_camera import Frame
from .scene import Scene
from .view import EXTERNAL_CAMERA, View, cameras

Array = NDArray[np.float64]

#: How fast the finger set-point moves [m/s].
FINGER_SPEED = 0.1
#: What the arm's joints can do (7,) [rad/s].
TOP_SPEED = np.array([joint_limits()[name]["max_velocity"] for name in ARM_JOINTS])
#: Time that objects get to come to rest in a reset [s]; not counted in ``time_ns``.
SETTLING = 0.1


@dataclass(frozen=True, eq=False)
class WorldState:
    """A snapshot; valid for the scene it was taken in."""

    scene: Scene
    physics: Array
    steps: int
    path: JointPath
    finger_target: float
    finger_setpoint: float
    record: ContactRecord


class World:
    """One scene at a time. ``reset`` first; everything else raises ``RuntimeError`` before it.

    Args:
        camera_size: width and height of both cameras' images [px].
        board: a calibration board; the objects stand aside if it lies in their place.
    """

    def __init__(self, camera_size: int = 224, board: CalibrationBoard | None = None) -> None:
        self._cameras = cameras(camera_size)
        self._board = board
        self._steps = 0
        self._scene: Scene | None = None

    @property
    def scene(self) -> Scene:
        """The scene of the last reset."""
        if self._scene is None:
            raise RuntimeError("the world has no scene yet; call World.reset(sample_scene(seed)) first")
        return self._scene

    @property
    def time_ns(self) -> int:
        """Simulated time since construction [ns]; it never goes back, also not in a reset."""
        return self._steps * STEP_NS

    @property
    def record(self) -> ContactRecord:
        """What has been touched and moved since the reset."""
        return self._record

    def reset(self, scene: Scene) -> None:
        """Build the scene, put the arm at its joint positions with an open hand, and let the objects settle."""
        self._scene = scene = scene if self._board is None else self._board.cleared(scene)
        self._model = build_model(scene, self._board)
        self._data = mujoco.MjData(self._model)
        self._index()
        self._data.qpos[self._arm_qpos] = scene.joint_positions
        self._data.qpos[self._finger_qpos] = FINGER_TRAVEL
        self._path = JointPath.holding(scene.joint_positions)
        self._taken_over = False  # by a command that was made for this scene
        self._finger_target = self._finger_setpoint = FINGER_TRAVEL
        self._data.ctrl[:] = [*scene.joint_positions, FINGER_TRAVEL, FINGER_TRAVEL]
        mujoco.mj_step(self._model, self._data, round(SETTLING / STEP))
        mujoco.mj_forward(self._model, self._data)
        self._record = ContactRecord.since(self.object_positions())

    def step(self, seconds: float = 0.01) -> None:
        """Advance by a whole number of physics steps (2 ms)."""
        count = round(seconds / STEP)
        if count < 1 or abs(count * STEP - seconds) > 1e-9:
            raise ValueError(f"step of {seconds} s is not a positive multiple of the physics step, {STEP} s")
        for command in self._servo_commands(count):
            self._data.ctrl[:7] = command
            self._data.ctrl[7:] = self._next_finger_setpoint()
            mujoco.mj_step(self._model, self._data)
        self._steps += count
        mujoco.mj_kinematics(self._model, self._data)
        self._record = self._record.updated(self._touched_objects(), self.object_positions())

    def _servo_commands(self, count: int) -> Array:
        """Position commands (count, 7) of the next physics steps [rad], with velocity and inertia fed forward.

        The servo damps absolute velocity and is soft; leading the position by what damping and acceleration will take
        makes it follow as a robot's own controller does, which knows its dynamics.
        """
        times = STEP * np.arange(self._steps, self._steps + count + 1, dtype=np.float64)
        positions, velocities = self._path.sample(times)
        accelerations = np.diff(velocities, axis=0) / STEP
        inertia = np.zeros((self._model.nv, self._model.nv))
        mujoco.mj_fullM(self._model, self._data, inertia)
        torques = (
            accelerations @ inertia[np.ix_(self._arm_qvel, self._arm_qvel)].T + ARM_DAMPING * velocities[1:]
        )
        return positions[1:] + torques / ARM_STIFFNESS

    def set_arm_command(self, points: Sequence[PathPoint], start_ns: int | None = None) -> None:
        """Replace the arm's trajectory.

        Args:
            points: (time from start [s], positions (7,) [rad], velocities (7,) [rad/s]); times increase from
                above 0, the last velocity is zero.
            start_ns: simulated time that the points count from; None means now.

        Raises:
            ValueError: see ``JointPath.replaced``; the old trajectory stays in force. The first one after a reset
                has to start where the arm is: what comes from elsewhere was on its way before.
        """
        now = self._steps * STEP
        start = now if start_ns is None else start_ns * 1e-9
        self._path = self._path.replaced(now, start, points, np.inf if self._taken_over else TOP_SPEED)
        self._taken_over = True

    def set_gripper(self, finger_position: float) -> None:
        """Set where each finger shall go [m], 0 (closed) to 0.04 (open); clipped. Fingers press with 20 N at most."""
        if not np.isfinite(finger_position):
            raise ValueError(
                f"finger position {finger_position} is not a number; expected 0 to {FINGER_TRAVEL} m"
            )
        self._finger_target = float(np.clip(finger_position, 0.0, FINGER_TRAVEL))

    def joint_state(self) -> tuple[Array, Array, float]:
        """Arm positions (7,) [rad], arm velocities (7,) [rad/s], mean finger position [m]."""
        finger = float(self._data.qpos[self._finger_qpos].mean())
        return self._data.qpos[self._arm_qpos].copy(), self._data.qvel[self._arm_qvel].copy(), finger

    def desired_joint_positions(self) -> Array:
        """Where the trajectory in force wants the arm now (7,) [rad]."""
        return self._path.sample(np.array([self._steps * STEP]))[0][0]

    def tcp_pose(self) -> SE3:
        """world_from_tcp; the world frame is that of panda_link0."""
        return self.link_pose(TCP_FRAME)

    def link_pose(self, link: str) -> SE3:
        """world_from_link of any link of the URDF."""
        body = self._data.body(link)
        return SE3(body.xmat.reshape(3, 3).copy(), body.xpos.copy())

    def object_poses(self) -> list[SE3]:
        """world_from_object of every object, in the scene's order."""
        return [self.link_pose(object_body(i)) for i in range(len(self.scene.objects))]

    def object_positions(self) -> Array:
        """Object centres (n, 3) in the world frame [m]."""
        return self._data.xpos[self._object_bodies].copy()

    def render(self, camera: str = EXTERNAL_CAMERA) -> Frame:
        """View of the "external" or "wrist" camera now; see ``Frame``."""
        return self.view().render(camera)

    def view(self) -> View:
        """The cameras over the present state; ``.frozen()`` of it can be rendered elsewhere, later."""
        return View(self._model, self._data, self.scene, self._object_of_geom, self._cameras, self._board)

    def save_state(self) -> WorldState:
        """Snapshot of everything that determines what happens next."""
        physics = np.empty(mujoco.mj_stateSize(self._model, _STATE))
        mujoco.mj_getState(self._model, self._data, physics, _STATE)
        return WorldState(
            self.scene,
            physics,
            self._steps,
            self._path,
            self._finger_target,
            self._finger_setpoint,
            self._record,
        )

    def load_state(self, state: WorldState) -> None:
        """Go back to a snapshot of the present scene; time goes back too.

        Raises:
            ValueError: if the snapshot was taken in another scene.
        """
        if state.scene is not self.scene:
            seeds = f"{state.scene.seed}, the world is in {self.scene.seed}"
            raise ValueError(f"snapshot is of scene {seeds}; reset to its scene first")
        mujoco.mj_setState(self._model, self._data, state.physics, _STATE)
        self._steps, self._path, self._record = state.steps, state.path, state.record
        self._finger_target, self._finger_setpoint = state.finger_target, state.finger_setpoint
        mujoco.mj_forward(self._model, self._data)

    def _index(self) -> None:
        model = self._model
        self._arm_qpos = [model.joint(name).qposadr[0] for name in ARM_JOINTS]
        self._arm_qvel = [model.joint(name).dofadr[0] for name in ARM_JOINTS]
        self._finger_qpos = [model.joint(name).qposadr[0] for name in FINGER_JOINTS]
        self._object_bodies = [model.body(object_body(i)).id for i in range(len(self.scene.objects))]
        object_of_body = np.full(model.nbody, -1, np.int32)
        object_of_body[self._object_bodies] = np.arange(len(self._object_bodies))
        self._object_of_geom = np.append(object_of_body[model.geom_bodyid], np.int32(-1))
        self._is_robot_geom = (model.geom_bodyid > 0) & (self._object_of_geom[:-1] < 0)

    def _next_finger_setpoint(self) -> float:
        travel = self._finger_target - self._finger_setpoint
        self._finger_setpoint += float(np.clip(travel, -FINGER_SPEED * STEP, FINGER_SPEED * STEP))
        return self._finger_setpoint

    def _touched_objects(self) -> frozenset[int]:
        """Objects that the robot touches now."""
        pairs = self._data.contact.geom
        robot = self._is_robot_geom[pairs]
        touching = pairs[robot.any(axis=1)]
        return frozenset(int(i) for i in self._object_of_geom[touching].ravel() if i >= 0)


_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
