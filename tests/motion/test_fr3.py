"""The Franka Research 3: limits that depend on the position hold in what comes out, everywhere on the way."""

import numpy as np
import pytest
from spatial_vla.description import ROBOTS
from spatial_vla.motion import MotionController, MotionLimits, RobotModel, Scaling
from spatial_vla.motion.guard import OutputGuard
from spatial_vla.motion.velocity_by_position import VelocityByPosition

from .rig import Rig, assert_within_limits

FR3 = ROBOTS["fr3"]
TABLE = FR3.limits()
# Written down once more, one joint at a time, from the published table.
OFFSET = (0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35)
GAIN = (12.0, 5.17, 7.0, 8.0, 34.0, 11.0, 34.0)
UPPER = (2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0196)
LOWER = (-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.54092, -3.0196)
TOP = (2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26)


def allowed(joint, q):
    up = -OFFSET[joint] + max(0.0, GAIN[joint] * (UPPER[joint] - q)) ** 0.5
    down = -OFFSET[joint] + max(0.0, GAIN[joint] * (q - LOWER[joint])) ** 0.5
    return min(max(up, 0.0), TOP[joint]), min(max(down, 0.0), TOP[joint])


def fr3_limits(**parts):
    return MotionLimits.from_urdf(
        FR3.urdf(),
        TABLE["joint_limits"],
        FR3.joints,
        TABLE["velocity_by_position"],
        body_frames=FR3.body_frames,
        **parts,
    )


@pytest.fixture(scope="module")
def fr3():
    return RobotModel(FR3.urdf(), FR3.joints, FR3.base_frame, FR3.tcp_frame)


def test_the_function_is_the_published_one():
    limits = fr3_limits(scaling=Scaling(velocity=1.0, stop_time=10.0))
    rng = np.random.default_rng(1)
    for _ in range(50):
        q = rng.uniform(LOWER, UPPER)
        slowest, fastest = limits.velocity_at(q)
        for joint in range(7):
            up, down = allowed(joint, q[joint])
            assert fastest[joint] == pytest.approx(up) and slowest[joint] == pytest.approx(-down)


def test_a_table_that_lacks_a_joint_is_refused():
    with pytest.raises(ValueError, match=r"fr3_joint2 lacks .*offset"):
        VelocityByPosition.from_table(
            {"fr3_joint1": TABLE["velocity_by_position"]["fr3_joint1"]}, FR3.joints[:2]
        )


def turn_the_wrist(fr3, direction):
    """Turn the tool on and on: joint 7 goes to its stop."""
    from spatial_vla.motion import GateSettings, MotionSettings

    settings = MotionSettings(gate=GateSettings(frame="fr3_link0"))
    fast = Scaling(velocity=1.0, acceleration=0.9, stop_acceleration=0.98, stop_time=0.35)
    rig = Rig(MotionController(fr3, fr3_limits(scaling=fast), settings=settings), fr3)
    rig.arm()
    rig.run([0, 0, 0, 0, 0, 0.35 * direction], 3.2, frame="fr3_link0")
    return rig


def too_fast(rig):
    """Samples in which a joint was faster than the published limit allows where it was."""
    count = 0
    for q, dq in zip(rig.positions, rig.velocities, strict=True):
        for joint in range(7):
            up, down = allowed(joint, q[joint])
            count += not -down - 1e-6 <= dq[joint] <= up + 1e-6
    return count


@pytest.mark.parametrize("direction", [1, -1])
def test_speeds_near_the_stops_hold_on_the_whole_way(fr3, direction):
    rig = turn_the_wrist(fr3, direction)
    assert too_fast(rig) == 0
    assert_within_limits(rig)
    assert np.abs(rig.measured()[0][6]) > 2.5  # it has been near the stop


def test_without_the_guard_and_the_clip_they_do_not_hold(fr3, monkeypatch):
    monkeypatch.setattr(OutputGuard, "_too_fast_here", lambda *_: "")
    monkeypatch.setattr(MotionLimits, "velocity_at", lambda self, q: (-self.velocity, self.velocity))
    assert too_fast(turn_the_wrist(fr3, 1)) > 0
