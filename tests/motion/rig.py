"""A controller with an arm that does exactly what it is told, and a record of what that was."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from spatial_vla.actions import ActionChunk
from spatial_vla.motion import JointCommand, MotionController, MotionLimits, MotionState, RobotModel
from spatial_vla.motion.jtc_ik import JtcIkBackend
from spatial_vla.motion.self_collision import SelfCollision
from spatial_vla.motion.servo import ServoBackend
from spatial_vla_sim.joint_path import JointPath

from .fake_servo import TICK as SERVO_TICK
from .fake_servo import FakeServo

HOME = np.array([0.0, -0.6, 0.0, -2.4, 0.0, 1.8, 0.785])
TICK_NS = 10_000_000
#: What the arm does is looked at this often [s].
FINE = 0.001


@dataclass
class Rig:
    """Controller, ideal arm and clock. The arm's own time runs on when the controller's clock jumps."""

    controller: MotionController
    model: RobotModel
    now_ns: int = 1_000_000_000
    chunk_id: int = 0
    arm_time: float = 0.0
    path: JointPath = field(default_factory=lambda: JointPath.holding(HOME))
    commands: list[JointCommand | None] = field(default_factory=list)
    positions: list[np.ndarray] = field(default_factory=list)
    velocities: list[np.ndarray] = field(default_factory=list)

    @property
    def limits(self) -> MotionLimits:
        return self.controller.limits

    @property
    def state(self) -> MotionState:
        return self.controller.status().state

    @property
    def reason(self) -> str:
        return self.controller.status().reason

    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        q, dq = self.path.sample(np.array([self.arm_time]))
        return q[0], dq[0]

    def tcp(self):
        return self.model.forward(self.measured()[0])

    def speed(self) -> float:
        q, dq = self.measured()
        return float(np.linalg.norm((self.model.jacobian(q) @ dq)[:3]))

    def measure(self) -> None:
        self.controller.on_joint_state(*self.measured(), self.now_ns)

    def arm(self) -> None:
        self.measure()
        verdict = self.controller.arm(self.measured()[0], self.now_ns)
        assert verdict, verdict

    def advance(self, seconds: float = 0.01) -> None:
        """Time passes; nobody acts."""
        q, dq = self.path.sample(self.arm_time + FINE * np.arange(1, round(seconds / FINE) + 1))
        self.positions.extend(q)
        self.velocities.extend(dq)
        self.arm_time += FINE * len(q)
        self.now_ns += round(seconds * 1e9)

    def set_clock(self, seconds: float) -> None:
        """The clock is set by so much; the arm does not notice."""
        self.now_ns += round(seconds * 1e9)

    def tick(self, count: int = 1, joint_states: bool = True) -> None:
        for _ in range(count):
            if joint_states:
                self.measure()
            self.follow(self.controller.step(self.now_ns))
            self.advance()

    def follow(self, command: JointCommand | None) -> None:
        """Have the arm do it."""
        self.commands.append(command)
        if command is not None and command.fresh and command.points:
            points = [(p.time_from_start, p.positions, p.velocities) for p in command.points]
            self.path = self.path.replaced(self.arm_time, self.arm_time, points)

    def chunk(self, deltas, *, dt: float = 0.2, age: float = 0.05, gripper=None, frame: str = "panda_link0"):
        """Send a chunk; ``deltas`` (T, 6), observed ``age`` seconds ago."""
        self.chunk_id += 1
        deltas = np.asarray(deltas, dtype=np.float64)
        opening = np.ones(len(deltas)) if gripper is None else np.asarray(gripper, dtype=np.float64)
        stamp_ns = self.now_ns - round(age * 1e9)
        chunk = ActionChunk(stamp_ns, dt, frame, deltas, opening, self.chunk_id)
        return self.controller.on_chunk(chunk, self.now_ns)

    def run(self, step, seconds: float, **chunk) -> None:
        """Keep sending chunks of four equal steps, every 0.2 s."""
        for i in range(round(seconds / 0.01)):
            if i % 20 == 0:
                self.chunk(np.tile(np.asarray(step, dtype=np.float64), (4, 1)), **chunk)
            self.tick()


@dataclass
class ServoRig(Rig):
    """The same with the Servo back-end, and a Servo that moves the arm."""

    servo: FakeServo = field(init=False)

    def __post_init__(self) -> None:
        self.servo = FakeServo(self.model, self.limits, HOME)
        self.servo.command_type = "TWIST"
        period = self.controller.period
        self.controller.use(ServoBackend(self.model, self.limits, period, self.servo, self._reading))

    def _reading(self):
        return self.controller.latest_reading

    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        return self.servo.q.copy(), self.servo.dq.copy()

    def set_clock(self, seconds: float) -> None:
        super().set_clock(seconds)
        self.servo.set_clock(seconds)

    def advance(self, seconds: float = 0.01) -> None:
        """Servo's cycles that begin in this time; during each, the joints go over to its velocity."""
        cycles = round((self.arm_time + seconds) / SERVO_TICK) - round(self.arm_time / SERVO_TICK)
        self.arm_time += seconds
        self.now_ns += round(seconds * 1e9)
        for _ in range(cycles):
            q, dq = self.measured()
            self.servo.advance()
            shares = np.arange(1, round(SERVO_TICK / FINE) + 1)[:, None] * FINE / SERVO_TICK
            self.positions.extend(q + shares * (self.servo.q - q))
            self.velocities.extend(dq + shares * (self.servo.dq - dq))


