"""Link transforms from URDF agree with Pinocchio; what is no tree of supported joints is refused."""

import numpy as np
import pinocchio
import pytest
from spatial_vla.description import ARM_JOINTS, FINGER_JOINTS, panda_urdf
from spatial_vla.tf.kinematic_tree import DescriptionError, KinematicTree
from spatial_vla.tf.tree import TransformTree


def links(urdf, positions, root):
    """Pose of every link in the root, composed by the transform tree: translation and quaternion."""
    kinematics, transforms = KinematicTree(urdf), TransformTree()
    for joint in kinematics.fixed:
        transforms.insert(joint.parent, joint.child, 0, joint.origin, static=True)
    for joint, pose in kinematics.moving(positions):
        transforms.insert(joint.parent, joint.child, 1, pose)
    return {frame: transforms.lookup(root, frame, 1)[0] for frame in transforms.frames()}


def test_panda_agrees_with_pinocchio():
    model = pinocchio.buildModelFromXML(panda_urdf())
    data, rng = model.createData(), np.random.default_rng(5)
    for _ in range(10):
        q = rng.uniform(model.lowerPositionLimit, model.upperPositionLimit)
        q[-1] = q[-2]  # the second finger mimics the first
        names = [*ARM_JOINTS, *FINGER_JOINTS]
        found = links(panda_urdf(), {n: q[model.joints[model.getJointId(n)].idx_q] for n in names}, "world")
        pinocchio.framesForwardKinematics(model, data, q)
        assert len(found) > 15
        for name, pose in found.items():
            expected = data.oMf[model.getFrameId(name)]
            np.testing.assert_allclose(pose.translation, expected.translation, atol=1e-9)
            rotation = pinocchio.Quaternion(np.array(pose.rotation)).matrix()
            np.testing.assert_allclose(rotation, expected.rotation, atol=1e-9)


def test_mimic_joint_follows_its_leader():
    found = {j.name: p for j, p in KinematicTree(panda_urdf()).moving({FINGER_JOINTS[0]: 0.03})}
    assert set(found) == set(FINGER_JOINTS)
    left, right = (found[name].translation for name in FINGER_JOINTS)
    assert abs(left[1]) == pytest.approx(0.03)
    assert right[1] == pytest.approx(-left[1])


def robot(*joints, links="ab"):
    names = "".join(f'<link name="{name}"/>' for name in links)
    return f'<robot name="r">{names}{"".join(joints)}</robot>'


def joint(kind="revolute", parent="a", child="b", extra=""):
    ends = f'<parent link="{parent}"/><child link="{child}"/>'
    return f'<joint name="{parent}{child}" type="{kind}">{ends}{extra}</joint>'


def test_defaults_of_urdf():
    ((found, pose),) = KinematicTree(robot(joint())).moving({"ab": np.pi, "unknown": 1.0})
    assert found.axis == (1.0, 0.0, 0.0)
    np.testing.assert_allclose(pose.rotation, [1, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("urdf", "reason"),
    [
        ("", "not XML"),
        ("<xacro/>", "expected <robot>"),
        (robot(joint("floating")), "'floating'; supported"),
        (robot(joint(child="c")), "link 'c', which is not there"),
        (robot(joint(), joint(parent="c"), links="abc"), "more than one parent"),
        (robot(), "2 root links"),
        (robot(joint(extra='<axis xyz="0 0 0"/>')), "zero axis"),
    ],
)
def test_unusable_description_is_refused(urdf, reason):
    with pytest.raises(DescriptionError, match=reason):
        KinematicTree(urdf)
