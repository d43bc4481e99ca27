"""Limits come complete from URDF and YAML, or the arm does not move."""

import copy

import numpy as np
import pytest
from spatial_vla.description import ARM_JOINTS, joint_limits, panda_urdf
from spatial_vla.motion import (
    Box,
    CartesianLimits,
    IncompleteLimits,
    MotionController,
    MotionLimits,
    MotionState,
    Scaling,
)
from spatial_vla.motion.panda import panda_limits

from .rig import HOME


def test_numbers_are_those_of_the_urdf_and_the_yaml():
    limits = panda_limits(scaling=Scaling(velocity=0.3, acceleration=0.2, position_margin=0.1))
    np.testing.assert_allclose(limits.joints.upper[3], -0.0698)
    np.testing.assert_allclose(limits.upper, limits.joints.upper - 0.1)
    np.testing.assert_allclose(limits.velocity, 0.3 * np.array([2.175] * 4 + [2.61] * 3))
    np.testing.assert_allclose(limits.acceleration, 0.2 * np.array([15, 7.5, 10, 12.5, 15, 20, 20]))
    assert limits.joints.names == ARM_JOINTS
    assert not limits.missing()


def test_the_lower_of_two_velocities_counts():
    table = copy.deepcopy(joint_limits())
    table["panda_joint2"]["max_velocity"] = 0.7
    table["panda_joint3"]["max_velocity"] = 99.0
    velocity = MotionLimits.from_urdf(panda_urdf(), table, ARM_JOINTS).joints.velocity
    assert velocity[1] == 0.7 and velocity[2] == 2.175


@pytest.mark.parametrize("kind", ["acceleration", "jerk"])
def test_a_missing_limit_refuses_to_arm_and_names_it(model, kind):
    table = copy.deepcopy(joint_limits())
    table["panda_joint3"][f"has_{kind}_limits"] = False
    controller = MotionController(model, MotionLimits.from_urdf(panda_urdf(), table, ARM_JOINTS))
    verdict = controller.arm(HOME, 0)
    assert not verdict and f"panda_joint3 {kind}" in verdict.reason
    assert controller.status().state is MotionState.DISARMED
    assert controller.step(10_000_000) is None


def test_missing_limits_are_an_error_that_says_where_to_give_them():
    with pytest.raises(IncompleteLimits, match=r"joint_limits\.yaml"):
        MotionLimits.from_urdf(panda_urdf(), {}, ARM_JOINTS).require_complete()


def test_unknown_joints_are_refused():
    with pytest.raises(ValueError, match="elbow"):
        MotionLimits.from_urdf(panda_urdf(), joint_limits(), ["elbow"])


def test_no_joint_is_allowed_a_speed_that_it_cannot_stop_from_in_time():
    limits = panda_limits(scaling=Scaling(velocity=1.0, stop_acceleration=1.0, stop_time=0.1))
    assert np.all(limits.velocity <= 0.1 * limits.joints.acceleration)
    assert limits.velocity[1] == pytest.approx(7.5 * 0.085)
    with pytest.raises(ValueError, match="stop within"):
        panda_limits(scaling=Scaling(stop_time=0.01)).require_complete()


@pytest.mark.parametrize("value", [0.0, 1.01, -0.1])
def test_scaling_lies_in_zero_to_one(value):
    with pytest.raises(ValueError, match="scaling"):
        Scaling(velocity=value)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="speed"):
        CartesianLimits(speed=float("inf"))
    with pytest.raises(ValueError, match="box"):
        Box((0, 0, 0), (1, -1, 1))
    with pytest.raises(ValueError, match="stop scaling"):
        Scaling(acceleration=0.5, stop_acceleration=0.4)


def test_the_fingerprint_tells_limits_apart():
    assert panda_limits().fingerprint() == panda_limits().fingerprint()
    assert panda_limits().fingerprint() != panda_limits(scaling=Scaling(velocity=0.61)).fingerprint()
    assert panda_limits().fingerprint() != panda_limits(workspace=Box((0, 0, 0), (1, 1, 1))).fingerprint()
