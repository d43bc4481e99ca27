"""The back-end contract against the real MoveIt Servo and ros2_control: `make test-moveit`, on a full ROS 2.

Mock hardware moves; motion_node and servo_node drive it. The clauses are those of docs/reference/motion_backends.md;
the strict fakes of the other suites stand for what is run here.
"""

import time

import numpy as np
import pytest

from .bench import Bench

pytestmark = pytest.mark.moveit
# The part of moveit_msgs that tests build for themselves has no Servo.
if not hasattr(pytest.importorskip("moveit_msgs.msg"), "ServoStatus"):
    pytest.skip("needs a full ROS 2 with MoveIt: apt install ros-$ROS_DISTRO-moveit", allow_module_level=True)


@pytest.fixture(scope="module", params=["servo", "embedded", "jtc_ik"])
def bench(request):
    bench = Bench(request.param)
    bench.until(lambda: bench.said and bench.said[-1].state == 1, "an armed arm")
    yield bench
    bench.close()


def test_7_chunks_are_followed(bench):
    start = bench.tcp()
    bench.run((0.0, 0.02), 2.0)
    time.sleep(1.0)
    assert bench.tcp()[1] - start[1] == pytest.approx(0.2, abs=0.05)


def test_5_silence_means_rest(bench):
    bench.run((0.0, -0.03), 1.0)
    time.sleep(1.2)
    before = np.array(bench.positions[-1])
    time.sleep(0.5)
    np.testing.assert_allclose(bench.positions[-1], before, atol=2e-3)


def test_3_limits_hold_whatever_is_asked_for(bench):
    first = len(bench.positions)
    for delta in ((0.06, 0.06, -0.06), (-0.06, 0.0, 0.06), (float("nan"),), (1e9,)):
        bench.run(delta, 1.0)
    time.sleep(1.0)
    q, t = np.array(bench.positions[first:]), np.array(bench.stamps[first:])
    assert np.all(q > bench.limits.lower - 1e-3) and np.all(q < bench.limits.upper + 1e-3)
    speeds = np.abs(np.diff(q, axis=0) / np.maximum(np.diff(t), 1e-3)[:, None])
    assert np.all(np.quantile(speeds, 0.99, axis=0) <= 1.05 * bench.limits.joints.velocity)