def rig_with(backend: str, model: RobotModel, limits: MotionLimits) -> Rig:
    """A rig that moves by one of the back-ends that follow a stream."""
    controller = MotionController(model, limits)
    if backend == "servo":
        return ServoRig(controller, model)
    rig = Rig(controller, model)
    if backend == "jtc_ik":
        controller.use(JtcIkBackend(model, limits, controller.period, controller))
    return rig


def steps(*delta: float, count: int = 4) -> np.ndarray:
    """``count`` equal steps; missing components are zero."""
    return np.tile(np.pad(np.array(delta, dtype=np.float64), (0, 6 - len(delta))), (count, 1))


def assert_within_limits(rig: Rig) -> None:
    """Everything the arm was made to do lies inside the limits of the joints, between the commanded points, too.

    Servo's smoothing stands between its twists and the joints: 2 % of a speed that is 60 % of the joints' own.
    """
    slack = 0.02 if isinstance(rig, ServoRig) else 1e-6
    limits, joints = rig.limits, rig.limits.joints
    q, dq = np.array(rig.positions), np.array(rig.velocities)
    ddq = np.diff(dq, axis=0) / FINE
    assert np.isfinite(q).all() and np.isfinite(dq).all()
    # 0.3 mrad: the guard looks at a stop ramp every 10 ms; the distance kept from the stops is a hundred times that.
    assert np.all(q > limits.lower - 3e-4) and np.all(q < limits.upper + 3e-4)
    assert np.all(np.abs(dq) <= limits.velocity * (1 + slack)), np.abs(dq).max(axis=0) / limits.velocity
    # A tick that comes early or late by a fraction of a period makes the consumer interpolate across a change of jerk.
    assert np.all(np.abs(ddq) <= joints.acceleration), np.abs(ddq).max(axis=0) / joints.acceleration


def assert_within_space(rig: Rig) -> None:
    """Tool, elbow and flange stayed in their boxes, links apart, and the tool was no faster than it may be.

    5 % are what joints that lag add for a moment near singularities or in a stop; Servo's smoothing adds more.
    """
    slack = 0.15 if isinstance(rig, ServoRig) else 0.05
    limits, model = rig.limits, rig.model
    collision = SelfCollision(model, limits.self_clearance)
    for q, dq in zip(rig.positions[::10], rig.velocities[::10], strict=True):
        tool, *body = model.points(q, (model.tcp_frame, *limits.body_frames))
        assert limits.workspace.contains(tool, 0.013), tool
        assert limits.body_box.contains(body), body
        touching = collision.touching(q)
        assert touching is None, touching
        speed = np.linalg.norm((model.jacobian(q) @ dq)[:3])
        assert speed < (1 + slack) * limits.cartesian.speed, speed
