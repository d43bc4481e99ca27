"""Kinematics of the arm: frames of the URDF, base axes, and joints in their order."""

import numpy as np
import pytest
from spatial_vla.description import ARM_JOINTS, panda_urdf
from spatial_vla.geometry import matrix_to_rotvec
from spatial_vla.motion import RobotModel

from .rig import HOME


def test_the_tool_centre_point_is_where_the_data_sheet_puts_it(model):
    """At zero the forearm stands above the base: x = 0.088, z = 0.333 + 0.316 + 0.384 - 0.107 - 0.1034."""
    pose = model.forward(np.zeros(7))
    np.testing.assert_allclose(pose.translation, [0.088, 0.0, 0.8226], atol=1e-9)
    np.testing.assert_allclose(pose.rotation[:, 2], [0, 0, -1], atol=1e-9)


def test_jacobian_is_the_derivative_of_the_pose(model):
    q, h = HOME + 0.1, 1e-6
    jacobian = model.jacobian(q)
    for joint in range(7):
        step = h * np.eye(7)[joint]
        a, b = model.forward(q - step), model.forward(q + step)
        np.testing.assert_allclose((b.translation - a.translation) / (2 * h), jacobian[:3, joint], atol=1e-7)
        spin = matrix_to_rotvec(b.rotation @ a.rotation.T) / (2 * h)
        np.testing.assert_allclose(spin, jacobian[3:, joint], atol=1e-7)


def test_the_twist_is_the_jacobian_times_the_joint_velocities(model):
    dq = np.linspace(-0.5, 0.7, 7)
    pose, twist = model.motion(HOME, dq)
    np.testing.assert_allclose(twist, model.jacobian(HOME) @ dq, atol=1e-12)
    np.testing.assert_allclose(pose.matrix(), model.forward(HOME).matrix(), atol=1e-12)


def test_everything_is_relative_to_the_base_frame():
    """The same arm bolted to the world elsewhere moves alike in its own base frame."""
    moved = panda_urdf().replace(
        '<child link="panda_link0"/>\n    <origin rpy="0 0 0" xyz="0 0 0"/>',
        '<child link="panda_link0"/>\n    <origin rpy="0.3 0 1.2" xyz="1 2 3"/>',
    )
    assert moved != panda_urdf()
    here = RobotModel(panda_urdf(), ARM_JOINTS, "panda_link0", "panda_tcp")
    there = RobotModel(moved, ARM_JOINTS, "panda_link0", "panda_tcp")
    np.testing.assert_allclose(there.forward(HOME).matrix(), here.forward(HOME).matrix(), atol=1e-12)
    np.testing.assert_allclose(there.jacobian(HOME), here.jacobian(HOME), atol=1e-12)
    np.testing.assert_allclose(there.motion(HOME, HOME)[1], here.motion(HOME, HOME)[1], atol=1e-12)
    frames = ("panda_link4", "panda_link8")
    np.testing.assert_allclose(there.points(HOME, frames), here.points(HOME, frames), atol=1e-12)


@pytest.mark.parametrize(
    ("joints", "base", "tcp", "named"),
    [
        (("panda_joint1", "elbow"), "panda_link0", "panda_tcp", "elbow"),
        (ARM_JOINTS, "base", "panda_tcp", "base"),
        (ARM_JOINTS, "panda_link0", "tool", "tool"),
        (ARM_JOINTS[::-1], "panda_link0", "panda_tcp", "order"),
    ],
)
def test_what_the_urdf_does_not_have_is_named(joints, base, tcp, named):
    with pytest.raises(ValueError, match=named):
        RobotModel(panda_urdf(), joints, base, tcp)
