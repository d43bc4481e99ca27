"""The simulator and everybody who reads the URDF mean the same robot."""

import mujoco
import numpy as np
import pinocchio as pin
from spatial_vla.description import ARM_JOINTS, FINGER_JOINTS, panda_urdf
from spatial_vla_sim.model import build_model
from spatial_vla_sim.scene import HOME, sample_scene

ROBOT = pin.buildModelFromXML(panda_urdf())
LINKS = [
    frame.name for frame in ROBOT.frames if frame.type == pin.FrameType.BODY and frame.name != "universe"
]


def _pinocchio_poses(joints: np.ndarray) -> dict[str, np.ndarray]:
    data = ROBOT.createData()
    pin.framesForwardKinematics(ROBOT, data, joints)
    return {name: data.oMf[ROBOT.getFrameId(name)].homogeneous for name in LINKS}


def test_simulated_link_poses_equal_pinocchio() -> None:
    model = build_model(sample_scene(0))
    data = mujoco.MjData(model)
    addresses = [model.joint(name).qposadr[0] for name in (*ARM_JOINTS, *FINGER_JOINTS)]
    rng = np.random.default_rng(0)
    for _ in range(50):
        joints = rng.uniform(ROBOT.lowerPositionLimit, ROBOT.upperPositionLimit)
        data.qpos[addresses] = joints
        mujoco.mj_kinematics(model, data)
        for name, expected in _pinocchio_poses(joints).items():
            body = data.body(name)
            np.testing.assert_allclose(body.xpos, expected[:3, 3], atol=1e-6, err_msg=name)
            np.testing.assert_allclose(body.xmat.reshape(3, 3), expected[:3, :3], atol=1e-6, err_msg=name)


def test_joint_limits_and_masses_reach_the_simulator() -> None:
    model = build_model(sample_scene(0))
    for index, name in enumerate((*ARM_JOINTS, *FINGER_JOINTS)):
        joint = model.joint(name)
        limits = ROBOT.lowerPositionLimit[index], ROBOT.upperPositionLimit[index]
        np.testing.assert_allclose(joint.range, limits, atol=1e-9)
        assert model.jnt_actfrcrange[joint.id][1] == ROBOT.effortLimit[index]


def test_home_points_the_hand_down_above_the_table() -> None:
    tcp = _pinocchio_poses(np.array([*HOME, 0.0, 0.0]))["panda_tcp"]
    np.testing.assert_allclose(tcp[:3, 3], [0.40, 0.0, 0.30], atol=1e-4)
    np.testing.assert_allclose(tcp[:3, :3], np.diag([1.0, -1.0, -1.0]), atol=1e-4)
