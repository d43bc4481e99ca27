"""What our own buffer adds: refusals that say what came, and look-ups cheap enough for every frame."""

import math

import pytest
from spatial_vla.tf.exceptions import ExtrapolationException, InvalidArgumentException, LookupException
from spatial_vla.tf.pose import IDENTITY, Pose
from spatial_vla.tf.tree import TransformTree

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("parent", "child", "pose"),
    [
        ("", "b", IDENTITY),
        ("/a", "b", IDENTITY),
        ("a", "a", IDENTITY),
        ("a", "b", Pose((math.nan, 0.0, 0.0), IDENTITY.rotation)),
        ("a", "b", Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))),
        ("a", "b", Pose((0.0, 0.0, 0.0), (0.0, 0.0, math.nan, 1.0))),
    ],
)
def test_malformed_transform_is_refused(parent, child, pose):
    tree = TransformTree()
    with pytest.raises(InvalidArgumentException):
        tree.insert(parent, child, SECOND, pose)
    assert tree.frames() == []


def test_errors_say_what_is_known():
    tree = TransformTree()
    with pytest.raises(LookupException, match="no transform has been received yet"):
        tree.lookup("a", "b", 0)
    tree.insert("a", "b", SECOND, IDENTITY)
    with pytest.raises(LookupException, match="known frames: a, b"):
        tree.lookup("a", "z", 0)
    tree.insert("a", "b", 2 * SECOND, IDENTITY)
    with pytest.raises(ExtrapolationException, match=r"'b'.*0\.500 s after the latest data, 2\.000000 s"):
        tree.lookup("a", "b", 2 * SECOND + SECOND // 2)


def test_repeated_stamp_is_ignored():
    tree = TransformTree()
    assert tree.insert("a", "b", SECOND, IDENTITY)
    assert not tree.insert("a", "b", SECOND, Pose((1.0, 0.0, 0.0), IDENTITY.rotation))
    assert tree.lookup("a", "b", SECOND) == (IDENTITY, SECOND)
