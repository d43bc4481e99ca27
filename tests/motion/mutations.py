"""The guards of the motion stage, each with what takes it out and the tests that must notice.

As a pytest plugin (`python -m pytest -p tests.motion.mutations`) it takes out the guard named by MUTATE.
"""

import importlib
import os
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Mutation:
    """``module.owner.attribute`` is replaced; ``tests`` (below tests/motion) must fail then."""

    module: str
    attribute: str
    replacement: Any
    tests: str


def says_nothing(*_: Any) -> str:
    return ""


def nothing(*_: Any, **__: Any) -> None:
    return None


PLANS = "../nodes/test_moveit_process.py"
MUTATIONS = {
    "gate: malformed chunks": Mutation(
        "gate", "ActionGate._malformed", says_nothing, "test_guards_matter.py::test_gate test_gate.py"
    ),
    "gate: order": Mutation("gate", "ActionGate._out_of_order", says_nothing, "test_gate.py"),
    "gate: size of steps": Mutation(
        "gate", "ActionGate._capped", lambda self, deltas: (deltas, ""), "test_gate.py"
    ),
    "filter: box": Mutation("limits", "Box.clamp", lambda self, point: point, "test_safety_filter.py"),
    "filter: speed and acceleration": Mutation(
        "safety", "limited", lambda velocity, *_: velocity, "test_safety_filter.py"
    ),
    "filter: braking before walls": Mutation(
        "safety",
        "SafetyFilter._before_walls",
        lambda self, position, velocity: velocity,
        "test_safety_filter.py",
    ),
    "filter: lead over the joints": Mutation(
        "safety", "SafetyFilter.hold_back", nothing, "test_safety_filter.py"
    ),
    "controller: overtime after a chunk": Mutation(
        "controller", "OVERTIME_NS", 1 << 60, "test_starvation.py"
    ),
    "guard: everything": Mutation("guard", "OutputGuard.violation", says_nothing, "test_guards_matter.py"),
    "guard: joint positions": Mutation(
        "guard", "OutputGuard.position", says_nothing, "test_guards_matter.py"
    ),
    "guard: joint velocities": Mutation(
        "guard", "OutputGuard.velocity", says_nothing, "test_guards_matter.py"
    ),
    "guard: joint accelerations": Mutation(
        "guard", "OutputGuard.acceleration", says_nothing, "test_guards_matter.py"
    ),
    "guard: speed of the tool": Mutation(
        "guard", "OutputGuard.too_fast", says_nothing, "test_guards_matter.py"
    ),
    "embedded: speed of the tool": Mutation(
        "embedded",
        "EmbeddedBackend._slowed",
        lambda self, velocity, now: velocity,
        "test_limits_hold.py::test_hard_streams_keep_every_limit",
    ),
    "jtc_ik: stop of what outlasts a tick": Mutation(
        "jtc_ik",
        "JtcIkBackend.brake",
        lambda *_: (),
        "test_limits_hold.py::test_the_arm_stops_where_it_is_no_longer_known_how_far_it_has_come",
    ),
    "jtc_ik: changes of jerk are way-points": Mutation(
        "jtc_ik",
        "JtcIkBackend._knots",
        lambda self: [k * self._period for k in range(len(self._motions))],
        "test_limits_hold.py::test_hard_streams_keep_every_limit",
    ),
    "servo: limits of what a twist leads to": Mutation(
        "servo",
        "ServoBackend._violation",
        says_nothing,
        "test_limits_hold.py::test_hard_streams_keep_every_limit test_backend_contract.py",
    ),
    "servo: a Servo that does not move": Mutation(
        "servo", "ServoBackend._obstacle", says_nothing, "test_backend_contract.py"
    ),
    "servo: zero twists when time is in doubt": Mutation(
        "servo",
        "ServoBackend.brake",
        lambda *_: (),
        "test_limits_hold.py::test_the_arm_stops_where_it_is_no_longer_known_how_far_it_has_come",
    ),
    "stop by a person": Mutation("controller", "MotionController.fault", nothing, "test_stop_by_a_person.py"),
    "measurement: speeds": Mutation(
        "measurement", "JointReading.believable", lambda *_: True, "test_last_word.py"
    ),
    "last command: after a stall": Mutation(
        "restart", "Restart.doubts", lambda *_: False, "test_last_word.py"
    ),
    "release: another stop": Mutation(
        "release", "Release._interrupted", lambda *_: False, "test_letting_go.py"
    ),
    "watchdog: gaps": Mutation("watchdog", "LISTENED", 1e9, "test_watchdog.py"),
    "watchdog": Mutation("watchdog", "SILENCE", 1e9, "test_watchdog.py"),
    "last command": Mutation(
        "controller",
        "MotionController.halt",
        lambda self, now_ns: self.disarm(),
        "test_limits_hold.py::test_the_last_command_before_nobody_commands_any_more_stops_the_arm",
    ),
    "release: how far": Mutation("release", "FARTHEST", 1e9, "test_letting_go.py"),
    "guard: workspace": Mutation(
        "guard", "OutputGuard.outside_workspace", says_nothing, "test_guards_matter.py test_states.py"
    ),
    "guard: self-collision": Mutation(
        "guard", "OutputGuard.self_collision", says_nothing, "test_self_collision.py"
    ),
    "guard: table and obstacles": Mutation(
        "guard", "OutputGuard.scene_collision", says_nothing, "test_surroundings.py"
    ),
    "embedded: barrier before singularities": Mutation(
        "singularity", "SingularityBarrier.near", lambda *_: False, "test_surroundings.py"
    ),
    "guard: singularities": Mutation("guard", "OutputGuard.singular", says_nothing, "test_surroundings.py"),
    "guard: speed near the stops": Mutation(
        "limits", "MotionLimits.velocity_at", lambda s, q: (-s.velocity, s.velocity), "test_fr3.py"
    ),
    "limits: complete": Mutation(
        "limits", "MotionLimits.require_complete", nothing, "test_backend_contract.py -k test_2"
    ),
    "measurement: age": Mutation("measurement", "ArmMeasurement.age", lambda *_: 0.0, "test_states.py"),
    "measurement: jumps": Mutation("measurement", "ArmMeasurement.take", nothing, "test_states.py"),
    "state: holds": Mutation(
        "supervisor", "Supervisor.may_follow", property(lambda self: self._armed), "test_states.py"
    ),
    "state: latched faults": Mutation("supervisor", "Supervisor.fault", nothing, "test_states.py"),
    "tracking": Mutation("controller", "MotionController._watch_tracking", nothing, "test_states.py"),
    "late loop": Mutation("controller", "MotionController._start_anew", nothing, "test_states.py"),
    "letting go": Mutation("release", "Release.target", nothing, "test_letting_go.py"),
    "repeated stops": Mutation("tracking", "TrackingWatch._count", nothing, "test_letting_go.py"),
    "deadman": Mutation("deadman", "Deadman.held", lambda *_: True, "test_deadman.py"),
    "gripper: hysteresis": Mutation("gripper", "OPEN_ABOVE", 0.4, "test_gripper.py"),
    "plan: positions": Mutation("planning", "PlanBackend._objection", says_nothing, PLANS),
    "plan: between way-points": Mutation("planning", "STEP", float("inf"), PLANS),
    "plan: where it begins": Mutation("planning", "START_TOLERANCE", float("inf"), PLANS),
    "plan: how it ends": Mutation("planning", "AT_REST", float("inf"), PLANS),
    "plan: time for the way": Mutation("planning", "PlanBackend._check_pace", nothing, PLANS),
    "plan: speed near the stops": Mutation(
        "planning", "PlanBackend._shares", lambda self, q, dq: np.zeros_like(q), PLANS
    ),
    "plan: speed of the tool": Mutation("planning", "PlanBackend._excess", lambda *_: 0.0, PLANS),
    "stop ramp": Mutation(
        "command", "GuardedMotion.advanced", lambda self, elapsed: self, "test_stop_ramp.py"
    ),
}


def pytest_configure() -> None:
    name = os.environ.get("MUTATE")
    if not name:
        return
    mutation = MUTATIONS[name]
    owner: Any = importlib.import_module(f"spatial_vla.motion.{mutation.module}")
    *path, attribute = mutation.attribute.split(".")
    for part in path:
        owner = getattr(owner, part)
    assert hasattr(owner, attribute), f"{mutation.attribute} is not in motion/{mutation.module}.py any more"
    setattr(owner, attribute, mutation.replacement)
