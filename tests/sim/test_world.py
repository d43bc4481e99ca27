"""The arm follows what it is told, as a joint trajectory controller would, and the world can be replayed."""

import numpy as np
import pytest
from spatial_vla_sim.joint_path import JointPath
from spatial_vla_sim.scene import sample_scene
from spatial_vla_sim.world import World

REST = np.zeros(7)


def test_a_trajectory_is_followed(world, arm) -> None:
    world.reset(sample_scene(0))
    assert arm.move([0.55, 0.15, 0.25], seconds=1.0) < 5e-3
    world.step(0.3)
    np.testing.assert_allclose(world.tcp_pose().translation, [0.55, 0.15, 0.25], atol=5e-4)


def test_the_last_point_is_held(world, arm) -> None:
    world.reset(sample_scene(0))
    arm.move([0.5, 0.0, 0.3], seconds=1.0)
    world.step(0.5)
    before = world.joint_state()[0]
    world.step(2.0)
    np.testing.assert_allclose(world.joint_state()[0], before, atol=1e-4)
    np.testing.assert_allclose(world.joint_state()[1], 0.0, atol=1e-4)


def test_a_new_trajectory_starts_from_the_desired_state() -> None:
    """Position and velocity are continuous at the hand-over, whenever it happens."""
    path = JointPath.holding(REST).replaced(0.0, 0.0, [(1.0, np.ones(7), REST)])
    for now in (0.1, 0.5, 0.93):
        (q, v) = path.sample(np.array([now]))
        after = path.replaced(now, now, [(0.4, np.full(7, -1.0), REST)])
        (q_after, v_after) = after.sample(np.array([now]))
        np.testing.assert_allclose(q_after, q)
        np.testing.assert_allclose(v_after, v)
        np.testing.assert_allclose(after.sample(np.array([now + 0.4]))[0], -1.0)


def test_points_that_have_passed_are_skipped() -> None:
    path = JointPath.holding(REST).replaced(
        10.0, 9.5, [(0.1, np.full(7, 5.0), REST), (1.0, np.ones(7), REST)]
    )
    q, _ = path.sample(np.linspace(10.0, 11.0, 50))
    assert q.min() >= 0.0 and q.max() <= 1.0


def test_velocities_are_the_derivative_of_positions() -> None:
    rng = np.random.default_rng(0)
    points = [(0.2, rng.normal(size=7), rng.normal(size=7)), (0.5, rng.normal(size=7), REST)]
    path = JointPath.holding(REST).replaced(0.0, 0.0, points)
    times = np.linspace(0.01, 0.49, 40)
    numeric = (path.sample(times + 1e-6)[0] - path.sample(times - 1e-6)[0]) / 2e-6
    np.testing.assert_allclose(path.sample(times)[1], numeric, atol=1e-4)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([], "no points"),
        ([(0.1, np.zeros(6), np.zeros(6))], "7 positions"),
        ([(0.1, np.full(7, np.nan), REST)], "NaN"),
        ([(0.0, REST, REST)], "increase"),
        ([(0.2, REST, REST), (0.1, REST, REST)], "increase"),
        ([(0.2, REST, np.ones(7))], "end at rest"),
    ],
)
def test_a_trajectory_that_makes_no_sense_is_refused_and_changes_nothing(world, points, reason) -> None:
    world.reset(sample_scene(0))
    before = world.desired_joint_positions()
    with pytest.raises(ValueError, match=reason):
        world.set_arm_command(points)
    world.step(0.5)
    np.testing.assert_array_equal(world.desired_joint_positions(), before)


def test_a_trajectory_that_is_over_is_refused(world) -> None:
    world.reset(sample_scene(0))
    world.step(1.0)
    with pytest.raises(ValueError, match=r"0\.5\d* s ago"):
        world.set_arm_command([(0.1, REST, REST)], start_ns=400_000_000)


def test_a_trajectory_planned_before_a_reset_does_not_throw_the_arm(world) -> None:
    """A command that was on its way while the scene was laid out anew starts where the arm no longer is."""
    world.reset(sample_scene(0))
    elsewhere = world.joint_state()[0] + 0.3
    with pytest.raises(ValueError, match="starts elsewhere"):
        world.set_arm_command([(0.01, elsewhere, np.full(7, 0.1)), (0.1, elsewhere, REST)])
    world.step(0.1)
    assert np.abs(world.joint_state()[1]).max() < 0.01


def test_gripper_opens_and_closes_within_its_travel(world) -> None:
    world.reset(sample_scene(0))
    for command, expected in ((0.0, 0.0), (0.02, 0.02), (1.0, 0.04), (-1.0, 0.0)):
        world.set_gripper(command)
        world.step(0.8)
        assert abs(world.joint_state()[2] - expected) < 1e-3


def test_a_snapshot_replays_the_same_future(world, arm) -> None:
    world.reset(sample_scene(4))
    arm.move([0.45, 0.1, 0.2], seconds=0.5)
    world.set_arm_command([(1.0, world.joint_state()[0] + 0.1, REST)])
    world.set_gripper(0.01)
    world.step(0.1)
    snapshot = world.save_state()
    futures = []
    for _ in range(2):
        world.load_state(snapshot)
        assert world.time_ns == 600_000_000
        world.step(0.7)
        futures.append(np.concatenate((*world.joint_state()[:2], world.object_positions().ravel())))
    np.testing.assert_array_equal(*futures)


def test_a_snapshot_of_another_scene_is_refused(world) -> None:
    world.reset(sample_scene(1))
    snapshot = world.save_state()
    world.reset(sample_scene(2))
    with pytest.raises(ValueError, match=r"scene 1.*in 2"):
        world.load_state(snapshot)


def test_time_goes_on_over_a_reset(world) -> None:
    world.reset(sample_scene(0))
    world.step(0.25 - 0.25 % 0.002)
    before = world.time_ns
    world.reset(sample_scene(1))
    assert world.time_ns == before > 0


def test_objects_stay_where_they_are_put(world) -> None:
    for seed in range(10):
        world.reset(sample_scene(seed))
        world.step(2.0)
        placed = np.array([item.position for item in world.scene.objects])
        np.testing.assert_allclose(world.object_positions(), placed, atol=1e-3)
        assert not world.record.touched


def test_without_a_scene_the_world_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="reset"):
        _ = World().scene
